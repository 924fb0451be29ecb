"""Order is the order of commit: who follows what is put, or recorded, by its id misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from framework.storage import Storage
from framework.storage.operations import Acknowledge, Audit, Deliver, Delivery, Put
from framework.storage.tables import AUDIT

pytestmark = pytest.mark.anyio

Another = Callable[[], Awaitable[Storage]]
WRITERS, EACH = 6, 12


def never() -> str:
    raise AssertionError("no transaction took too long")


async def write(storage: Storage, writer: int, make: Callable[[str], Any]) -> None:
    """Every other one in a transaction that is still at work when it has been given its id."""
    for number in range(EACH):
        operation = make(f"{writer}-{number}")
        if number % 2:
            await storage.write([operation])
            continue
        async with storage.transaction(hold=20.0, expired=never) as held:
            await held.write([operation])
            await asyncio.sleep(0.002 * (writer % 3))


async def follow(
    look: Callable[[int], Awaitable[list[tuple[int, str]]]], writers: asyncio.Task[Any]
) -> list[str]:
    """What is seen by asking again and again for what came after the last id."""
    seen: list[str] = []
    last = 0
    while True:
        over = writers.done()
        for number, name in await look(last):
            assert number > last
            last = number
            seen.append(name)
        if over:
            return seen
        await asyncio.sleep(0)


async def at_once(storage: Storage, another: Another, make: Callable[[str], Any]) -> asyncio.Task[Any]:
    storages = [storage, await another(), await another()]
    return asyncio.ensure_future(
        asyncio.gather(*(write(storages[writer % 3], writer, make) for writer in range(WRITERS)))
    )


def in_order(seen: list[str]) -> bool:
    """All of them, each once, and those of one writer in its order."""
    expected = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(EACH)}
    return (
        set(seen) == expected
        and all(
            [name for name in seen if name.startswith(f"{writer}-")] == [f"{writer}-{n}" for n in range(EACH)]
            for writer in range(WRITERS)
        )
        and len(seen) == len(expected)
    )


async def test_who_follows_the_items_of_a_fifo_misses_none(storage: Storage, another: Another) -> None:
    async def look(after: int) -> list[tuple[int, str]]:
        return [(item.id, item.payload) for item in await storage.peek("q", 1000, after)]

    seen = await follow(look, await at_once(storage, another, lambda name: Put("q", name, 1.0)))
    assert in_order(seen)


async def test_who_follows_what_operators_did_misses_nothing(storage: Storage, another: Another) -> None:
    async def look(after: int) -> list[tuple[int, str]]:
        statement = select(AUDIT).where(AUDIT.c.id > after).order_by(AUDIT.c.id)
        return [(row["id"], row["action"]) for row in await storage.select(statement)]

    seen = await follow(
        look,
        await at_once(storage, another, lambda name: Audit(name, None, "{}", None, "alice", "here", 1, 1.0)),
    )
    assert in_order(seen)


async def test_items_are_delivered_in_the_order_in_which_their_puts_were_answered(
    storage: Storage, another: Another
) -> None:
    """One that was put before and committed later is neither overtaken nor slipped in before what is in work."""
    writers = await at_once(storage, another, lambda name: Put("q", name, 1.0))
    delivered: list[int] = []
    names: list[str] = []
    while True:
        over = writers.done()
        [answer] = await storage.write([Deliver("q", 10.0)])
        if isinstance(answer, Delivery):
            delivered.append(answer.claim.item_id)
            names.append(answer.payload)
            await storage.write([Acknowledge(answer.claim)])
        elif over:
            break
    assert delivered == sorted(delivered)
    assert in_order(names)
