"""Cache: values that are kept for some seconds."""

from __future__ import annotations

import asyncio
import time

import pytest

from framework.script.cache import MOST_KEYS, CacheStore

pytestmark = pytest.mark.anyio


async def test_a_value_is_there_until_it_is_deleted() -> None:
    cache = CacheStore()
    await cache("k").put({"a": 1})
    assert await cache("k").exists()
    assert await cache("k").get() == {"a": 1}
    await cache("k").delete()
    await cache("k").delete()
    assert not await cache("k").exists()
    assert await cache("k", timeout=0).get() is None


async def test_keys_are_kept_apart_and_stores_as_well() -> None:
    one, two = CacheStore(), CacheStore()
    await one("a").put(1)
    assert not await one("b").exists()
    assert not await two("a").exists()


async def test_a_value_expires() -> None:
    cache = CacheStore()
    await cache("k", ttl=0.05).put(1)
    assert await cache("k").exists()
    await asyncio.sleep(0.06)
    assert not await cache("k").exists()
    assert await cache("k", timeout=0).get() is None


async def test_writing_again_starts_its_time_again() -> None:
    cache = CacheStore()
    await cache("k", ttl=0.05).put(1)
    await cache("k", ttl=60).put(2)
    await asyncio.sleep(0.06)
    assert await cache("k").get() == 2


async def test_get_waits_for_a_value_but_no_longer_than_its_timeout() -> None:
    cache = CacheStore()
    waiting = asyncio.create_task(cache("k", timeout=5).get())
    await asyncio.sleep(0.03)
    await cache("k").put("late")
    async with asyncio.timeout(2):
        assert await waiting == "late"
    started = time.monotonic()
    assert await cache("other", timeout=0.05).get() is None
    assert 0.04 < time.monotonic() - started < 1


async def test_none_and_false_are_values() -> None:
    cache = CacheStore()
    for value in (None, False, 0, ""):
        await cache("k", timeout=30).put(value)
        async with asyncio.timeout(1):
            assert await cache("k", timeout=30).get() is value
        assert await cache("k").exists()


async def test_it_does_not_grow_for_ever() -> None:
    cache = CacheStore()
    for n in range(MOST_KEYS + 10):
        await cache(str(n), ttl=60).put(n)
    kept = [n for n in range(MOST_KEYS + 10) if await cache(str(n)).exists()]
    assert kept == list(range(10, MOST_KEYS + 10))
