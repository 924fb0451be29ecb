"""Batches of the SQLite engine: each unit has its own outcome, whatever SQLite does with the transaction."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from framework.errors import Duplicate, Unavailable
from framework.storage.sqlite.batches import read_batch, write_batch, write_in_turn
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.threads import EXPIRED, STARTED, Unit, Waiting
from framework.storage.sqlite.turns import Turns

pytestmark = pytest.mark.anyio

Connection = sqlite3.Connection
Work = Callable[[Connection], Any]

SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE thing (key TEXT PRIMARY KEY);
    CREATE TABLE part (thing TEXT REFERENCES thing (key) DEFERRABLE INITIALLY DEFERRED);
"""


class Contended(Connection):
    """Calls ``rolled_back`` after a ROLLBACK, when others may write, and counts how often it was to begin."""

    rolled_back: Callable[[], None] | None = None
    begins = 0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self.begins += sql.startswith("BEGIN")
        cursor = super().execute(sql, *args)
        if sql == "ROLLBACK" and self.rolled_back is not None:
            call, self.rolled_back = self.rolled_back, None
            call()
        return cursor


def connect(path: Path | str, **given: Any) -> Contended:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, factory=Contended, timeout=0.02, **given
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(connect(tmp_path / "batches.db")) as connection:
        connection.executescript(SCHEMA)
    return tmp_path / "batches.db"


@pytest.fixture
def connection(path: Path) -> Iterator[Contended]:
    with closing(connect(path)) as opened:
        yield opened


@pytest.fixture
def other(path: Path) -> Iterator[Contended]:
    """Another program that writes, and takes no turns."""
    with closing(connect(path)) as opened:
        yield opened


@pytest.fixture
def turns(path: Path) -> Iterator[Turns]:
    with Locks(str(path)) as locks:
        made = Turns(locks, str(path))
        yield made
        made.close()


def units(*works: Work, patience: float = 5.0) -> list[Unit[Connection]]:
    loop = asyncio.get_running_loop()
    batch: list[Unit[Connection]] = [Unit(work, loop.create_future(), (), None, False) for work in works]
    for unit in batch:
        unit.deadline = time.monotonic() + patience
    return batch


def put(key: str) -> Work:
    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO thing VALUES (?)", (key,))
        return key

    return work


def twice(connection: Connection) -> None:
    """Fails after it has changed something."""
    put("twice")(connection)
    put("twice")(connection)


def orphan(connection: Connection) -> str:
    """Fails at the commit, and not before."""
    connection.execute("INSERT INTO part VALUES ('nowhere')")
    return "orphan"


def rolls_back(connection: Connection) -> None:
    """As SQLite does it by itself when a disk is full: the whole transaction is gone."""
    put("gone")(connection)
    connection.execute("INSERT OR ROLLBACK INTO thing VALUES ('gone')")


def ends(connection: Connection) -> str:
    """The same without a word."""
    connection.execute("ROLLBACK")
    return "ended"


def restarts(connection: Connection) -> None:
    """Fails in another transaction than it was begun in."""
    connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    raise KeyError


