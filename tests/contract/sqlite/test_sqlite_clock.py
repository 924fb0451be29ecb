"""Back-offs on the steady clock of the machine, which begins anew with each boot."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from framework.storage import Storage
from framework.storage.operations import Release, RetryNow
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
