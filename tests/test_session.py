"""The session: one storage for all scripts, and the word that everybody is to stop."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import select

from framework.errors import Unavailable
from framework.session import Session
from framework.storage import Storage
from framework.storage.operations import Put
from framework.storage.tables import ITEM

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
