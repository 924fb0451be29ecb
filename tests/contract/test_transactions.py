"""An interactive transaction: the writer is its own until its end, and then everybody's again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Table, select

from framework.errors import (
    ClaimLost,
    Duplicate,
    TransactionEnded,
    TransactionTooLong,
)
from framework.storage import Storage
from framework.storage.operations import Deliver, Insert, Operation, Put, Release

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


@pytest.mark.parametrize("commit", [False, True])
async def test_one_that_takes_too_long_is_rolled_back_and_told_why(
    storage: Storage, things: Table, commit: bool
) -> None:
    told: list[str] = []

    def expired() -> str:
        told.append("once")
        return "it took too long"

    async def work() -> None:
        async with storage.transaction(hold=0.05, expired=expired) as held:
            await held.write([key(things, "a")])
            async with asyncio.timeout(LONG):
                while not told:
                    await asyncio.sleep(0.01)
                await storage.write([key(things, "b")])  # the writer is everybody's again
            with pytest.raises(TransactionTooLong, match="it took too long"):
                await held.write([key(things, "c")])
            if not commit:
                raise KeyError

    with pytest.raises(TransactionTooLong if commit else KeyError) as caught:
        await work()
    assert commit is ("it took too long" in str(caught.value))
    assert told == ["once"]
    assert await keys(storage, things) == ["b"]


async def test_one_that_is_at_work_all_the_time_may_take_longer(storage: Storage, things: Table) -> None:
    async with storage.transaction(hold=0.2, expired=never) as held:
        for number in range(8):
            await held.write([key(things, str(number))])
            await asyncio.sleep(0.05)
    assert len(await keys(storage, things)) == 8


async def test_those_who_wait_for_the_writer_share_nothing_with_a_transaction(
    storage: Storage, things: Table
) -> None:
    """A unit that waits beside a transaction is stored, although that one is rolled back."""

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
        await asyncio.sleep(0.05)
        assert not any(one.done() for one in waiting)
        await first.write([key(things, "first")])
    async with asyncio.timeout(LONG / 2):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[1], KeyError)
    assert await keys(storage, things) == ["after", "before", "first"]


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


async def test_who_gives_up_as_it_waits_leaves_the_writer_to_others(storage: Storage, things: Table) -> None:
    """And no error behind that nobody has asked for."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def begin() -> None:
        async with storage.transaction(hold=LONG, expired=never):
            raise AssertionError("it began")

    async with storage.transaction(hold=LONG, expired=never) as held:
        task = asyncio.create_task(begin())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await held.write([key(things, "a")])
    async with asyncio.timeout(LONG / 2):
        await storage.write([key(things, "b")])
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []
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
