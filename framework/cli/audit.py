"""``framework audit``: show what operators did."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from framework.cli import options, verbs

if TYPE_CHECKING:
    from framework.access.audit import Entry
    from framework.storage import Storage


@click.command(short_help="Show what operators did: who, when, and what.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Print this many of the newest, the newest last.",
)
@click.option("--since", type=options.Duration(), help="Print only records of the last 90s, 15m, 12h or 30d.")
@options.database
@options.output_format("For people, or one JSON array of full records.")
def audit(limit: int, since: float | None, database: str, format_: str) -> None:
    """Show which commands changed something: by which system user, on which host, when, and with which arguments.

    \b
    framework audit --since 7d

    The subcommands of `fifo`, `account` and `token`, and `migrate --apply`, leave a
    record with the change itself. It contains no secret and no payload, and is kept
    for a year (FRAMEWORK_KEEP_AUDIT). A running server logs it. Scripts and
    statements in the REPL leave no record. A user who can write to the database can
    alter it.
    """

    async def work(storage: Storage) -> list[Entry]:
        from framework.access import audit

        earliest = None if since is None else (await storage.age()).wall - since
        return await audit.listed(storage, limit=limit, since=earliest)

    found = verbs.read(database, work)
    if format_ == "json":
        options.print_json([{**asdict(one), "at": options.shown_time(one.at)} for one in found])
        return
    from framework.access.audit import line

    for one in found:
        click.echo(f"{options.shown_time(one.at)[:19]}Z  {one.user}@{one.host}  {line(one)}")
    if not found:
        click.echo("nothing is recorded" + (" of that time" if since is not None else " yet"))
