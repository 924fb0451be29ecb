"""Watches: whoever waits for a FIFO is woken by what makes something deliverable, and misses nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from framework.storage import Storage
from framework.storage.contract import Acknowledge, Deliver, Delivery, Put, Release

pytestmark = pytest.mark.anyio


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


async def test_acknowledging_and_releasing_wake(storage: Storage) -> None:
    for n in range(2):
        delivery = await claimed(storage)
        end = Release(delivery.claim, failed=True) if n else Acknowledge(delivery.claim)
        with storage.watch(["q"]) as signal:
            await storage.write([end])
            assert await signal.changed(5), end


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
