"""Processes that are stopped (SIGSTOP) and continued later: slow is not dead.

Nothing is taken from a stopped process; who waits for it waits with a bound, and learns which one it is.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.server import Server, run, until

from .app import app, notes, numbers, started
from .conftest import Serve
from .program import Program

Start = Callable[..., Program]


def order(server: Server, number: int) -> int:
    """Post an order; the status of the answer."""
    return server.post("/v1/orders/", {"number": number}, token=None).code


def write_wait(folder: Path, seconds: float) -> dict[str, str]:
    """An environment in which a server's writes wait that long for another process's."""
    place = folder / f"site-{seconds:g}"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(WAIT.format(seconds))
    return {"PYTHONPATH": str(place)}


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_nothing_is_taken_from_a_stopped_process_and_everything_at_once_from_a_killed_one(
    serve: Serve, tmp_path: Path, mode: str
) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(0.4)", mode=mode)
    servers = [serve(definitions, wait=False) for _ in range(2)]
    for server in servers:
        server.ready()
    for number in range(4):
        assert order(servers[number % 2], number) == 202
    first = started(tmp_path, 1)
    [owner] = [server for server in servers if server.process.pid == first.pid]
    [other] = [server for server in servers if server.process.pid != first.pid]

    owner.process.send_signal(signal.SIGSTOP)
    time.sleep(1.3)
    assert [note.what for note in notes(tmp_path)] == ["start"]
    assert order(other, 4) == 202  # it was not stopped inside a write
    owner.process.send_signal(signal.SIGCONT)
    until(lambda: numbers(tmp_path, "end")[:1] == [0])
    assert notes(tmp_path)[1].pid == owner.process.pid
    assert notes(tmp_path)[1].epoch == first.epoch

    last = started(tmp_path, 2)
    [owner] = [server for server in servers if server.process.pid == last.pid]
    [other] = [server for server in servers if server.process.pid != last.pid]
    killed = time.monotonic()
    owner.kill()
    until(lambda: notes(tmp_path)[-1].pid == other.process.pid, 10, pause=0.01)
    again = next(note for note in notes(tmp_path) if note.pid == other.process.pid and note.at > killed)
    print(f"{mode}: taken over {again.at - killed:.3f} s after the kill")
    assert again.at - killed < (1.0 if mode == "single" else 2.5)
    assert (again.number, again.attempt) == (last.number, 1)
    until(lambda: numbers(tmp_path, "end")[-1:] == [4])
    assert list(dict.fromkeys(numbers(tmp_path, "start"))) == [0, 1, 2, 3, 4]


WAIT = """
import framework.storage.sqlite.batches as batches
batches.WRITE_WAIT = {}
"""

HOLD = """
import framework.transactions.transaction
framework.transactions.transaction.TRANSACTION_HOLD = float(sys.argv[2])
"""

HELD = """
try:
    conn = session.connection()
    async with conn.begin():
        await FIFO("other").put("a", conn=conn)
        say("held")
        await hear()
        await FIFO("other").put("b", conn=conn)
    say("whole")
except TransactionTooLong as error:
    say("nothing")
