"""``framework repl``: Python at a prompt, beside a running server."""

from __future__ import annotations

import click

from framework.cli import loading, options


@click.command(short_help="Try things out: Python at a prompt, with your classes, beside the server.")
@options.folder
@options.database
@click.option(
    "--url",
    metavar="URL",
    default=f"http://{options.DEFAULT_HOST}:{options.DEFAULT_PORT}",
    show_default=True,
    help="Where the server listens. If none does, one is started there, and ends with the REPL.",
)
def repl(folder: str, database: str, url: str) -> None:
    """Converse in Python with what scripts see: atom, model, FIFO, MU, callout, qprint, context and more.

    `await` may stand anywhere, an empty line ends a block, `help` says what there is, and Ctrl-D leaves.
    debug() shows what workers and routing scripts print, in any process.

    \b
    framework repl
    framework repl < script.txt

    The classes act on the database, callout goes to the server on --url, which must have the same database.
    From a pipe, a script runs up to the first statement that raises; then the exit code is 1.
    """
    import logging

    from framework import logs, trace
    from framework.definitions import render
    from framework.errors import FrameworkError
    from framework.repl.server import Address

    try:
        address = Address.parse(url)
    except FrameworkError as error:
        options.cannot_run(str(error))
    checked = loading.load(folder, address.host, address.port)
    if checked.problems:
        click.echo(render(checked, "text"), err=True)
    if checked.errors:
        click.echo("framework: not started, the definitions have mistakes", err=True)
        raise SystemExit(1)

    from framework.repl.session import Plan, run

    logs.configure("text")
    logging.getLogger().setLevel(logging.WARNING)
    try:
        code = run(Plan(checked.definitions, folder, database, address.url))
    except FrameworkError as error:
        options.cannot_run(str(error))
    except Exception as error:
        place = trace.place(error)
        if place is None:
            raise
        click.echo(f"framework: not started: {place} failed\n{trace.text(error)}", err=True)
        raise SystemExit(1) from None
    raise SystemExit(code)
