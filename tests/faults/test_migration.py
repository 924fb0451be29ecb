"""A migration that is killed, loses its power or finds the disk full: the old tables or the new, never between."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from framework import storage as engines
from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.transactions.session import Session
from tests.acceptance.server import environment

from .disk import Disk, events, tracing

CLASS = """
name: Parcel
attributes:
  identifier: {{field_name: id, field_type: integer}}
  local_fields:
  - {{field_name: weight, field_type: {weight}}}
  - {{field_name: {text}, field_type: string}}
  - {{field_name: code, field_type: string, field_unique: true}}
"""
BEFORE = CLASS.format(weight="string", text="remark")
AFTER = CLASS.format(weight="integer", text="note, renamed_from: remark")

MIGRATE = """
import os, sys
sys.path.insert(0, {root!r})
from framework import storage as engines
from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.errors import FrameworkError
from framework.transactions.session import Session
records = Atoms(check(sys.argv[1]).definitions.atoms, Session(), {{**MODULES}}).records
os.write(1, b"ready\\n")
try:
    plan, copy = engines.migrate(sys.argv[2], records)
except FrameworkError as error:
    os.write(1, str(error).encode())
    os._exit(2)
assert not plan.refused
os.write(1, b"done\\n")
"""


class Depot:
    """A database of parcels, filled once and copied for each run."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        self.definitions = folder / "definitions"
        self.definitions.mkdir()
        self.file = folder / "parcels.db"
        self.define(BEFORE)
        asyncio.run(self._fill(rows))
        self.define(AFTER)
        self.whole = self.file.read_bytes()
        self.old = look(self.file)
        self.new = [[(row[0], int(row[1]), *row[2:]) for row in self.old[0]], "note"]

    def define(self, text: str) -> None:
        (self.definitions / "parcel.yaml").write_text(text)

    def records(self) -> Any:
        return Atoms(check(self.definitions).definitions.atoms, Session(), {**MODULES}).records

    async def _fill(self, rows: int) -> None:
        async with engines.open_storage(f"sqlite:///{self.file}") as storage:
            await storage.ensure_tables(self.records())
        with closing(sqlite3.connect(self.file)) as connection:
            connection.executemany(
                "INSERT INTO Parcel (instance, id, weight, remark, code) VALUES (?, ?, ?, ?, ?)",
                [(f"i{n}", n, str(n % 97), f"remark {n} " * 5, f"c{n}") for n in range(rows, 0, -1)],
            )
            connection.commit()

    def start(self, *before: str, **options: Any) -> subprocess.Popen[bytes]:
        """A process that migrates; it has said that it begins."""
        code = MIGRATE.format(root=str(Path(__file__).parents[2]))
        process = subprocess.Popen(
            [*before, sys.executable, "-c", code, str(self.definitions), f"sqlite:///{self.file}"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == b"ready\n", process.communicate()
        return process

    def reset(self) -> None:
        """The old database again, with nothing beside it."""
        for path in self.folder.glob("*parcels.db*"):
            if path.is_file():
                path.unlink()
        self.file.write_bytes(self.whole)

    def copies(self) -> list[Path]:
        return list(self.folder.glob("parcels.db.before-*"))


def look(file: Path) -> Sequence[Any]:
    """All rows, and which of the two definitions the table is of; the file must be sound."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('Parcel')")]
        text = "note" if "note" in names else "remark"
        rows = connection.execute(f"SELECT id, weight, {text}, code FROM Parcel ORDER BY _seq").fetchall()
        left = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '\\_framework\\_new%' ESCAPE '\\'"
        )
        assert left.fetchall() == []
        indexes = [name for (name,) in connection.execute("SELECT name FROM pragma_index_list('Parcel')")]
        assert sorted(indexes) == ["Parcel.code", "Parcel.id", "Parcel.instance"]
    return [rows, text]


@pytest.mark.parametrize("kills", [6, pytest.param(80, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_kill_at_any_moment_leaves_the_old_tables_or_the_new(tmp_path: Path, kills: int) -> None:
    depot = Depot(tmp_path, 8000)
    process = depot.start()
    began = time.monotonic()
    assert process.communicate(timeout=60)[0] == b"done\n"
    took = time.monotonic() - began
    assert look(depot.file) == depot.new
    found = {"remark": 0, "note": 0}
    for number in range(kills):
        depot.reset()
        process = depot.start()
        time.sleep(took * (number + 0.5) / kills)
        process.kill()
        process.communicate()
        left = look(depot.file)
        assert left in (depot.old, depot.new)
        found[left[1]] += 1
        for copy in depot.copies():
            assert look(copy) == depot.old
        if left == depot.old:  # nothing is in the way of another attempt
            plan, _ = engines.migrate(f"sqlite:///{depot.file}", depot.records())
            assert not plan.refused
        assert look(depot.file) == depot.new
    print(f"{kills} kills: {found['remark']} times the old tables, {found['note']} times the new")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "share", [0.3, pytest.param(1.0, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_power_cut_at_any_moment_leaves_the_old_tables_or_the_new(
    tmp_path: Path, source: random.Random, share: float
) -> None:
    depot = Depot(tmp_path, 300)
    trace = tmp_path / "trace.txt"
    process = depot.start(*tracing(trace))
    assert process.communicate(timeout=100)[0] == b"done\n", process.stderr
    disk = Disk()
    disk.hold(str(depot.file), depot.whole)
    done, cuts, found = False, 0, {"remark": 0, "note": 0}
    for event in events(trace, str(depot.file)):
        if source.random() < share or event.kind in ("sync", "say"):
            for some in (None, source, source):
                cuts += 1
                place = tmp_path / f"cut{cuts}"
                place.mkdir()
                disk.image(place, some)
                left = look(place / depot.file.name)
                assert left == depot.new if done else left in (depot.old, depot.new)
                found[left[1]] += 1
                shutil.rmtree(place)
        disk.apply(event)
        done = done or (event.kind == "say" and b"done" in event.data)
    print(f"{cuts} power cuts: {found['remark']} times the old tables, {found['note']} times the new")
    assert found["remark"] > 10
    assert found["note"] > 3


@pytest.mark.parametrize("part", ["the copy", "the new tables"])
def test_a_full_disk_leaves_the_old_tables_and_says_so(tmp_path: Path, part: str) -> None:
    """The limit on the size of a file stands for the disk: SQLite gets the same error."""
    depot = Depot(tmp_path, 8000)
    size = len(depot.whole)
    limit = size // 2 if part == "the copy" else size + 20_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    if part == "the new tables":  # so many more rows in the log than the file may hold
        with closing(sqlite3.connect(depot.file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    process = depot.start(preexec_fn=limited)
    said, error = process.communicate(timeout=60)
    assert process.returncode == 2, (said, error)
    assert any(words in said for words in (b"nothing was changed", b"no backup"))
    assert b"disk" in said
    assert look(depot.file) == depot.old
    assert not list(tmp_path.glob(".*.part"))
    for copy in depot.copies():
        copy.unlink()
    plan, _ = engines.migrate(f"sqlite:///{depot.file}", depot.records())
    assert not plan.refused
    assert look(depot.file) == depot.new


def test_two_migrations_at_once_are_one(tmp_path: Path) -> None:
    depot = Depot(tmp_path, 8000)
    processes = [depot.start() for _ in range(3)]
    outcomes = [process.communicate(timeout=100) for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes[0] == 0, outcomes
    assert set(codes) <= {0, 2}
    for (said, _), process in zip(outcomes, processes, strict=True):
        assert process.returncode == 0 or b"is changing the tables already" in said
    assert look(depot.file) == depot.new
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]
