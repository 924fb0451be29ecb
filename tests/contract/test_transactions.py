"""An interactive transaction: it sees what it wrote, others see it at its end, whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Table, select

from framework.errors import (
    ClaimLost,
    Duplicate,
    TransactionEnded,
)
from framework.storage import Storage
from framework.storage.gathering import Chosen, Gathering, Row
from framework.storage.operations import Deliver, Insert, Operation, Put, Release, Update

pytestmark = pytest.mark.anyio

LONG = 20.0


def never() -> str:
    raise AssertionError("no transaction took too long")


def key(table: Table, name: str) -> Insert:
    return Insert(table, {"key": name})


async def keys(storage: Storage, table: Table) -> list[str]:
    return [row["key"] for row in await storage.select(select(table).order_by(table.c.key))]


async def test_a_failing_step_is_undone_alone_and_the_transaction_stands(
    storage: Storage, things: Table
) -> None:
    async with storage.transaction(hold=LONG, expired=never) as held:
        await held.write([key(things, "a")])
        with pytest.raises(Duplicate):
            await held.write([key(things, "b"), key(things, "a")])
        await held.write([key(things, "c")])
        assert await storage.select(select(things)) == [], "others see it at its end"
    assert await keys(storage, things) == ["a", "c"]


async def test_after_its_end_nothing_is_done_in_it(storage: Storage, things: Table) -> None:
    async with storage.transaction(hold=LONG, expired=never) as held:
        await held.write([key(things, "a")])
    with pytest.raises(TransactionEnded):
        await held.write([key(things, "b")])
    assert await keys(storage, things) == ["a"]


async def test_what_is_written_beside_a_transaction_shares_nothing_with_it(
    storage: Storage, things: Table
) -> None:
    """A unit beside a transaction is stored, although that one is rolled back."""

    async def rolled_back() -> None:
        async with storage.transaction(hold=LONG, expired=never) as second:
            await second.write([key(things, "second")])
            raise KeyError

    async with storage.transaction(hold=LONG, expired=never) as first:
        waiting = [
            asyncio.ensure_future(storage.write([key(things, "before")])),
            asyncio.ensure_future(rolled_back()),
            asyncio.ensure_future(storage.write([key(things, "after")])),
        ]
        await asyncio.sleep(0.05)  # they may wait, or go on
        await first.write([key(things, "first")])
    async with asyncio.timeout(LONG / 2):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[1], KeyError)
    assert await keys(storage, things) == ["after", "before", "first"]


@pytest.mark.parametrize("read", ["load", "select", "gather"])
async def test_what_is_read_for_update_is_not_changed_by_others_meanwhile(
    storage: Storage, things: Table, another: Callable[[], Awaitable[Storage]], read: str
) -> None:
    await storage.write([Insert(things, {"key": "counter", "code": 0})])
    chosen = select(things).where(things.c.key == "counter")

    def gathering() -> Gathering[list[Row]]:
        return (yield Chosen(chosen, {}))

    async def count(counting: Storage) -> None:
        for _ in range(15):
            async with counting.transaction(hold=LONG, expired=never) as held:
                if read == "load":
                    row = await held.load(things, "key", "counter", for_update=True)
                elif read == "select":
                    [row] = await held.select(chosen, for_update=True)
                else:
                    [row] = await held.gather(gathering(), for_update=True)
                assert row is not None
                await asyncio.sleep(0)
                await held.write([Update(things, "key", "counter", {"code": row["code"] + 1})])

    other = await another()
    await asyncio.gather(count(storage), count(storage), count(other), count(other))
    [row] = await storage.select(chosen)
    assert row["code"] == 60


async def test_a_transaction_does_not_begin_without_its_claims(storage: Storage, things: Table) -> None:
    await storage.write([Put("q", "1", 1.0)])
    [delivery] = await storage.write([Deliver("q", 10.0)])
    async with storage.transaction(hold=LONG, expired=never, fences=[delivery.claim]) as held:
        await held.write([key(things, "a")])
    await storage.write([Release(delivery.claim)])
    with pytest.raises(ClaimLost):
        async with storage.transaction(hold=LONG, expired=never, fences=[delivery.claim]):
            raise AssertionError("it began")
    await storage.write([key(things, "b")])
    assert await keys(storage, things) == ["a", "b"]


@pytest.mark.parametrize("stored", [False, True])
async def test_only_what_was_stored_is_told_to_those_who_wait_for_it(storage: Storage, stored: bool) -> None:
    put: Callable[[str], list[Operation]] = lambda name: [Put(name, "1", 1.0)]  # noqa: E731
    with storage.watch(["q"]) as signal:
        with pytest.raises(KeyError):
            async with storage.transaction(hold=LONG, expired=never) as held:
                await held.write(put("other") if stored else put("q"))
                raise KeyError
        assert not await signal.changed(0.05)
        async with storage.transaction(hold=LONG, expired=never) as held:
            await held.write(put("q") if stored else put("other"))
        assert await signal.changed(LONG if stored else 0.05) is stored
