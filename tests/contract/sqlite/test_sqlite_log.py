"""SQLite's write-ahead log: a long reader makes it grow, and when it has gone, the file becomes small again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from framework.storage import open_storage
from framework.storage.operations import Acknowledge, Deliver, Delivery, Put
from framework.storage.sqlite import checkpoints

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is 100 MB in the product is 1 MB here, and a minute a moment."""
    monkeypatch.setattr(checkpoints, "LONGEST_LOG", 250)
    monkeypatch.setattr(checkpoints, "LARGEST_FILE", 1 << 20)
    monkeypatch.setattr(checkpoints, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(checkpoints, "TRY_AGAIN", 0.05)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        yield connection


def size(tmp_path: Path) -> int:
    return os.stat(tmp_path / "x.db-wal").st_size


async def until_small(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        while size(tmp_path) > 1 << 20:
            await asyncio.sleep(0.02)


async def test_the_log_is_truncated_when_a_long_reader_has_gone_and_nobody_writes(
    tmp_path: Path, reader: sqlite3.Connection
) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/x.db") as storage:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM _framework_fifo").fetchall()
        for _ in range(8):
            await storage.write([Put("q", "1" * 1000, 0.0) for _ in range(500)])
        await asyncio.sleep(0.3)
        assert size(tmp_path) > 4 << 20, "it is needed while the reader reads"
        assert reader.execute("SELECT count(*) FROM _framework_item").fetchone() == (0,)
        reader.execute("COMMIT")
        await until_small(tmp_path)
        [delivery] = await storage.write([Deliver("q", 0.0)])
        assert isinstance(delivery, Delivery)
        await storage.write([Acknowledge(delivery.claim)])


async def test_a_log_that_somebody_else_left_is_truncated_too(
    tmp_path: Path, reader: sqlite3.Connection
) -> None:
    """A process that wrote much, and did not live to see the end of the reader."""
    url = f"sqlite:///{tmp_path}/x.db"
    async with open_storage(url) as storage:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM _framework_fifo").fetchall()
        async with open_storage(url) as other:
            for _ in range(8):
                await other.write([Put("q", "1" * 1000, 0.0) for _ in range(500)])
        await storage.write([Put("p", "1", 0.0)])
        assert size(tmp_path) > 4 << 20
        reader.execute("COMMIT")
        await until_small(tmp_path)
        assert len(await storage.peek("q", 5000)) == 4000
