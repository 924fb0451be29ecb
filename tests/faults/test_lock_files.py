"""The folder beside the database goes away under processes that work: no owner is taken for dead."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.storage import Storage, open_storage
from framework.storage.operations import Deliver, Delivery, Put, Undelivered
from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

WORK = """
    [delivery] = await db.write([Deliver("q", 10.0, "w")])
    async with db.alone("worker W"):
        say("works")
        await hear()
        [_, delivery] = await db.write([Acknowledge(delivery.claim), Deliver("q", 10.0, "w")])
        say(delivery.payload)
        await hear()
"""


def deleted(run: Path) -> None:
    shutil.rmtree(run)


def lock_files_deleted(run: Path) -> None:
    for lock in run.glob("*.lock"):
        lock.unlink()


def renamed(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def emptied(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir(mode=0o700)


FAULTS = [deleted, lock_files_deleted, renamed, emptied]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/q.db"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("opened", ["before", "after"])
async def test_a_live_owner_stays_one(
    url: str, tmp_path: Path, fault: Callable[[Path], None], opened: str
) -> None:
    async with open_storage(url) as storage:
        await storage.write([Put("q", "1", 1.0), Put("q", "2", 1.0)])
    child = await Child.start(WORK, url)
    assert await child.line() == "works"
    if opened == "before":
        async with open_storage(url) as storage:
            fault(tmp_path / "q.db.run")
            await is_left_alone(storage, child)
    else:
        fault(tmp_path / "q.db.run")
        async with open_storage(url) as storage:
            await is_left_alone(storage, child)


async def is_left_alone(storage: Storage, child: Child) -> None:
    """Nobody takes its item, nobody runs its worker, and it goes on; killed, it is replaced at once."""
    assert await storage.write([Deliver("q", 10.0)]) == [Undelivered("busy")]
    place = asyncio.ensure_future(storage.alone("worker W").__aenter__())
    await child.tell()
    assert await child.line() == "2"
    assert await storage.write([Deliver("q", 10.0)]) == [Undelivered("busy")]
    assert not place.done()
    await child.kill()
    [delivery] = await storage.write([Deliver("q", 10.0)])
    assert isinstance(delivery, Delivery)
    assert delivery.payload == "2"
    async with asyncio.timeout(2):
        await place


async def test_nobody_is_seen_by_another_name_of_the_file(url: str, tmp_path: Path) -> None:
    """The locks are the file's: two names of one database are one database."""
    async with open_storage(url) as storage:
        await storage.write([Put("q", "1", 1.0)])
        child = await Child.start(WORK, url)
        assert await child.line() == "works"
        (tmp_path / "folder").mkdir()
        os.symlink(tmp_path / "q.db", tmp_path / "folder" / "other.db")
        async with open_storage(f"sqlite:///{tmp_path}/folder/other.db") as other:
            assert await other.write([Deliver("q", 10.0)]) == [Undelivered("busy")]
        await child.kill()


async def test_a_killed_process_leaves_no_lock_file(url: str, tmp_path: Path) -> None:
    async with open_storage(url) as storage:
        await storage.write([Put("q", "1", 1.0)])
    child = await Child.start(WORK, url)
    assert await child.line() == "works"
    await child.kill()
    assert {file.name for file in (tmp_path / "q.db.run").iterdir()} <= {
        "writer-next.lock",
        "writer-turn.lock",
    }
