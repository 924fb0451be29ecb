"""Options that several commands share, and how a command reports that it could not run."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import click

from framework.values import durations

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9099
DEFAULT_FOLDER = "definitions"

T = TypeVar("T")


def _one_address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuse an empty host. The system would listen on every address of the machine, and an unset variable is
    empty."""
    if not value.strip():
        raise click.BadParameter(f"it names no address: write {DEFAULT_HOST}, or 0.0.0.0 for every address")
    return value


folder = click.argument("folder", metavar="[DIR]", default=DEFAULT_FOLDER, type=click.Path())
host = click.option(
    "--host",
    default=DEFAULT_HOST,
    show_default=True,
    callback=_one_address,
    help="The address on which the gateway listens.",
)
port = click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The gateway's port. 0 takes a free one.",
)
database = click.option(
    "--database",
    metavar="URL",
    envvar="FRAMEWORK_DATABASE",
    show_envvar=True,
    default="sqlite:///framework.db",
    show_default=True,
    help="The database: sqlite:///FILE in the current folder, sqlite:////PATH/FILE elsewhere.",
)


def output_format(help_: str) -> Callable[[Any], Any]:
    """``--format text|json``, as the parameter ``format_``."""
    choice = click.Choice(["text", "json"])
    return click.option("--format", "format_", type=choice, default="text", show_default=True, help=help_)


class Duration(click.ParamType[float]):
    """``90s``, ``15m``, ``12h``, ``30d``. A bare number means seconds. The limit is ten years, or the given one.

    Zero is invalid, unless ``zero`` gives it a meaning.
    """

    name = "duration"

    def __init__(self, *, least: str | None = None, most: str | None = None, zero: bool = False) -> None:
        self._zero = zero
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return durations.seconds(value, zero=self._zero, least=self._least, most=self._most)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def shown_time(seconds: float, timespec: str = "seconds") -> str:
    """A time as ISO 8601, or as a number if no calendar has it, because a list must show every entry."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec=timespec)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"


def print_json(value: Any) -> None:
    """JSON for programs, indented so that people can read it too."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def cannot_run(message: str) -> NoReturn:
    """Print the reason, and exit with code 2."""
    click.echo(f"framework: {message}", err=True)
    raise SystemExit(2)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. An error of the framework becomes its message and exit code 2."""
    from framework.errors import FrameworkError

    try:
        return asyncio.run(main)
    except FrameworkError as error:
        cannot_run(str(error))
