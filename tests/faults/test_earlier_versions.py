"""Processes of earlier versions kept their locks in files: they and today's never work on one database at once."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from framework.errors import CannotOpen
from framework.storage import migrate, open_storage
from framework.storage.operations import Deliver, Put

pytestmark = pytest.mark.anyio

# What such a process does at its start: it takes the lock of a file of its own, and signs it.
EARLIER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(file, fcntl.LOCK_EX)
os.pwrite(file, f"{os.getpid()} tower".encode().ljust(128), 0)
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


async def start_earlier(database: Path) -> asyncio.subprocess.Process:
    folder = Path(f"{database}.run")
    folder.mkdir(mode=0o700, exist_ok=True)
    pipe = asyncio.subprocess.PIPE
    lock = folder / "user-4711-abcd.lock"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", EARLIER, lock, stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"open\n"
    return child


async def test_nothing_is_opened_or_migrated_beside_one(database: Path) -> None:
    url = f"sqlite:///{database}"
    async with open_storage(url) as storage:
        await storage.write([Put("q", "1", 1.0)])
    child = await start_earlier(database)
    for reading in (False, True):
        with pytest.raises(CannotOpen, match=rf"earlier version .* \(process {child.pid} on tower\)"):
            async with open_storage(url, reading=reading):
                pass
    with pytest.raises(CannotOpen, match="earlier version"):
        migrate(url, [])
    child.kill()
    await child.wait()
    async with open_storage(url) as storage:
        [delivery] = await storage.write([Deliver("q", 2.0)])
        assert delivery.payload == "1"
    assert not list(Path(f"{database}.run").glob("user-*"))


async def test_one_that_starts_later_gets_no_number_and_so_no_item(database: Path) -> None:
    async with open_storage(f"sqlite:///{database}") as storage:
        await storage.write([Put("q", "1", 1.0), Deliver("q", 2.0)])
        with (
            closing(sqlite3.connect(database)) as connection,
            pytest.raises(sqlite3.IntegrityError, match="newer version"),
        ):
            connection.execute("INSERT INTO _framework_process (host, pid, started_at) VALUES ('h', 1, 1.0)")
