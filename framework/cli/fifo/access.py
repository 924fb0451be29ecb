"""How the verbs reach the database: opened if it is there, and a FIFO by its name or a hint."""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from framework.cli import options

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import FifoState

T = TypeVar("T")


class Refused(Exception):
    """The answer is no: exit 1, and nothing was changed."""


def _keep_url(context: click.Context, parameter: click.Parameter, url: str | None) -> None:
    if url is not None:
        context.obj = url  # the sub-command's context inherits it


database = click.option(
    "--database",
    metavar="URL",
    default=None,
    expose_value=False,
    callback=_keep_url,
    help="The database, if not given before the verb.",
)
format_ = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or JSON with everything that there is.",
)
name = click.argument("name")


def run(url: str, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Run ``work`` on the open database. A refusal becomes its message and exit 1, a failure exit 2."""
    try:
        return options.run(_run(url, work))
    except Refused as error:
        click.echo(f"framework: {error}", err=True)
        raise SystemExit(1) from None


async def _run(url: str, work: Callable[[Storage], Awaitable[T]]) -> T:
    from framework.errors import FifoError
    from framework.storage import open_storage

    async with open_storage(url, create=False) as storage:
        try:
            return await work(storage)
        except FifoError as error:
            raise Refused(error) from error


async def known(storage: Storage, name: str) -> FifoState:
    """The FIFO as it stands; ``Refused`` with a hint when there is none of this name."""
    state = await storage.fifo_state(name)
    if state is None:
        raise Refused(f"there is no FIFO {name!r}{hint(name, await storage.fifo_names())}")
    return state


def hint(name: str, names: Iterable[str]) -> str:
    """What else may have been meant, to be added to a sentence."""
    there = list(names)
    listed = "; `framework fifo ls` lists those there are" if there else "; there are none yet"
    return similar(name, there) or listed


def similar(name: str, names: Iterable[str]) -> str:
    """``; did you mean ...?``, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def print_json(value: Any) -> None:
    """JSON for programs, laid out so that people can read it too."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
