"""``framework fifo``: the operator's verbs, which work on the database, with or without a running server."""

from __future__ import annotations

import click

from framework.cli import options
from framework.cli.fifo import dead, steer, view


@click.group()
@options.database
@click.pass_context
def fifo(context: click.Context, database: str) -> None:
    """Show and control FIFOs, with or without a running server.

    --database may stand before or after the subcommand. Exit code 0: done; 1: refused, nothing was changed;
    2: it could not run.
    """
    context.obj = database


for command in (view.list_, view.show, view.peek):
    fifo.add_command(command)
for command in (
    steer.put,
    steer.pause,
    steer.resume,
    steer.retry,
    steer.skip,
    steer.drop,
    steer.purge,
    steer.forget,
):
    fifo.add_command(command)
fifo.add_command(dead.dead)

__all__ = ["fifo"]
