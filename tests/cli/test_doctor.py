"""``framework doctor``: each finding on a database that has it, and nothing is ever made or changed."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from framework.storage.sqlite.doctor import place, sizes
from tests.acceptance.server import REFERENCE_APP, Result, run

from .conftest import Database, Work


def findings(result: Result) -> dict[str, dict[str, Any]]:
    found = json.loads(result.out)
    assert all(set(finding) == {"check", "level", "message", "data"} for finding in found)
    assert result.code == int(any(finding["level"] == "error" for finding in found)), result
    return {finding["check"]: finding for finding in found}


def doctor(database: Database, *arguments: object, **options: Any) -> dict[str, dict[str, Any]]:
    return findings(database.run("doctor", *arguments, "--format", "json", **options))


def content(folder: Path) -> dict[str, str]:
    """Every file with a fingerprint of its content, but for the shared memory, which is not data."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def test_what_scripts_need_and_the_machine_has_not_is_told(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "needing"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "name: m\ncode: |\n  import json\n  def key(): return context.settings.API_KEY\n"
    )
    found = doctor(database, folder)["scripts"]
    assert (found["level"], "FRAMEWORK_SETTING_API_KEY" in found["message"]) == ("warning", True)
    assert "scripts" not in doctor(database, folder, env={"FRAMEWORK_SETTING_API_KEY": "x"})


def test_a_good_database_is_left_as_it_is(database: Database) -> None:
    database.put("orders", 1, 2)
    before = content(database.folder)
    found = doctor(database)
    assert content(database.folder) == before
    assert set(found) == {
        *("python", "limits", "sqlite", "file-system", "space", "settings", "sync"),
        *("files", "access", "integrity", "tables", "processes", "workers", "drain"),
    }
    assert not [finding for finding in found.values() if finding["level"] == "error"]
    assert found["sqlite"]["data"] == {"version": sqlite3.sqlite_version}
    assert found["settings"]["data"] == {"journal_mode": "wal", "synchronous": "FULL"}
    assert found["sync"]["data"]["median_ms"] > 0
    assert found["files"]["data"]["database"] == database.file.stat().st_size
    text = database.run("doctor")
    assert text.code == 0
    assert text.out.splitlines()[0].split()[1] == "python"
    assert content(database.folder) == before


def test_a_missing_database_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    result = run("doctor", "--format", "json", cwd=tmp_path)
    assert result.code == 1
    found = findings(result)
    assert found["database"]["level"] == "error"
    assert "there is no database framework.db" in found["database"]["message"]
    assert found["sync"]["level"] in ("ok", "warning")  # the folder is looked at all the same
    assert not list(tmp_path.iterdir())
    nowhere = run("doctor", "--database", "sqlite:///no/where.db", cwd=tmp_path)
    assert nowhere.code == 1
    assert "does not exist" in nowhere.out
    assert not list(tmp_path.iterdir())


def test_a_url_that_is_none_is_2(tmp_path: Path) -> None:
    result = run("doctor", "--database", "mysql://somewhere", cwd=tmp_path)
    assert result.code == 2
    assert "no storage engine" in result.err


def test_damage_is_an_error(database: Database) -> None:
    database.put("orders", *("x" * 2000 for _ in range(100)))
    whole = database.file.read_bytes()
    middle = len(whole) // 2
    database.file.write_bytes(whole[:middle] + b"\x5a" * 8192 + whole[middle + 8192 :])
    before = content(database.folder)
    found = doctor(database)
    assert found["integrity"]["level"] == "error"
    assert "the database is damaged" in found["integrity"]["message"]
    assert content(database.folder) == before

    database.file.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    found = doctor(database)
    assert found["database"]["level"] == "error"
    assert "not an SQLite database" in found["database"]["message"]


KILLED = """
import asyncio, os, sys
from framework.storage import open_storage
from framework.storage.operations import Deliver, Put
async def main():
    async with open_storage(sys.argv[1]) as storage:
        await storage.write([Put("orders", "[1]", 1.0)])
        await storage.write([Deliver("orders", 1.0)])
        os._exit(7)
asyncio.run(main())
"""


def test_what_a_killed_process_left_is_told_and_not_written_back(database: Database) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, database.url], check=False)
    assert killed.returncode == 7
    with closing(sqlite3.connect(database.file, isolation_level=None)) as connection:
        connection.execute("UPDATE _framework_process SET started_at = started_at - 60")
        before = content(database.folder)
        assert before["orders.db-wal"] != hashlib.sha256(b"").hexdigest()
        found = doctor(database)
        assert content(database.folder) == before
    assert found["files"]["data"]["wal"] > 0
    [process] = found["processes"]["data"]["processes"]
    assert (process["alive"], process["in_work"]) == (False, [{"fifo": "orders", "item": 1}])
    assert (
        "is dead; item 1 of orders will be taken over by the next process that asks"
        in found["processes"]["message"]
    )


def test_a_running_server_is_named(database: Database, work: Work) -> None:
    work.tell("block")
    server = work.start()
    database.put("orders", {"n": 1})
    from tests.acceptance.server import until

    until(lambda: len(work.done()) == 1)
    found = doctor(database, work.definitions)
    [process] = [entry for entry in found["processes"]["data"]["processes"] if entry["alive"]]
    assert process["pid"] == server.process.pid
    assert process["in_work"] == [{"fifo": "orders", "item": 1}]
    assert found["definitions"]["level"] == "ok"
    assert database.state("orders").in_work is not None, "still at work"


