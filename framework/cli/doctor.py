"""``framework doctor``: checks the installation and the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from framework.cli import options

if TYPE_CHECKING:
    from framework.storage.findings import Finding


@click.command(short_help="Examine the installation, the disk and the database.")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path())
@options.database
@options.output_format("For people, or one JSON array of findings.")
def doctor(folder: str | None, database: str, format_: str) -> None:
    """Examine the installation: Python, SQLite, the disk, the database, its processes.

    With DIR the command also says what a start of these definitions would add to
    the tables, and what would stop it. It creates no database and changes none. To
    measure the disk it writes a scratch file beside the database for a moment.

    Exit code 0: no error (warnings do not count); 1: an error; 2: it could not run.
    """
    found = list(_findings(folder, database))
    if format_ == "json":
        options.print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            click.echo(f"{finding.level:<8} {finding.check:<12} {finding.message}")
    if any(finding.level == "error" for finding in found):
        raise SystemExit(1)


def _findings(folder: str | None, database: str) -> Iterator[Finding]:
    from framework.cli import surroundings
    from framework.errors import CannotOpen
    from framework.storage import examine
    from framework.storage.findings import Finding

    yield surroundings.python()
    yield from surroundings.limits()
    defined = None if folder is None else surroundings.snapshot(folder)
    if folder is not None:
        yield from surroundings.needs(folder)
    if isinstance(defined, Finding):
        yield defined
        defined = None
    try:
        yield from examine(database, defined.atoms.records if defined else None)
    except CannotOpen as error:
        options.cannot_run(str(error))
