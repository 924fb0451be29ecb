"""``alone``: a lock that one holder in the whole installation has, freed when its process dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from framework.storage import Storage

from .processes import Child

pytestmark = pytest.mark.anyio

HOLD = """
    async with db.alone("w"):
        say("held")
        await hear()
    say("freed")
"""


async def test_tasks_exclude_each_other(storage: Storage, another: Callable[[], Awaitable[Storage]]) -> None:
    inside = most = 0

    async def enter(holder: Storage) -> None:
        nonlocal inside, most
        async with holder.alone("w"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    other = await another()
    await asyncio.gather(*(enter(holder) for holder in (storage, storage, other, other)))
    assert (inside, most) == (0, 1)


async def test_locks_of_other_names_are_others(storage: Storage) -> None:
    async with asyncio.timeout(1), storage.alone("a"), storage.alone("b/../:"), storage.alone("ü" * 300):
        pass


async def test_it_is_freed_by_an_exception_and_by_cancelling(storage: Storage) -> None:
    with pytest.raises(KeyError):
        async with storage.alone("w"):
            raise KeyError
    holding = asyncio.Event()

    async def hold() -> None:
        async with storage.alone("w"):
            holding.set()
            await asyncio.sleep(60)

    holder = asyncio.create_task(hold())
    await holding.wait()
    waiter = asyncio.create_task(hold())
    await asyncio.sleep(0.02)
    for task in (waiter, holder):  # one who waits gives up, then the one who holds
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(1), storage.alone("w"):
        pass


async def test_processes_exclude_each_other_until_the_holder_lets_go(storage: Storage, url: str) -> None:
    child = await Child.start(HOLD, url)
    assert await child.line() == "held"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), storage.alone("w"):
            pass
    await child.tell()
    assert await child.line() == "freed"
    async with asyncio.timeout(1), storage.alone("w"):
        pass
    await child.end()


async def test_it_is_freed_when_its_holder_is_killed(storage: Storage, url: str) -> None:
    child = await Child.start(HOLD, url)
    assert await child.line() == "held"
    waiting = asyncio.ensure_future(storage.alone("w").__aenter__())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    killed = time.monotonic()
    await child.kill()
    async with asyncio.timeout(2):
        await waiting
    assert time.monotonic() - killed < 1