"""


def others(path: Path) -> list[str]:
    """What was put into the FIFO ``other``."""
    connection = sqlite3.connect(path)
    try:
        sql = "SELECT payload FROM _framework_item i JOIN _framework_fifo f ON f.id = i.fifo WHERE name = 'other'"
        return [payload for (payload,) in connection.execute(sql)]
    finally:
        connection.close()


@pytest.mark.parametrize(
    "wait", [1.5, pytest.param(10.0, marks=[pytest.mark.long, pytest.mark.timeout(180)], id="long")]
)
def test_writes_wait_for_a_process_that_is_stopped_inside_a_write_and_then_say_which_one_it_is(
    serve: Serve, start: Start, tmp_path: Path, wait: float
) -> None:
    env = {} if wait == 10.0 else write_wait(tmp_path, wait)  # 10 s is the product's own
    definitions = app(tmp_path)
    server = serve(definitions, env=env)
    patient = start('say("ready")\nawait hear()\nsay("put", await FIFO("q").put(1))', setup=WAIT.format(60))
    assert patient.line() == "ready"
    holder = start(HELD, 60, setup=HOLD)
    assert holder.line() == "held"
    holder.stop()

    for first in (True, False):
        if not first:  # the second time it stands behind somebody else who waits
            patient.tell()
            time.sleep(0.2)
        asked = time.monotonic()
        answer = server.post("/v1/orders/", {"number": 1}, token=None)
        took = time.monotonic() - asked
        assert answer.code == 503, answer
        assert wait * 0.9 < took < wait + 2.5, took
    assert set(re.findall(r"process (\d+) on \S+ holds the database", server.err)) == {str(holder.pid)}
    assert server.get("/-/live", token=None).code == 200
    assert notes(tmp_path) == []

    holder.resume()
    holder.tell()
    assert holder.line() == "whole"
    assert others(tmp_path / "test.db") == ['"a"', '"b"']
    holder.end()
    assert patient.line().startswith("put")
    until(lambda: order(server, 2) == 202, 5)


def test_a_transaction_that_was_stopped_for_too_long_is_undone_as_a_whole(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    server = serve(app(tmp_path))
    assert order(server, 0) == 202
    holder = start(HELD, 0.3, setup=HOLD)
    assert holder.line() == "held"
    holder.stop()
    time.sleep(0.5)
    holder.resume()
    time.sleep(0.7)  # it goes on to await something else: being stopped was no fault of its own
    holder.tell()
    assert holder.line() == "nothing"
    holder.end()
    assert order(server, 1) == 202
    assert others(tmp_path / "test.db") == []
    until(lambda: numbers(tmp_path, "end") == [0, 1])


def test_a_write_that_waits_goes_on_at_once_when_who_was_stopped_is_killed(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    server = serve(app(tmp_path))
    holder = start(HELD, 60, setup=HOLD)
    assert holder.line() == "held"
    holder.stop()
    holder.kill()
    asked = time.monotonic()
    assert order(server, 0) == 202
    assert time.monotonic() - asked < 1
    assert others(tmp_path / "test.db") == []
    until(lambda: numbers(tmp_path, "end") == [0])


def test_who_is_stopped_while_it_waits_for_its_turn_is_named_and_not_who_wrote_before(
    start: Start, tmp_path: Path
) -> None:
    """The line for the turn has one place; who stands in it and is stopped holds up all behind it."""
    late = start(
        """
        say("ready")
        await hear()
        try:
            say("put", await FIFO("q").put(2))
        except Unavailable as error:
            say(error)
        """,
        setup=WAIT.format(1),
    )
    assert late.line() == "ready"
    waiting = start(
        """
        say("ready")
        await hear()
        say("waits")
        say("put", await FIFO("q").put(1))
        """
    )
    assert waiting.line() == "ready"
    holder = start(HELD, 60, setup=HOLD)
    assert holder.line() == "held"
    waiting.tell()
    assert waiting.line() == "waits"
    time.sleep(0.2)
    waiting.stop()
    holder.tell()
    assert holder.line() == "whole"
    late.tell()
    said = late.line(5)
    assert f"process {waiting.pid} " in said, (holder.pid, said)
    waiting.resume()
    assert waiting.line().startswith("put")


def test_workers_wait_for_the_database_without_counting_attempts(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    definitions = app(tmp_path, policy="max_attempts: 1\n")
    server = serve(definitions, env=write_wait(tmp_path, 1.0))
    pause(tmp_path)
    for number in range(3):
        assert order(server, number) == 202
    holder = start(
        """
        conn = session.connection()
        async with conn.begin():
            await conn.write([Pause("orders", False)])
            say("held")
            await hear()
        """,
        60,
        setup=HOLD,
    )
    assert holder.line() == "held"
    holder.stop()
    until(lambda: len(re.findall("worker Dispatcher: .* holds the database", server.err)) >= 2, 20)
    assert notes(tmp_path) == []
    holder.resume()
    holder.tell()
    holder.end()
    until(lambda: numbers(tmp_path, "end") == [0, 1, 2], 15)
    assert {note.attempt for note in notes(tmp_path)} == {1}
    assert count_dead(tmp_path / "test.db") == 0


def pause(folder: Path) -> None:
    done = run("fifo", "pause", "orders", "--database", "sqlite:///test.db", cwd=folder)
    assert done.code == 0, done.err


def count_dead(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM _framework_dead").fetchone()[0])
    finally:
        connection.close()
