"""``framework backup``: a copy of the database while it is in use."""

from __future__ import annotations

import os

import click

from framework.cli import options, streams


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@options.database
@click.option(
    "--force", is_flag=True, help="Replace FILE if it exists. It stays unchanged until the copy is complete."
)
def backup(file: str, database: str, force: bool) -> None:
    """Copy the database to FILE, with or without a running server.

    The copy holds everything that was acknowledged before the call. `framework serve` can use it.
    FILE appears complete, with its content on the disk, or not at all.
    """
    from framework import storage

    if os.path.lexists(file) and not force:
        options.cannot_run(f"{file} exists already; --force writes over it")
    options.run(storage.backup(database, file))
    streams.done()
    click.echo(f"{file}: {os.path.getsize(file)} bytes")
