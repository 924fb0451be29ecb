"""The session: one storage for all scripts, and the word that everybody is to stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import select

from framework.errors import ClaimLost, Unavailable
from framework.storage import Storage
from framework.storage.operations import Deliver, Delivery, Put, Release
from framework.storage.tables import ITEM
from framework.transactions import context
from framework.transactions.block import Block
from framework.transactions.run import Charge, Run
from framework.transactions.session import Session

pytestmark = pytest.mark.anyio


async def test_before_a_database_is_open_everything_is_unavailable() -> None:
    session = Session()
    assert not session.running
    with pytest.raises(Unavailable, match="no database is open"):
        await session.write([Put("q", "1", 1.0)])
    with pytest.raises(Unavailable):
        await session.load(ITEM, "id", 1)
    with pytest.raises(Unavailable):
        await session.select(select(ITEM))


async def test_it_runs_from_its_binding_to_its_stop(storage: Storage) -> None:
    session = Session()
    session.bind(storage)
    assert session.running
    assert session.storage is storage
    session.stop()
    assert not session.running
    await session.write([Put("q", "1", 1.0)])  # what is in work may still be stored
    session.bind(storage)
    assert session.running


async def test_a_stop_before_a_database_is_open_is_one() -> None:
    session = Session()
    session.stop()
    async with asyncio.timeout(10):
        await session.stopped()
        await session.sleep(60)
    assert not session.running


async def test_sleep_ends_at_a_stop_and_else_after_its_time(session: Session) -> None:
    started = time.monotonic()
    await session.sleep(0.02)
    assert 0.015 < time.monotonic() - started < 1
    sleeping = [asyncio.create_task(session.sleep(60)), asyncio.create_task(session.stopped())]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in sleeping)
    session.stop()
    async with asyncio.timeout(2):
        await asyncio.gather(*sleeping)
        await session.sleep(60)
        await session.stopped()


async def test_sleep_can_be_cancelled(session: Session) -> None:
    task = asyncio.create_task(session.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_reads_see_what_was_written(session: Session) -> None:
    [item_id] = await session.write([Put("q", "1", 1.0)])
    row = await session.load(ITEM, "id", item_id)
    assert row is not None
    assert [dict(selected) for selected in await session.select(select(ITEM))] == [dict(row)]


# ---- deliveries -------------------------------------------------------------------------------


async def test_a_delivery_that_nobody_waits_for_any_more_is_told(session: Session) -> None:
    await session.write([Put("q", "1", 1.0)])
    told: list[tuple[Any, Any]] = []
    task = asyncio.create_task(session.deliver([Deliver("q", 10.0)], lambda *outcome: told.append(outcome)))
    await session.storage.register()
    await asyncio.sleep(0)  # it is handed in
    task.cancel()
    await asyncio.wait([task])
    await session.write([Put("q", "2", 1.0)])  # behind it
    assert task.cancelled()
    [(answers, error)] = told
    assert isinstance(answers[0], Delivery)
    assert error is None


async def test_who_has_lost_its_item_gets_no_other_one(session: Session) -> None:
    await session.write([Put("q", "1", 1.0), Put("r", "1", 1.0)])
    [delivery] = await session.deliver([Deliver("q", 10.0)], lambda *_: None)
    context.enter_block(Block(delivery, asyncio.Future(), slow_after=60.0, timeout=None))
    await session.storage.write([Release(delivery.claim)])
    with pytest.raises(ClaimLost):
        await session.deliver([Deliver("r", 10.0)], lambda *_: None)


# ---- whom an error is charged to --------------------------------------------------------------


def test_an_error_is_charged_when_items_explain_all_of_it() -> None:
    first, second, other = KeyError("first"), ValueError("second"), OSError("of the worker itself")
    charges = [Charge(first, "offered again", "1"), Charge(second, "dead", "2")]
    run = Run("worker", charges=charges)
    assert run.charge(None) is None
    assert run.charge(other) is None
    assert run.charge(first) is charges[0]
    assert run.charge(second) is charges[1]
    assert run.charge(ExceptionGroup("both", [second, first])) is charges[1]
    assert run.charge(ExceptionGroup("one", [first])) is charges[0]
    assert run.charge(ExceptionGroup("not all", [first, other])) is None
    caused = RuntimeError("of the next layer")
    caused.__cause__ = first
    assert run.charge(caused) is charges[0]
    assert run.charge(ExceptionGroup("both", [second, caused])) is charges[1]
    caused.__cause__ = other
    assert run.charge(caused) is None
