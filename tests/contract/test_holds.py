"""A process that has lost what it holds is told, and ends what it does under it."""

from __future__ import annotations

import asyncio

import pytest

from framework.errors import ClaimLost, StorageError
from framework.storage import Storage
from framework.storage.holds import Hold
from framework.storage.operations import Acknowledge, Deliver, Put

from .engines import Engine

pytestmark = pytest.mark.anyio


@pytest.fixture
async def disowned() -> asyncio.Future[str]:
    return asyncio.get_running_loop().create_future()


async def test_work_under_a_claim_and_a_lock_ends_when_the_process_loses_them(
    storage: Storage, engine: Engine, url: str
) -> None:
    await storage.write([Put("q", "1", 1.0)])
    [delivery] = await storage.write([Deliver("q", 10.0)])
    told: list[str] = []

    async def work() -> None:
        async with storage.alone("w"):
            with Hold(storage.disowned):
                engine.disown(url)
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    told.append("cancelled")
                    raise

    async with asyncio.timeout(20):
        with pytest.raises(ClaimLost, match="has lost what it held in the database"):
            await work()
    assert told == ["cancelled"]
    with pytest.raises(StorageError):
        await storage.write([Acknowledge(delivery.claim)])


async def test_nothing_is_lost_while_nothing_breaks(storage: Storage) -> None:
    await storage.write([Put("q", "1", 1.0), Deliver("q", 10.0)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(storage.disowned), 0.1)


async def test_the_task_goes_on_after_its_loss(disowned: asyncio.Future[str]) -> None:
    disowned.set_result("gone")
    with pytest.raises(ClaimLost, match="gone"), Hold(disowned):
        await asyncio.sleep(60)
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_outermost_of_several_holds_tells_of_the_loss(disowned: asyncio.Future[str]) -> None:
    disowned.set_result("gone")
    outer, inner = Hold(disowned), Hold(disowned)
    with pytest.raises(ClaimLost), outer, inner:
        await asyncio.sleep(60)
    assert inner.lost is not None
    assert outer.lost is not None


async def test_a_cancellation_from_outside_stays_one(disowned: asyncio.Future[str]) -> None:
    async def work() -> None:
        with Hold(disowned):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    disowned.set_result("gone")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_work_that_has_ended_is_not_cancelled(disowned: asyncio.Future[str]) -> None:
    with Hold(disowned) as hold:
        disowned.set_result("gone")  # who is told of it is called when the loop turns
    await asyncio.sleep(0.01)
    assert hold.lost is None


async def test_an_error_of_the_work_itself_is_what_is_raised(disowned: asyncio.Future[str]) -> None:
    disowned.set_result("gone")
    with pytest.raises(KeyError), Hold(disowned):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise KeyError from None
    await asyncio.sleep(0)
