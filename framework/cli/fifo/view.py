"""``framework fifo ls``, ``show`` and ``peek``, which change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from framework.cli import lists, options, verbs
from framework.cli.fifo import access, records, text

if TYPE_CHECKING:
    from framework.storage import Storage


@click.command("ls", short_help="List the FIFOs and what each one does now.")
@access.format_
@verbs.database
@click.pass_obj
def list_(url: str, format_: str) -> None:
    """List the FIFOs, with their lengths, their dead letters, and what each one does now.

    In JSON it prints one array with the record of `show` for each FIFO.
    """
    rows = text.FifoTable()

    async def work(storage: Storage) -> None:
        records = _all(storage)
        at = await storage.drained_at()
        if at is not None:
            note = f"drained at {options.shown_time(at)}: servers that ran then deliver nothing new"
            click.echo(f"framework: {note}; a restart or `framework drain --off` ends that", err=True)
        if format_ == "json":
            await lists.print_json(records)
            return
        async for record in records:
            rows.add(record)

    verbs.read(url, work)
    if format_ == "text":
        click.echo("\n".join(rows.lines()) or "no FIFOs yet; one is there from its first put on")


async def _all(storage: Storage) -> AsyncIterator[dict[str, Any]]:
    """Each page is one query, even with 10,000 FIFOs."""
    after = ""
    while states := await storage.fifo_states(after, lists.PAGE):
        for state in states:
            yield records.fifo_record(state)
        after = states[-1].name


@click.command(short_help="Show everything of one FIFO.")
@verbs.name
@access.format_
@verbs.database
@click.pass_obj
def show(url: str, name: str, format_: str) -> None:
    """Show everything of one FIFO: what it does now and why it does not move, its policy, and its head's last error.

    An item in work for longer than the policy's slow_after is marked SLOW.
    """

    async def work(storage: Storage) -> dict[str, Any]:
        return records.fifo_record(await access.known(storage, name))

    record = verbs.read(url, work)
    if format_ == "json":
        options.print_json(record)
    else:
        click.echo("\n".join(text.fifo_page(record)))


@click.command()
@verbs.name
@click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many items.")
@lists.after
@access.format_
@verbs.database
@click.pass_obj
def peek(url: str, name: str, number: int, after: int, format_: str) -> None:
    """Show the first items of a FIFO, in order, with the one in work. They stay in the queue."""

    async def work(storage: Storage) -> None:
        state = await access.known(storage, name)
        in_work = state.in_work.item_id if state.in_work else None
        items = lists.pages(
            lambda limit, after: storage.peek(name, limit, after),
            lambda item: item.id,
            after=after,
            limit=number,
        )
        found = (records.item_record(name, item) async for item in items)
        if format_ == "json":
            await lists.print_json(found)
        elif not await lists.print_lines(found, lambda record: text.item_line(record, in_work)):
            click.echo(f"FIFO {name} is empty" if not after else f"FIFO {name} has no item behind {after}")

    verbs.read(url, work)