# ---- definitions against tables ----------------------------------------------------------------


def test_what_a_start_would_add_and_what_would_stop_it(database: Database) -> None:
    found = doctor(database, REFERENCE_APP)
    assert found["definitions"]["level"] == "ok"
    assert found["definitions"]["data"] == {"adds": ["table OrderEntry"], "stops": [], "kept": []}

    with closing(sqlite3.connect(database.file)) as connection:
        connection.execute(
            'CREATE TABLE "OrderEntry" (seq INTEGER NOT NULL PRIMARY KEY, "orderId" INTEGER NOT NULL)'
        )
        connection.execute('INSERT INTO "OrderEntry" VALUES (1, 7)')
        connection.commit()
    before = content(database.folder)
    result = database.run("doctor", REFERENCE_APP, "--format", "json")
    assert result.code == 1
    old = findings(result)["definitions"]
    assert old["level"] == "error"
    assert any(stop.startswith("column OrderEntry.orderId: ") for stop in old["data"]["stops"])
    assert "column OrderEntry.status" in old["data"]["adds"]
    assert content(database.folder) == before


def test_definitions_that_cannot_start(database: Database) -> None:
    folder = database.folder / "definitions"
    folder.mkdir()
    (folder / "a.yaml").write_text("fifo: orders\nmax_atempts: 3\n")
    found = doctor(database, folder)
    assert found["definitions"]["level"] == "error"
    assert "1 mistake(s) stop a start" in found["definitions"]["message"]
    assert "nowhere" in database.invoke("doctor", "nowhere").out


def test_own_tables_of_another_version(database: Database) -> None:
    with closing(sqlite3.connect(database.file)) as connection:
        connection.execute("DROP TABLE _framework_token")
        connection.execute("DROP TABLE _framework_process")
        connection.execute("CREATE TABLE _framework_process (id INTEGER PRIMARY KEY, host INTEGER NOT NULL)")
        connection.commit()
    found = doctor(database)
    assert found["tables"]["level"] == "error"
    assert any(
        stop.startswith("column _framework_process.host: is INTEGER")
        for stop in found["tables"]["data"]["stops"]
    )
    assert "table _framework_token" in found["tables"]["data"]["adds"]


# ---- the place ---------------------------------------------------------------------------------


def test_limits_that_matter(database: Database) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))

    result = database.run("doctor", preexec_fn=limit)
    assert result.code == 0
    warnings = [line for line in result.out.splitlines() if line.startswith("warning  limits")]
    assert "only 64 open files are allowed" in warnings[0]
    assert "no file may become larger than 10000000 bytes" in warnings[1]


@pytest.mark.parametrize(
    ("kind", "level", "word"),
    [
        ("ext4", "ok", "local"),
        ("nfs4", "warning", "network"),
        ("cifs", "warning", "network"),
        ("fuse.sshfs", "warning", "network"),
        ("tmpfs", "warning", "memory"),
    ],
)
def test_the_file_system_that_holds_the_folder_counts(
    tmp_path: Path, kind: str, level: str, word: str
) -> None:
    folder = os.path.realpath(tmp_path)
    mounts = [
        ("/", "nfs" if kind == "ext4" else "ext4"),
        (folder + "2", "9p"),
        (folder, "xfs"),
        (folder, kind),
    ]
    finding = place.file_system(tmp_path, mounts)
    assert finding.level == level
    assert word in finding.message
    assert finding.data == {"type": kind}


def test_a_place_with_a_space_is_known_by_its_name() -> None:
    assert place._unescaped(r"/mnt/my\040disk") == "/mnt/my disk"


@pytest.mark.parametrize(
    ("version", "level", "word"),
    [
        ((3, 36, 0), "error", "too old"),
        ((3, 37, 0), "ok", "WAL-reset bug"),
        ((3, 51, 2), "ok", "one writing connection per process"),
        ((3, 51, 3), "ok", "SQLite 3.51.3"),
    ],
)
def test_what_the_version_means(version: tuple[int, ...], level: str, word: str) -> None:
    finding = place.version(version)
    assert finding.level == level
    assert word in finding.message
    assert ("bug" in finding.message) == (version in ((3, 37, 0), (3, 51, 2)))


def test_a_large_log_names_who_reads_now_and_blames_nobody_for_what_is_past(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells who holds a lock")
    monkeypatch.setattr(sizes, "_LARGE_WAL", 100_000)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(database.file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        assert reader.stdout.readline() == "reads\n"
        for _ in range(3):
            database.put("orders", *("x" * 1000 for _ in range(100)))
        [finding] = [one for one in json.loads(_doctor(database)) if one["check"] == "files"]
        assert finding["data"]["readers"] == [reader.pid]
        assert f"process {reader.pid} (python" in finding["message"]
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "done\n"
        [finding] = [one for one in json.loads(_doctor(database)) if one["check"] == "files"]
        assert finding["data"]["readers"] == []
        assert "and has ended" in finding["message"]
    finally:
        reader.communicate("\n", timeout=10)


def _doctor(database: Database) -> str:
    return database.invoke("doctor", "--format", "json").out


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT * FROM _framework_fifo").fetchall()
print("reads", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("done", flush=True)
sys.stdin.readline()
"""
