"""Lists of any length, printed page by page, so that neither this process nor the database holds a whole list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import click

T = TypeVar("T")

PAGE = 100  # records; each may hold a payload of 1 MiB

limit = click.option("--limit", type=click.IntRange(1), help="Print only this many.")
after = click.option(
    "--after",
    metavar="ID",
    type=click.IntRange(0),
    default=0,
    help="Print only those after this id, for example to get the next page.",
)


async def pages(
    page: Callable[[int, int], Awaitable[list[T]]],
    id_of: Callable[[T], int],
    *,
    after: int,
    limit: int | None,
) -> AsyncIterator[T]:
    """Each record of ``page(limit, after)``, page after page."""
    left = limit
    while left is None or left > 0:
        wanted = PAGE if left is None else min(PAGE, left)
        found = await page(wanted, after)
        for one in found:
            yield one
        if len(found) < wanted:
            return
        after = id_of(found[-1])
        left = None if left is None else left - len(found)


async def print_json(records: AsyncIterator[dict[str, Any]]) -> None:
    """One JSON array, formatted like ``options.print_json``. Each record is printed as soon as it is read."""
    begun = False
    async for record in records:
        text = json.dumps(record, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        click.echo(f"{',' if begun else '['}\n  {text}", nl=False)
        begun = True
    click.echo("\n]" if begun else "[]")


async def print_lines(records: AsyncIterator[dict[str, Any]], line: Callable[[Any], str]) -> bool:
    """A line for each record. Returns False if there was none."""
    some = False
    async for record in records:
        click.echo(line(record))
        some = True
    return some
