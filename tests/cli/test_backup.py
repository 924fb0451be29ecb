"""``framework backup``: whole, with everything that was acknowledged, or not there at all."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from framework.storage import open_storage
from framework.storage.operations import Put
from tests.acceptance.server import COMMAND, environment, run, until

from .conftest import Database, Work


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".part" in path.name]


def items_of(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT id FROM _framework_item ORDER BY id")]


def test_the_copy_opens_and_holds_everything(database: Database) -> None:
    ids = database.put("orders", 1, 2, 3)
    database.bury("orders")
    os.chmod(database.file, 0o640)
    result = database.run("backup", "copy.db")
    copy = database.folder / "copy.db"
    assert (result.code, result.err) == (0, "")
    assert result.out == f"copy.db: {copy.stat().st_size} bytes\n"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert items_of(copy) == ids[1:]
    again = Database(database.folder)
    again.url = f"sqlite:///{copy}"
    assert len(again.dead()) == 1
    assert again.put("orders", 4) == [4]  # no id is used again
    assert not left_over(database.folder)


@pytest.mark.anyio
async def test_everything_acknowledged_before_the_call_is_there(database: Database) -> None:
    acknowledged, running = 0, True
    async with open_storage(database.url) as storage:

        async def load() -> None:
            nonlocal acknowledged
            while running:
                [acknowledged] = await storage.write([Put("orders", '"%s"' % ("x" * 200), time.time())])

        loads = [asyncio.create_task(load()) for _ in range(8)]
        for number in range(3):
            so_far = acknowledged
            while acknowledged < so_far + 8:  # the load goes on
                await asyncio.sleep(0.01)
            before = acknowledged
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                *("backup", f"{number}.db", "--database", database.url),
                cwd=database.folder,
                env=environment(),
            )
            assert await process.wait() == 0
            found = items_of(database.folder / f"{number}.db")
            assert found == list(range(1, len(found) + 1)), "a hole"
            assert len(found) >= before
        assert acknowledged > len(found), "the load went on"
        running = False
        await asyncio.gather(*loads)


def test_a_backup_of_a_running_server(database: Database, work: Work) -> None:
    work.tell("block")
    work.start()
    ids = database.put("orders", {"n": 1}, {"n": 2})
    until(lambda: len(work.done()) == 1)
    assert database.run("backup", database.folder / "copy.db").code == 0
    assert items_of(database.folder / "copy.db") == ids


def test_only_force_writes_over_a_file(database: Database) -> None:
    database.put("orders", 1)
    copy = database.folder / "copy.db"
    copy.write_text("precious")
    refused = database.run("backup", copy)
    assert (refused.code, refused.out) == (2, "")
    assert "--force" in refused.err
    assert copy.read_text() == "precious"
    assert database.run("backup", copy, "--force").code == 0
    assert items_of(copy) == [1]


def test_the_database_itself_is_no_place_for_it(database: Database) -> None:
    database.put("orders", 1)
    (database.folder / "link.db").symlink_to(database.file)
    for name in ("orders.db", "link.db", "orders.db-wal"):
        result = database.invoke("backup", database.folder / name, "--force")
        assert result.code == 2, result
        assert "it is a file of the database itself" in result.err
    assert database.items("orders") == [1]


def test_other_places_that_are_none(database: Database) -> None:
    for place, why in (("no/copy.db", "no does not exist"), (".", "it is a folder")):
        result = database.invoke("backup", database.folder / place, "--force")
        assert (result.code, result.out) == (2, "")
        assert why in result.err


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    result = run("backup", "copy.db", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "there is no database framework.db" in result.err
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_gives_no_copy(database: Database) -> None:
    database.file.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    result = database.run("backup", "copy.db")
    assert result.code == 2
    assert "no backup copy.db was made: the file is not an SQLite database" in result.err
    assert not (database.folder / "copy.db").exists()
    assert not left_over(database.folder)


def test_a_full_disk_leaves_the_old_copy(database: Database) -> None:
    database.put("orders", *("x" * 100_000 for _ in range(10)))
    copy = database.folder / "copy.db"
    copy.write_text("old")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    result = database.run("backup", copy, "--force", preexec_fn=limit)
    assert (result.code, result.out) == (2, "")
    assert "no backup" in result.err
    assert "disk" in result.err
    assert copy.read_text() == "old"
    assert not left_over(database.folder)


def test_ctrl_c_leaves_nothing(database: Database) -> None:
    database.put("orders", *("x" * 1_000_000 for _ in range(60)))
    process = subprocess.Popen(
        [*COMMAND, "backup", "copy.db", "--database", database.url],
        cwd=database.folder,
        env=environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until(lambda: left_over(database.folder) or process.poll() is not None, pause=0.001)
    process.send_signal(signal.SIGINT)
    code = process.wait(20)
    assert not left_over(database.folder)
    assert (database.folder / "copy.db").exists() == (code == 0)
    assert len(database.items("orders")) == 60


def test_what_a_killed_backup_left_is_removed_by_the_next(database: Database) -> None:
    database.put("orders", 1)
    killed = subprocess.Popen([sys.executable, "-c", _KILLED], cwd=database.folder)
    assert killed.wait(30) == -signal.SIGKILL
    [left] = database.folder.glob(".copy.db.*.part")
    (database.folder / f"{left.name}-journal").touch()
    assert database.run("backup", "copy.db").code == 0
    assert not list(database.folder.glob(".copy.db.*"))


_KILLED = """
import os, signal
from framework.process import files
with files.replacing("copy.db", files.Access.own()):
    os.kill(os.getpid(), signal.SIGKILL)
"""
