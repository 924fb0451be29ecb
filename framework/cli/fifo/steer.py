"""``framework fifo put, pause, resume, retry, skip, drop, purge, forget``. A running server notices it at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from framework.cli import options, streams, verbs
from framework.cli.fifo import access, large

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import Operation

_KEYS_AT_ONCE = 10_000


@click.command()
@verbs.name
@click.argument("item", metavar="JSON")
@click.option(
    "--key",
    help="If a put had this key in the policy's last key_window seconds, put nothing and print the first id.",
)
@verbs.database
@click.pass_obj
def put(url: str, name: str, item: str, key: str | None) -> None:
    """Put an item at the tail of a FIFO and print its id. - reads the item from standard input.

    \b
    framework fifo put orders '{"orderId": 7}'

    The policy that the last start recorded applies: max_item_bytes, max_length,
    key_window. The first put creates the FIFO. Standard error says so, in case the
    name is misspelt.
    """
    value = _parsed(item)

    async def work(storage: Storage) -> tuple[int | None, str | None]:
        from framework.access import audit
        from framework.queue import policies
        from framework.queue.fifo import Fifos
        from framework.transactions.session import Session

        state = await storage.fifo_state(name)
        session = Session()
        session.bind(storage)
        policy = policies.from_json(name, state.policy if state else None)
        fifo = Fifos(session, policies.Policies([policy]))(name)
        conn = session.connection()
        async with conn.begin():
            item_id = await fifo.put(value, key, conn=conn)
            await conn.write([audit.entry("fifo put", name, item=item_id)])
        return item_id, None if state else access.similar(name, await _others(storage, name))

    item_id, new = verbs.run(url, work)
    click.echo(item_id)
    if new is not None:
        click.echo(f"framework: made the FIFO {name!r}, which is new{new}", err=True)


async def _others(storage: Storage, name: str) -> list[str]:
    return [other for other in await storage.fifo_names() if other != name]


def _parsed(item: str) -> Any:
    try:
        return json.loads(streams.read_input() if item == "-" else item)
    except (ValueError, RecursionError) as error:
        options.cannot_run(f"the item is not JSON: {error}. A text needs quotes of its own: '\"text\"'")


@click.command()
@verbs.name
@verbs.database
@click.pass_obj
def pause(url: str, name: str) -> None:
    """Stop deliveries from a FIFO, even across a restart. An item in work ends normally."""
    from framework.storage.operations import Pause

    _change(url, "pause", name, Pause(name, True))
    click.echo(f"FIFO {name} is paused")


@click.command()
@verbs.name
@verbs.database
@click.pass_obj
def resume(url: str, name: str) -> None:
    """Start deliveries again."""
    from framework.storage.operations import Pause

    _change(url, "resume", name, Pause(name, False))
    click.echo(f"FIFO {name} delivers")


@click.command()
@verbs.name
@verbs.database
@click.pass_obj
def retry(url: str, name: str) -> None:
    """End the back-off or the hold of a FIFO's head now."""
    from framework.storage.operations import RetryNow

    ended = _change(url, "retry", name, RetryNow(name))
    click.echo(f"the head of FIFO {name} is offered now" if ended else f"FIFO {name} holds nothing back")


@click.command()
@verbs.name
@verbs.database
@click.pass_obj
def skip(url: str, name: str) -> None:
    """Send a FIFO's head to the dead letters, with the reason `skipped`. An item in work is refused."""
    from framework.storage.operations import Skip

    item_id = _change(url, "skip", name, Skip(name, time.time()), _needed(f"FIFO {name} is empty"))
    click.echo(f"item {item_id} of FIFO {name} is a dead letter now")


@click.command()
@verbs.name
@click.argument("item_id", metavar="ID", type=int)
@verbs.database
@click.pass_obj
def drop(url: str, name: str, item_id: int) -> None:
    """Delete one waiting item for good. An item in work is refused."""
    from framework.storage.operations import Drop

    _change(
        url, "drop", name, Drop(name, item_id), _needed(f"FIFO {name} has no item {item_id}"), item=item_id
    )
    click.echo(f"item {item_id} of FIFO {name} is deleted")


@click.command()
@verbs.name
@click.option("--yes", is_flag=True, help="Really delete. Without it, only print the number.")
@verbs.database
@click.pass_obj
def purge(url: str, name: str, yes: bool) -> None:
    """Delete all waiting items of a FIFO for good. An item in work stays.

    Many are deleted in portions, the oldest first, while others can write. Items that are put meanwhile stay.
    """
    progress = large.Progress("items")

    async def delete(storage: Storage) -> int:
        from framework.storage.operations import Purge

        state = await access.known(storage, name)
        last, _ = await storage.last_ids(name)
        return await large.change(
            storage, progress, state.length, lambda limit: Purge(name, last, limit), ("fifo purge", name, {})
        )

    async def waiting(storage: Storage) -> tuple[int, str]:
        state = await access.known(storage, name)
        # An item that a dead process left in work stays as well, because its outcome is not decided yet.
        stays = f"; item {state.in_work.item_id} is in work and stays" if state.in_work else ""
        return state.length - bool(stays), stays

    if not yes:
        number, stays = verbs.read(url, waiting)
        options.cannot_run(
            f"this would delete {number} item(s) of FIFO {name} for good{stays}: add --yes if that is meant"
        )
    try:
        click.echo(f"{verbs.run(url, delete)} item(s) of FIFO {name} deleted")
    except KeyboardInterrupt:
        raise large.broken_off(progress) from None


@click.command(short_help="Remove an empty FIFO from the list.")
@verbs.name
@verbs.database
@click.pass_obj
def forget(url: str, name: str) -> None:
    """Remove an empty FIFO from the list, with its pause and its recorded policy. A FIFO with content is refused.

    The next put creates it again, and a running server goes on with its policy.
    Servers remove FIFOs that are unused for 90 days (FRAMEWORK_KEEP_UNUSED_FIFOS).
    """

    async def work(storage: Storage) -> None:
        from framework.access import audit
        from framework.storage.operations import Forget

        await access.known(storage, name)
        gone = False
        while not gone:
            async with verbs.transaction(storage) as transaction:
                [gone] = await transaction.write([Forget(name, _KEYS_AT_ONCE)])
                if gone:
                    await transaction.write([audit.entry("fifo forget", name)])

    verbs.run(url, work)
    click.echo(f"FIFO {name} is forgotten")


def _change(
    url: str,
    verb: str,
    name: str,
    operation: Operation,
    check: Callable[[Any], None] = lambda answer: None,
    **arguments: Any,
) -> Any:
    """Run one operation on an existing FIFO, record it, and return its answer. A refused operation leaves no
    record."""

    async def work(storage: Storage) -> Any:
        from framework.access import audit

        await access.known(storage, name)
        async with verbs.transaction(storage) as transaction:
            [answer] = await transaction.write([operation])
            check(answer)
            await transaction.write([audit.entry(f"fifo {verb}", name, **arguments)])
        return answer

    return verbs.run(url, work)


def _needed(otherwise: str) -> Callable[[Any], None]:
    def check(answer: Any) -> None:
        if not answer:
            raise verbs.Refused(otherwise)

    return check
