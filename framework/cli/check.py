"""``framework check``: every mistake in the definitions, in one run."""

from __future__ import annotations

from typing import Literal

import click

from framework.cli import loading, options


@click.command(short_help="Check the definitions without starting anything.")
@options.folder
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="For people, for programs, or as annotations of a GitHub workflow.",
)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@options.host
@options.port
def check(
    folder: str, format_: Literal["text", "json", "github"], strict: bool, host: str, port: int
) -> None:
    """Check the definitions in DIR (default: ./definitions) without starting anything.

    It reports every mistake with file, line and column. It opens no database and
    listens nowhere. --host and --port say where the gateway will listen, so that
    the check finds routes that would forward to themselves.

    Exit code 0: no mistakes; 1: mistakes; 2: it could not run.
    """
    from framework.definitions import render

    checked = loading.load(folder, host, port)
    click.echo(render(checked, format_, strict=strict))
    if checked.errors or (strict and checked.warnings):
        raise SystemExit(1)