def stored(path: Path) -> list[str]:
    with closing(connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM thing ORDER BY key")]


def outcomes(batch: Sequence[Unit[Connection]]) -> list[Any]:
    """The result of each, or the class of its error. Who fails has no result."""
    assert all(unit.error is None or unit.result is None for unit in batch)
    return [unit.result if unit.error is None else type(unit.error) for unit in batch]


def write(connection: Connection, *works: Work) -> list[Any]:
    batch = units(*works)
    connection.execute("BEGIN IMMEDIATE")
    write_batch(connection, batch)
    assert not connection.in_transaction
    return outcomes(batch)


async def test_all_of_a_batch_is_stored(connection: Contended, path: Path) -> None:
    assert write(connection, put("a"), put("b")) == ["a", "b"]
    assert write(connection, put("c")) == ["c"]
    assert stored(path) == ["a", "b", "c"]


async def test_where_nothing_fails_each_unit_runs_once_and_needs_no_savepoint(connection: Contended) -> None:
    """A savepoint costs as much as a small unit."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    assert write(connection, put("a"), put("b")) == ["a", "b"]
    assert [sql.partition(" ")[0] for sql in statements] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


async def test_a_unit_that_fails_is_undone_alone(connection: Contended, path: Path) -> None:
    assert write(connection, put("a"), twice, put("b")) == ["a", Duplicate, "b"]
    assert stored(path) == ["a", "b"]


async def test_a_single_unit_that_fails_leaves_nothing_and_is_not_tried_again(
    connection: Contended, path: Path
) -> None:
    runs: list[str] = []

    def noted(connection: Connection) -> None:
        runs.append("run")
        twice(connection)

    assert write(connection, noted) == [Duplicate]
    assert runs == ["run"]
    assert stored(path) == []


async def test_who_shared_a_transaction_that_sqlite_rolled_back_is_run_again(
    connection: Contended, path: Path
) -> None:
    """What came before the unit that cost the transaction was answered well, so it must be stored."""
    assert write(connection, put("a"), rolls_back, put("b")) == ["a", Duplicate, "b"]
    assert stored(path) == ["a", "b"]


async def test_a_unit_that_ends_the_transaction_by_itself_is_not_answered_well(
    connection: Contended, path: Path
) -> None:
    assert write(connection, put("a"), ends, put("b")) == ["a", Unavailable, "b"]
    [alone] = units(ends)
    connection.execute("BEGIN IMMEDIATE")
    write_batch(connection, [alone])
    assert isinstance(alone.error, Unavailable)
    assert "nothing is known to be stored" in str(alone.error)
    assert stored(path) == ["a", "b"]


async def test_a_unit_that_begins_a_transaction_of_its_own_does_not_cost_the_others_theirs(
    connection: Contended, path: Path
) -> None:
    assert write(connection, put("a"), restarts, put("b")) == ["a", KeyError, "b"]
    assert stored(path) == ["a", "b"]


async def test_a_unit_that_fails_at_the_commit_fails_alone(connection: Contended, path: Path) -> None:
    assert write(connection, put("a"), orphan, put("b")) == ["a", sqlite3.IntegrityError, "b"]
    assert write(connection, twice, orphan, put("c")) == [Duplicate, sqlite3.IntegrityError, "c"]
    assert stored(path) == ["a", "b", "c"]


async def test_units_share_one_commit_also_when_one_of_them_fails(connection: Contended) -> None:
    commits: list[str] = []
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    write(connection, put("a"), put("b"))
    write(connection, put("c"), twice, put("d"))
    assert commits == ["COMMIT"] * 2


async def test_a_batch_that_could_not_begin_runs_each_unit_in_a_transaction_of_its_own(
    connection: Contended, path: Path
) -> None:
    batch = units(put("a"), twice, put("b"))
    write_batch(connection, batch)
    assert outcomes(batch) == ["a", Duplicate, "b"]
    assert stored(path) == ["a", "b"]


async def test_another_program_that_writes_in_between_is_waited_for(
    connection: Contended, other: Contended, path: Path
) -> None:
    """It takes the database as the batch is undone, and lets go of it soon."""
    connection.rolled_back = lambda: (other.execute("BEGIN IMMEDIATE"), None)[1]
    timer = threading.Timer(0.2, other.execute, ("COMMIT",))
    timer.start()
    assert write(connection, put("a"), twice, put("b")) == ["a", Duplicate, "b"]
    timer.join()
    assert stored(path) == ["a", "b"]


async def test_units_that_have_waited_together_give_up_together(
    connection: Contended, other: Contended
) -> None:
    """Not one after another, each with a wait of its own."""
    connection.rolled_back = lambda: (other.execute("BEGIN IMMEDIATE"), None)[1]
    batch = units(put("a"), twice, *[put(str(number)) for number in range(20)], patience=-1.0)
    connection.execute("BEGIN IMMEDIATE")
    write_batch(connection, batch)
    assert outcomes(batch) == [Unavailable] * 22
    assert connection.begins == 2


@pytest.mark.parametrize("patiences", [(0.1, 0.1, 0.1), (-1.0, 0.3, -1.0)])
async def test_another_program_that_does_not_end_its_write_is_waited_for_as_long_as_any_unit_would(
    connection: Contended, other: Contended, path: Path, patiences: tuple[float, ...]
) -> None:
    connection.rolled_back = lambda: (other.execute("BEGIN IMMEDIATE"), None)[1]
    batch = units(put("a"), twice, put("b"))
    begun = time.monotonic()
    for unit, patience in zip(batch, patiences, strict=True):
        unit.deadline = begun + patience
    connection.execute("BEGIN IMMEDIATE")
    write_batch(connection, batch)
    assert outcomes(batch) == [Unavailable] * 3
    assert time.monotonic() >= begun + max(patiences)
    assert stored(path) == []


async def test_the_units_of_a_reader_have_their_own_outcomes(connection: Contended) -> None:
    def fail(connection: Connection) -> None:
        connection.execute("SELECT * FROM nowhere")

    def late(_: Connection) -> None:
        raise OSError("a disk")

    batch = units(lambda _: 1, fail, late, lambda _: 2)
    assert read_batch(connection, Waiting(batch, threading.Lock())) == batch
    assert outcomes(batch) == [1, sqlite3.OperationalError, Unavailable, 2]


# ---- in turn ----------------------------------------------------------------------------------


async def test_units_that_nobody_wants_any_more_are_not_run(
    connection: Contended, turns: Turns, path: Path
) -> None:
    batch = units(put("a"), put("b"), put("c"))
    batch[1].state = EXPIRED
    assert write_in_turn(turns, connection, Waiting(batch, threading.Lock())) == [batch[0], batch[2]]
    assert [unit.state for unit in batch] == [STARTED, EXPIRED, STARTED]
    assert stored(path) == ["a", "c"]


async def test_a_batch_that_nobody_wants_leaves_no_transaction_behind(
    connection: Contended, turns: Turns, other: Contended
) -> None:
    [unit] = units(put("a"))
    unit.state = EXPIRED
    assert write_in_turn(turns, connection, Waiting([unit], threading.Lock())) == []
    assert not connection.in_transaction
    other.execute("BEGIN IMMEDIATE")


async def test_a_program_that_takes_no_turns_is_waited_for_while_anybody_wants_to(
    connection: Contended, turns: Turns, other: Contended, path: Path
) -> None:
    other.execute("BEGIN IMMEDIATE")
    batch = units(put("a"))
    thread = threading.Thread(
        target=write_in_turn, args=(turns, connection, Waiting(batch, threading.Lock()))
    )
    thread.start()
    await until(lambda: "another program" in str(turns.late()))
    other.execute("COMMIT")
    await asyncio.to_thread(thread.join)
    assert outcomes(batch) == ["a"]
    assert stored(path) == ["a"]
    assert "another program" not in str(turns.late()), "and is not blamed any more"


async def test_who_waits_for_a_write_of_its_own_process_blames_no_other(turns: Turns) -> None:
    turns.take()
    assert "this same process" in str(turns.late())
    turns.give()


async def test_who_gives_up_behind_a_program_that_takes_no_turns_leaves_the_turn_to_others(
    connection: Contended, turns: Turns, other: Contended, path: Path
) -> None:
    other.execute("BEGIN IMMEDIATE")
    [unit] = units(put("a"))
    answers: list[list[Unit[Connection]]] = []
    thread = threading.Thread(
        target=lambda: answers.append(write_in_turn(turns, connection, Waiting([unit], threading.Lock())))
    )
    thread.start()
    await until(lambda: "another program" in str(turns.late()))
    unit.state = EXPIRED
    await asyncio.to_thread(thread.join)
    assert answers == [[]]
    assert stored(path) == []
    assert "another program" in str(turns.late()), "nobody has been let in since"
    with Locks(str(path)) as locks:
        third = Turns(locks, str(path))
        await asyncio.wait_for(asyncio.to_thread(third.take), 5)
        assert "another program" in str(turns.late()), "who comes next does not know better yet"
        third.give()
        third.close()
        other.execute("COMMIT")
        fourth = Turns(locks, str(path))
        [late] = units(put("b"))
        assert write_in_turn(fourth, connection, Waiting([late], threading.Lock())) == [late]
        assert "another program" not in str(turns.late())
        fourth.close()


async def test_a_database_that_can_only_be_read_is_told_to_each_unit(turns: Turns, path: Path) -> None:
    with closing(connect(f"file:{path}?mode=ro", uri=True)) as reading:
        batch = units(put("a"), put("b"))
        assert write_in_turn(turns, reading, Waiting(batch, threading.Lock())) == batch
    assert outcomes(batch) == [Unavailable] * 2


async def test_a_lock_that_cannot_be_taken_is_told_to_each_unit(
    connection: Contended, path: Path, tmp_path: Path
) -> None:
    """A file where the folder of the locks belongs."""
    with Locks(str(path)) as locks:
        folder = locks.folder
        if os.path.isdir(folder):
            os.rename(folder, tmp_path / "away")
        Path(folder).write_text("no folder")
        batch = units(put("a"), put("b"))
        turns = Turns(locks, str(path))
        answered = write_in_turn(turns, connection, Waiting(batch, threading.Lock()))
        os.remove(folder)
    assert answered == batch
    assert [isinstance(unit.error, Unavailable) for unit in batch] == [True] * 2
    assert stored(path) == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
