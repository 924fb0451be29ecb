"""Watches: whoever waits for a FIFO is woken by what makes something deliverable, and misses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from framework.storage import Storage
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Failure,
    Operation,
    Pause,
    Put,
    Redrive,
    Release,
    RetryNow,
    Skip,
)

pytestmark = pytest.mark.anyio

FAILED = Failure("KeyError", None, 7.0)


async def claimed(storage: Storage) -> Delivery:
    [_, delivery] = await storage.write([Put("q", "1", 1.0), Deliver("q", 10.0)])
    return delivery


async def test_a_put_wakes_who_watches_its_fifo(storage: Storage) -> None:
    with storage.watch(["p", "q"]) as signal:
        await storage.write([Put("q", "1", 1.0)])
        assert await signal.changed(5)
        assert not await signal.changed(0.01)
        await storage.write([Put("p", "1", 1.0)])
        assert await signal.changed(5)


async def test_a_put_to_another_fifo_wakes_nobody(storage: Storage) -> None:
    with storage.watch(["q"]) as signal:
        await storage.write([Put("p", "1", 1.0)])
        assert not await signal.changed(0.02)


@pytest.mark.parametrize(
    "end", [Acknowledge, Release, lambda claim: Release(claim, FAILED), lambda claim: Bury(claim, FAILED)]
)
async def test_the_end_of_an_item_wakes(storage: Storage, end: Callable[[Claim], Operation]) -> None:
    delivery = await claimed(storage)
    with storage.watch(["q"]) as signal:
        await storage.write([end(delivery.claim)])
        assert await signal.changed(5)


@pytest.mark.parametrize("verb", [Pause("q", False), RetryNow("q"), Skip("q", 1.0), Redrive("q")])
async def test_a_verb_that_sets_a_fifo_going_wakes(storage: Storage, verb: Operation) -> None:
    for failure in (FAILED, None):  # one dead letter, one held head
        delivery = await claimed(storage)
        end = Bury(delivery.claim, FAILED) if failure else Release(delivery.claim, FAILED, hold=True)
        await storage.write([end])
    await storage.write([Pause("q", True), Put("q", "2", 1.0)])
    with storage.watch(["q"]) as signal:
        await storage.write([verb])
        assert await signal.changed(5)


async def test_a_unit_that_failed_wakes_nobody(storage: Storage) -> None:
    delivery = await claimed(storage)
    await storage.write([Acknowledge(delivery.claim)])
    with storage.watch(["q"]) as signal:
        results = await asyncio.gather(
            storage.write([Put("q", "1", 1.0), Acknowledge(delivery.claim)]), return_exceptions=True
        )
        assert isinstance(results[0], Exception)
        assert not await signal.changed(0.02)


async def test_a_change_between_the_look_and_the_wait_is_not_missed(storage: Storage) -> None:
    with storage.watch(["q"]) as signal:
        await storage.write([Deliver("q", 10.0)])
        await storage.write([Put("q", "1", 1.0)])
        await asyncio.sleep(0.01)
        started = time.monotonic()
        assert await signal.changed(5)
        assert time.monotonic() - started < 1


async def test_all_who_watch_are_woken_and_each_once(storage: Storage) -> None:
    with storage.watch(["q"]) as one, storage.watch(["q"]) as two:
        await storage.write([Put("q", "1", 1.0)])
        assert await asyncio.gather(one.changed(5), two.changed(5)) == [True, True]
        assert await asyncio.gather(one.changed(0.01), two.changed(0.01)) == [False, False]


async def test_a_watch_that_has_ended_does_not_disturb_the_others(storage: Storage) -> None:
    with storage.watch(["q"]) as signal:
        with storage.watch(["q"]):
            pass
        await storage.write([Put("q", "1", 1.0)])
        assert await signal.changed(5)


@pytest.mark.parametrize("fifos", [["q"], ["p", "q"], []])
async def test_wake_all_rings_every_watch(storage: Storage, fifos: list[str]) -> None:
    with storage.watch(fifos) as signal:
        waiting = asyncio.create_task(signal.changed(5))
        await asyncio.sleep(0)
        storage.wake_all()
        started = time.monotonic()
        assert await waiting
        assert time.monotonic() - started < 1


async def test_no_wake_up_is_missed(storage: Storage) -> None:
    """Three consumers that sleep for long whenever they find nothing; not one item may have to wait."""
    total, done = 600, 0

    async def consume() -> None:
        nonlocal done
        with storage.watch(["q"]) as signal:
            while done < total:
                [answer] = await storage.write([Deliver("q", time.time())])
                if isinstance(answer, Delivery):
                    done += 1
                    if done % 5 == 0:
                        await asyncio.sleep(0)
                    await storage.write([Acknowledge(answer.claim)])
                else:
                    assert await signal.changed(20), f"slept with {total - done} items to do"
        storage.wake_all()

    async def fill() -> None:
        for n in range(total):
            await storage.write([Put("q", str(n), time.time())])
            if n % 7 == 0:
                await asyncio.sleep(0.0005)

    started = time.monotonic()
    await asyncio.gather(fill(), *(consume() for _ in range(3)))
    assert time.monotonic() - started < 15
