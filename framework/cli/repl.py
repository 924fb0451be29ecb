"""``framework repl``: Python at a prompt, beside a running server."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from framework.cli import loading, options

if TYPE_CHECKING:
    from framework.definitions import Definitions
    from framework.repl.server import Address, Setup

_SHOWN = 5  # FIFOs


@click.command(short_help="Use Python at a prompt, with your classes, beside the server.")
@options.folder
@options.database
@click.option(
    "--url",
    metavar="URL",
    help="The server to join, or the address on which to start one. Default: any running server of the "
    f"database, or a new one on http://{options.DEFAULT_HOST}:{options.DEFAULT_PORT}.",
)
@click.option(
    "--workers/--no-workers",
    default=None,
    help="Whether a new server runs the workers. Default: it does, and asks first if items wait.",
)
def repl(folder: str, database: str, url: str | None, workers: bool | None) -> None:
    """Use Python at a prompt with the names that scripts see: atom, model, FIFO, MU, callout, qprint, context and more.

    `await` works everywhere, an empty line ends a block, `help` lists the names, and Ctrl-D leaves.
    debug() shows what workers and routing scripts print, in any process.

    \b
    framework repl
    framework repl < script.txt

    The classes act on the database. callout goes to a server of the same database:
    a running one, or one that starts and ends with the session. A script from a
    pipe ends at the first statement that raises, with exit code 1.
    """
    from framework.cli import surroundings
    from framework.errors import FrameworkError
    from framework.repl import server

    try:
        address = server.Address.parse(url or server.DEFAULT_URL)
    except FrameworkError as error:
        options.cannot_run(str(error))
    definitions = _checked(folder, address)
    tables = surroundings.bound(definitions).atoms.records
    outlook = options.run(server.outlook(database, url, tables))
    if workers is None:
        workers = not outlook.waiting or _asked(outlook.waiting, database)

    raise SystemExit(_converse(server.Setup(definitions, folder, database, url, outlook.server, workers)))


def _checked(folder: str, address: Address) -> Definitions:
    """The definitions without mistakes. Problems are shown, and an error ends the command."""
    from framework.definitions import render

    checked = loading.load(folder, address.host, address.port)
    if checked.problems:
        click.echo(render(checked, "text"), err=True)
    if checked.errors:
        click.echo("framework: not started, the definitions have mistakes", err=True)
        raise SystemExit(1)
    return checked.definitions


def _converse(setup: Setup) -> int:
    """Run the session to its end. Return the exit code."""
    import logging

    from framework.errors import FrameworkError
    from framework.observing import logs, trace
    from framework.process import files
    from framework.repl.session import run

    logs.configure("text")
    logging.getLogger().setLevel(logging.WARNING)
    try:
        files.require_code(setup.folder)
        return run(setup)
    except FrameworkError as error:
        options.cannot_run(str(error))
    except Exception as error:
        place = trace.place(error)
        if place is None:
            raise
        click.echo(f"framework: not started: {place} failed\n{trace.text(error)}", err=True)
        raise SystemExit(1) from None


def _asked(waiting: Mapping[str, int], database: str) -> bool:
    """Whether the workers should run and take the waiting items. A user at a terminal is asked."""
    shown = ", ".join(f"{name} ({number})" for name, number in list(waiting.items())[:_SHOWN])
    more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
    said = f"no server runs on {database}, and items wait in {shown}{more}"
    if sys.stdin is None or not sys.stdin.isatty():
        options.cannot_run(
            f"{said}: with --workers a server is started that takes them, with --no-workers one that leaves them"
        )
    click.echo(f"framework: {said}.", err=True)
    return click.confirm("Start the workers, which take them?", default=False, err=True)
