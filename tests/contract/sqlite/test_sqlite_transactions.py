"""One writer at a time: who holds it makes all others wait, and not for ever. And what SQLite itself has ended."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy import Table

from framework.errors import Duplicate, TransactionTooLong, Unavailable
from framework.storage import Storage
from framework.storage.operations import Execute
from tests.contract.test_transactions import LONG, key, keys, never

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("passed_over", [False, True])
async def test_a_transaction_that_the_database_has_ended_stores_nothing(
    storage: Storage, things: Table, passed_over: bool
) -> None:
    """As SQLite ends it when a disk is full. A script that passes over the error does not get its way."""
    costly = Execute(things.insert().prefix_with("OR ROLLBACK", dialect="sqlite").values(key="a"))

    told: list[Unavailable] = []

    async def work() -> None:
        async with storage.transaction(hold=LONG, expired=never) as held:
            await held.write([key(things, "a")])
            for operation in (costly, key(things, "b")):
                try:
                    await held.write([operation])
                except Unavailable as error:
                    told.append(error)
            if not passed_over:
                raise KeyError

    with pytest.raises(Duplicate):  # its end says why the database has ended it
        await work()
    assert ["ended by the database" in str(error) for error in told] == [True, True]
    assert await keys(storage, things) == []
    async with storage.transaction(hold=LONG, expired=never) as held:
        await held.write([key(things, "a")])
    assert await keys(storage, things) == ["a"]


async def test_a_transaction_makes_every_other_write_wait(storage: Storage, things: Table) -> None:
    """That they share nothing is for every engine: ``contract/test_transactions.py``."""
    async with storage.transaction(hold=LONG, expired=never) as first:
        await first.write([key(things, "first")])
        waiting = asyncio.ensure_future(storage.write([key(things, "after")]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    await waiting
    assert await keys(storage, things) == ["after", "first"]


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
