"""What the verbs on a database share: their options, and how a refusal is reported.

The one rule: **after a refusal the exit code is 1, and nothing was changed.** It is 2 if the verb could not run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from framework.cli import options, streams

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from framework.storage import Storage
    from framework.storage.contract import Transaction

T = TypeVar("T")

_HOLD = 10.0  # seconds


class Refused(Exception):
    """The answer is no."""


def _keep_url(context: click.Context, parameter: click.Parameter, url: str | None) -> None:
    if url is not None:
        context.obj = url  # the sub-command's context inherits it


database = click.option(
    "--database",
    metavar="URL",
    default=None,
    expose_value=False,
    callback=_keep_url,
    help="The database, if not given before the subcommand.",
)
name = click.argument("name")


def run(url: str, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Run ``work`` on the open database, which must exist. A refusal becomes its message and exit code 1."""
    answer = _refusable(_run(url, work, reading=False))
    streams.done()
    return answer


def read(url: str, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Like ``run``, for a verb that only reads. It never waits for a writer."""
    return _refusable(_run(url, work, reading=True))


def _refusable(work: Coroutine[Any, Any, T]) -> T:
    try:
        return options.run(work)
    except Refused as error:
        click.echo(f"framework: {error}", err=True)
        raise SystemExit(1) from None


def transaction(storage: Storage) -> AbstractAsyncContextManager[Transaction]:
    """The transaction of a verb: its change and its audit record, or neither."""
    return storage.transaction(hold=_HOLD, expired=lambda: "nothing was changed: it took too long")


async def _run(url: str, work: Callable[[Storage], Awaitable[T]], *, reading: bool) -> T:
    from framework.errors import AccountError, FifoError
    from framework.storage import open_storage

    async with open_storage(url, create=False, reading=reading) as storage:
        try:
            return await work(storage)
        except (AccountError, FifoError) as error:
            raise Refused(error) from error
