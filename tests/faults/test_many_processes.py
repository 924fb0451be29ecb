"""Several processes on one file: they start at once, get their turns, and wake each other."""

from __future__ import annotations

import json
import sqlite3
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .program import Program

Start = Callable[..., Program]


def test_processes_that_make_the_database_at_the_same_time_all_start(start: Start) -> None:
    """All of them want to turn it into a database with a log, which SQLite lets nobody wait for."""
    many = """
    from contextlib import AsyncExitStack
    say("ready")
    began = float(await hear())
    async with AsyncExitStack() as stack:
        for n in range(25):
            await asyncio.sleep(began + n * 0.08 - time.monotonic())
            storage = await stack.enter_async_context(open_storage(f"{URL}{n}"))
            await storage.write([Put("q", "1", 1.0)])
    say("done")
    """
    programs = [start(many) for _ in range(3)]
    for program in programs:
        assert program.line() == "ready"
    began = time.monotonic() + 0.1
    for program in programs:
        program.tell(str(began))
    for program in programs:
        assert program.line() == "done"
        program.end()


OURS = """
latencies = []
say("ready")
began = float(await hear())
await asyncio.sleep(began - time.monotonic())
while time.monotonic() < began + float(sys.argv[2]):
    at = time.monotonic()
    await FIFO("q").put("x" * 100)
    latencies.append(time.monotonic() - at)
say(json.dumps(latencies))
"""

# The same commits as a program without the framework would make them, waiting as SQLite waits.
PLAIN = """
import json, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout = 10000")
connection.execute("PRAGMA synchronous = FULL")
latencies, errors = [], 0
print("ready", flush=True)
began = float(sys.stdin.readline())
time.sleep(began - time.monotonic())
while time.monotonic() < began + float(sys.argv[2]):
    at = time.monotonic()
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO item (payload) VALUES (?)", ("x" * 100,))
        connection.execute("UPDATE fifo SET length = length + 1")
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        errors += 1
    latencies.append(time.monotonic() - at)
print(json.dumps(latencies), flush=True)
"""


def report(name: str, latencies: list[list[float]]) -> None:
    together = sorted(latency for one in latencies for latency in one)
    shares = [len(one) / len(together) for one in latencies]
    p99, p999 = (together[int(len(together) * share)] * 1000 for share in (0.99, 0.999))
    print(
        f"{name}: {len(together)} commits, p99 {p99:.1f} ms, p99.9 {p999:.1f} ms, "
        f"longest {together[-1] * 1000:.1f} ms, smallest share {min(shares):.1%}"
    )


@pytest.mark.parametrize("seconds", [1.5, pytest.param(20.0, marks=pytest.mark.long, id="long")])
def test_four_writing_processes_all_get_their_turns(start: Start, tmp_path: Path, seconds: float) -> None:
    ours = [start(OURS, seconds) for _ in range(4)]
    for program in ours:
        assert program.line() == "ready"
    began = time.monotonic() + 0.05
    for program in ours:
        program.tell(str(began))
    latencies = [json.loads(program.line(seconds + 20)) for program in ours]
    for program in ours:
        program.end()  # nobody got an error
    report("in turns", latencies)

    plain = run_plain(tmp_path / "plain.db", seconds)
    report("busy_timeout alone", plain)
    counts = [len(one) for one in latencies]
    assert min(counts) > sum(counts) / 8, counts  # half of an equal share
    longest = max(max(one) for one in latencies)
    assert longest < max(4 * max(max(one) for one in plain), 0.5)


def run_plain(path: Path, seconds: float) -> list[list[float]]:
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode = WAL; CREATE TABLE fifo (length INTEGER); INSERT INTO fifo VALUES (0);"
        "CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT);"
    )
    connection.close()
    command = [sys.executable, "-c", PLAIN, str(path), str(seconds)]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    began = time.monotonic() + 0.05
    for program in programs:
        assert program.stdin is not None
        program.stdin.write(f"{began}\n")
        program.stdin.flush()
    return [json.loads(program.communicate(timeout=seconds + 60)[0]) for program in programs]


CONSUME = """
say("ready")
while True:
    async with FIFO("q") as put_at:
        if put_at == "end":
            break
        if put_at is not None:
            say(time.monotonic() - put_at)
"""

PUT = """
while (line := await hear()) != "end":
    await asyncio.sleep(float(line))
    await FIFO("q").put(time.monotonic())
await FIFO("q").put("end")
"""


def test_an_item_that_one_process_puts_is_delivered_in_another_at_once(start: Start, tmp_path: Path) -> None:
    consumer, putter = start(CONSUME), start(PUT)
    assert consumer.line() == "ready"
    time.sleep(0.3)

    def waits(count: int) -> list[float]:
        found = []
        for number in range(count):
            putter.tell(str(0.02 * (number % 5)))
            found.append(float(consumer.line()))
        return found

    woken = waits(25)
    print(f"woken after {statistics.median(woken) * 1000:.2f} ms, {max(woken) * 1000:.2f} ms at most")
    assert statistics.median(woken) < 0.2

    # Its socket is removed behind its back: it looks by itself, not later than after a second or so.
    sockets = list((tmp_path / "test.db.run").glob(f"wake-{consumer.pid}-*"))
    assert len(sockets) == 1
    assert stat.S_IMODE(sockets[0].stat().st_mode) == 0o600
    sockets[0].unlink()
    unheard = waits(2)
    print(f"without its socket after {max(unheard):.2f} s at most")
    assert max(unheard) < 2.5
    putter.tell("end")
    consumer.end()
    putter.end()


def test_the_socket_of_a_killed_process_is_cleaned_away(start: Start, tmp_path: Path) -> None:
    consumer, putter = start(CONSUME), start(PUT)
    assert consumer.line() == "ready"
    putter.tell("0")
    consumer.line()
    run_folder = tmp_path / "test.db.run"
    assert list(run_folder.glob(f"wake-{consumer.pid}-*"))
    consumer.kill()
    putter.tell("0")
    deadline = time.monotonic() + 5
    while list(run_folder.glob(f"wake-{consumer.pid}-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    putter.tell("end")
    putter.end()
