"""``framework fifo ls``, ``show`` and ``peek``: looking, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from framework.cli import options, verbs
from framework.cli.fifo import access, records, text

if TYPE_CHECKING:
    from framework.storage import Storage


@click.command("ls")
@access.format_
@verbs.database
@click.pass_obj
def list_(url: str, format_: str) -> None:
    """List the FIFOs: how long, how many dead letters, and what each one does now.

    In JSON one array with a record as `show` gives it for each FIFO.
    """
    found = verbs.look(url, _all)
    if format_ == "json":
        options.print_json(found)
    elif not found:
        click.echo("no FIFOs yet; one is there from its first put on")
    else:
        click.echo("\n".join(text.fifo_table(found)))


async def _all(storage: Storage) -> list[dict[str, Any]]:
    states = [await storage.fifo_state(name) for name in await storage.fifo_names()]
    return [records.fifo_record(state) for state in states if state is not None]


@click.command()
@verbs.name
@access.format_
@verbs.database
@click.pass_obj
def show(url: str, name: str, format_: str) -> None:
    """Show all of one FIFO: what it does now and why it does not move, its policy, its head's last error.

    What is in work for longer than the policy's slow_after is marked SLOW.
    """

    async def work(storage: Storage) -> dict[str, Any]:
        return records.fifo_record(await access.known(storage, name))

    record = verbs.look(url, work)
    if format_ == "json":
        options.print_json(record)
    else:
        click.echo("\n".join(text.fifo_page(record)))


@click.command()
@verbs.name
@click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many items.")
@access.format_
@verbs.database
@click.pass_obj
def peek(url: str, name: str, number: int, format_: str) -> None:
    """Look at the first items of a FIFO, in order, the one in work included; they stay where they are."""

    async def work(storage: Storage) -> tuple[int | None, list[dict[str, Any]]]:
        state = await access.known(storage, name)
        items = [records.item_record(name, item) for item in await storage.peek(name, number)]
        return state.in_work.item_id if state.in_work else None, items

    in_work, found = verbs.look(url, work)
    if format_ == "json":
        options.print_json(found)
        return
    for record in found:
        click.echo(text.item_line(record, in_work))
    if not found:
        click.echo(f"FIFO {name} is empty")
