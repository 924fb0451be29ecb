"""The clocks of the machine: the steady one begins anew with each boot, and the wall clock has its say then."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from framework.storage import Storage, age
from framework.storage.operations import Deliver, Put, Release, RetryNow, Undelivered
from tests.contract.test_steering import FAILED, one, put, take

pytestmark = pytest.mark.anyio


async def test_a_back_off_of_another_boot_of_the_machine_is_over(storage: Storage, url: str) -> None:
    """The steady clock begins anew with the machine: nobody waits for what it would have come to."""
    await put(storage, '"a"')
    for retried in (False, True):
        await one(storage, Release((await take(storage)).claim, FAILED, 60.0))
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute("UPDATE _framework_item SET not_before = not_before + 1e6")
        if retried:
            assert await one(storage, RetryNow("q")) is False
        delivery = await take(storage)
        assert delivery.payload == '"a"'
        await one(storage, Release(delivery.claim))


async def test_a_back_off_is_told_by_one_steady_clock_to_all_who_ask(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = began = age.steady()
    monkeypatch.setattr(age, "steady", lambda: now)
    await put(storage, '"a"')
    await one(storage, Release((await take(storage)).claim, FAILED, 60.0))
    for passed, left in ((0.0, 60.0), (59.0, 1.0)):
        now = began + passed
        [item] = await storage.peek("q", 1)
        assert item.retry_in == pytest.approx(left)
        assert (await one(storage, Deliver("q", 10.0))) == Undelivered("waiting", pytest.approx(left))
    now += 1.0
    assert (await take(storage)).payload == '"a"'


@pytest.mark.parametrize("wrong", [-7200.0, 7200.0])
async def test_a_key_of_an_earlier_boot_is_told_by_the_clock_of_the_database_and_not_of_its_sender(
    storage: Storage, url: str, wrong: float
) -> None:
    at = time.time()
    [first] = await put_keyed(storage, at)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE _framework_clock SET began = lived + 1")
    assert await put_keyed(storage, at + wrong) == [first]


async def put_keyed(storage: Storage, at: float) -> list[int]:
    return await storage.write([Put("q", '"a"', at, "key", 300.0)])
