"""SQLite: nothing is acknowledged before it is on the disk, and many share one trip to it.

Seen from outside: ``strace`` shows each system call of a real process.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from framework.storage import open_storage
from framework.storage.operations import Deliver, Put, Undelivered
from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace.txt"


def tracing(trace: Path) -> list[str]:
    """The command that notes each write to a file or a pipe and each sync."""
    return ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=write,pwrite64,fdatasync,fsync"]


def calls(trace: Path) -> list[str]:
    """``wal`` for each write to the log, ``sync`` for each sync of it, ``say N`` for each acknowledgement."""
    found: list[str] = []
    pending: dict[str, str] = {}  # a call that another thread's interrupts ends on a line of its own
    for line in trace.read_text().splitlines():
        thread, _, call = line.partition(" ")
        if call.rstrip().endswith("<unfinished ...>"):
            pending[thread] = call
            if "write(1<" not in call:
                continue
        elif "resumed>" in call:
            call = pending.pop(thread, "")
            if "write(1<" in call:
                continue  # it was noted when it began
        if re.search(r"(pwrite64|write)\(\d+<[^>]*-wal>", call):
            found.append("wal")
        elif re.search(r"f(data)?sync\(\d+<[^>]*-wal>", call):
            found.append("sync")
        elif said := re.search(r'write\(1<.*>, "(said \d+)', call):
            found.append(said[1])
    return found


@strace
async def test_an_acknowledgement_comes_after_the_sync_of_its_write(url: str, trace: Path) -> None:
    child = await Child.start(
        """
        for n in range(30):
            await db.write([Put("q", str(n), 1.0)])
            say("said", n)
        """,
        url,
        before=tracing(trace),
    )
    await child.end()
    seen = calls(trace)
    assert seen.count("said 29") == 1
    since = seen[: seen.index("said 0")]
    for n in range(30):
        assert "wal" in since, n
        last = len(since) - since[::-1].index("wal")
        assert "sync" in since[last:], f"put {n} was acknowledged before it was synced: {since}"
        rest = seen[seen.index(f"said {n}") + 1 :]
        since = rest[: rest.index(f"said {n + 1}")] if n < 29 else []


@strace
@pytest.mark.parametrize("failing", ["0", "1"])
async def test_units_that_wait_share_a_commit(url: str, trace: Path, failing: str) -> None:
    """Also when one of them fails: it is undone alone, and the others need no trips of their own."""
    child = await Child.start(
        """
        await db.write([Put("q", "0", 1.0)])
        units = [[Put("q", str(n), 1.0)] for n in range(500)]
        if sys.argv[2] == "1":
            units[100].append(Acknowledge(Claim("q", 999_999, 1)))
        say("said", 1)
        outcomes = await asyncio.gather(*map(db.write, units), return_exceptions=True)
        say("said", 2)
        assert [type(outcome).__name__ for outcome in outcomes].count("ClaimLost") == int(sys.argv[2])
        assert (await db.fifo_state("q")).length == 501 - int(sys.argv[2])
        """,
        url,
        failing,
        before=tracing(trace),
    )
    await child.end()
    seen = calls(trace)
    between = seen[seen.index("said 1") : seen.index("said 2")]
    assert 1 <= between.count("sync") <= 25


async def test_the_database_is_in_wal_mode_and_sound(tmp_path: Path) -> None:
    path = tmp_path / "wal.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.write([Put("q", "1", 1.0)])
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


async def test_locks_lie_beside_the_real_file(tmp_path: Path) -> None:
    """Two names of one file are one database: what one has in work, the other sees as busy."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "name.db").symlink_to(tmp_path / "real" / "q.db")
    urls = [f"sqlite:///{tmp_path}/{name}" for name in ("real/q.db", "link/q.db", "name.db")]
    async with open_storage(urls[0]) as one, open_storage(urls[1]) as two, open_storage(urls[2]) as three:
        await one.write([Put("q", "1", 1.0), Deliver("q", 10.0)])
        for other in (two, three):
            assert await other.write([Deliver("q", 10.0)]) == [Undelivered("busy")]
