"""The sockets of the broadcasts, in the folder beside the database."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from framework.storage import Storage, open_storage
from tests.contract.processes import Child
from tests.contract.test_broadcast import LISTEN, Speaker, messages, send

__all__ = ["send"]  # a fixture of that module

pytestmark = pytest.mark.anyio


async def test_a_path_longer_than_an_address_may_be_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with open_storage(f"sqlite:///{folder}/test.db") as storage, storage.broadcast.listen() as heard:
        Speaker(storage)(1)
        assert await messages(heard, 1) == [1]


async def test_nobody_else_can_listen_or_send(storage: Storage, tmp_path: Path) -> None:
    async with storage.broadcast.listen():
        folder = tmp_path / "contract.db.run"
        [there] = folder.glob("listen-*")
        assert stat.S_IMODE(there.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "listeners").stat().st_mode) == 0o600


async def test_a_listener_leaves_nothing_behind(storage: Storage, send: Speaker, tmp_path: Path) -> None:
    for _ in range(3):
        async with storage.broadcast.listen():
            send(1)
    assert list((tmp_path / "contract.db.run").glob("*listen-*")) == []


async def test_a_listener_that_was_killed_is_forgotten(
    storage: Storage, send: Speaker, url: str, tmp_path: Path
) -> None:
    killed = await Child.start(LISTEN, url)
    await killed.line()
    send("a")
    assert await killed.line() == "0 1 a"
    await killed.kill()
    async with asyncio.timeout(20):
        while send.heard:
            send("b")
            await asyncio.sleep(0.01)
    async with storage.broadcast.listen() as heard:  # who looks again finds the socket of a dead one
        send("c")
        assert await messages(heard, 1) == ["c"]
        async with asyncio.timeout(20):
            while len(list((tmp_path / "contract.db.run").glob("listen-*"))) > 1:
                await asyncio.sleep(0.01)
