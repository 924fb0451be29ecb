"""Durable queues, each driven as its documentation says: the framework, its peers, and bare SQLite loops.

Every adapter measures itself: it gets a folder of its own and a count, and gives back the seconds from the
first put to the last durable answer. Making the database is not counted.

As a module (`python -m benchmarks.subjects puts NAME FOLDER SECONDS`) it prints one `Measurement` as JSON, so
that each measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from framework.queue.fifo import Fifos
from framework.storage import open_storage
from framework.transactions.session import Session

TASKS = 64
ITEM = {"orderId": "0" * 32, "parameters": {"name": "hoge1"}, "status": "standby"}


class Unavailable(Exception):
    """This subject cannot be measured here; the message says why."""


# --- the framework --------------------------------------------------------------------------------


async def framework_puts(path: Path, tasks: int, count: int) -> float:
    """`tasks` tasks put `count` items into one FIFO of the SQLite file `path`; the seconds that it took."""
    async with _fifos(path) as fifos:

        async def put() -> None:
            for _ in range(count // tasks):
                await fifos("orders").put(ITEM)

        begin = time.perf_counter()
        await asyncio.gather(*(put() for _ in range(tasks)))
        return time.perf_counter() - begin


async def framework_cycle(path: Path, count: int) -> float:
    """One task puts `count` items, one takes and acknowledges each; the seconds until the last is done."""
    async with _fifos(path) as fifos:

        async def produce() -> None:
            for _ in range(count):
                await fifos("orders").put(ITEM)

        async def consume() -> None:
            done = 0
            while done < count:
                async with fifos("orders") as item:
                    if item is not None:
                        done += 1
            await fifos.settlements.settle()

        begin = time.perf_counter()
        await asyncio.gather(produce(), consume())
        return time.perf_counter() - begin


@asynccontextmanager
async def _fifos(path: Path) -> AsyncIterator[Fifos]:
    """FIFOs on an open database, as the scripts of a running server have them."""
    async with open_storage(f"sqlite:///{path}") as storage:
        session = Session()
        session.bind(storage)
        yield Fifos(session)


# --- persist-queue --------------------------------------------------------------------------------


def persist_queue_puts(folder: Path, tasks: int, count: int) -> float:
    queue = _persist_queue(folder)
    return _threads(tasks, count, lambda: queue.put(ITEM))


def persist_queue_cycle(folder: Path, count: int) -> float:
    queue = _persist_queue(folder)

    def consume() -> None:
        for number in range(1, count + 1):
            queue.ack(queue.get())
            if number % 100 == 0:  # what is acknowledged stays in the table, and each get passes over it
                queue.clear_acked_data(max_delete=100, keep_latest=0)

    return _producer_and_consumer(count, lambda: queue.put(ITEM), consume)


def _persist_queue(folder: Path) -> Any:
    return _module("persistqueue").SQLiteAckQueue(str(folder / "persist-queue"), multithreading=True)


# --- huey -----------------------------------------------------------------------------------------


def huey_puts(folder: Path, tasks: int, count: int) -> float:
    _, task = _huey(folder)
    return _threads(tasks, count, lambda: task(ITEM))


def huey_cycle(folder: Path, count: int) -> float:
    """Deliver and acknowledge are one step in huey: taking an item deletes it, before its task has run."""
    huey, task = _huey(folder)

    def consume() -> None:
        done = 0
        while done < count:
            taken = huey.dequeue()
            if taken is None:
                time.sleep(0.001)
            else:
                huey.execute(taken)
                done += 1

    return _producer_and_consumer(count, lambda: task(ITEM), consume)


def _huey(folder: Path) -> tuple[Any, Any]:
    # fsync and strict_fifo are off by default; without them it would be another promise that is measured.
    huey = _module("huey").SqliteHuey(
        filename=str(folder / "huey.db"), results=False, fsync=True, strict_fifo=True, timeout=60
    )

    @huey.task()  # type: ignore[untyped-decorator]
    def handle(item: dict[str, Any]) -> None:
        pass

    return huey, handle


# --- bare SQLite: what the same number of commits costs with nothing around them ------------------


def bare_puts(folder: Path, tasks: int, count: int) -> float:
    return _bare_puts(folder, count, each_commit=1)


def bare_grouped_puts(folder: Path, tasks: int, count: int) -> float:
    return _bare_puts(folder, count, each_commit=tasks)


def _bare_puts(folder: Path, count: int, *, each_commit: int) -> float:
    connection = _bare(folder)
    begin = time.perf_counter()
    for _ in range(0, count, each_commit):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(each_commit):
            connection.execute("INSERT INTO queue (payload) VALUES (?)", (json.dumps(ITEM),))
        connection.execute("COMMIT")
    return time.perf_counter() - begin


def bare_cycle(folder: Path, count: int) -> float:
    """Two commits an item: the put; and the acknowledgement of the last item with the claim of the next."""
    connection = _bare(folder)
    last = None
    begin = time.perf_counter()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO queue (payload) VALUES (?)", (json.dumps(ITEM),))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM queue WHERE id = ?", (last,))
        last, payload = connection.execute("SELECT id, payload FROM queue ORDER BY id LIMIT 1").fetchone()
        connection.execute("UPDATE queue SET attempt = attempt + 1 WHERE id = ?", (last,))
        connection.execute("COMMIT")
        json.loads(payload)
    connection.execute("DELETE FROM queue WHERE id = ?", (last,))
    return time.perf_counter() - begin


def _bare(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL,"
        " attempt INTEGER NOT NULL DEFAULT 0)"
    )
    return connection


# --- driving them ---------------------------------------------------------------------------------


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise Unavailable(f"{name} is not installed") from None


def _threads(number: int, count: int, put: Callable[[], object]) -> float:
    """`number` threads call `put` `count` times in all; the seconds from the common start to the last end."""
    start = threading.Barrier(number + 1)
    errors: list[BaseException] = []

    def work() -> None:
        start.wait()
        try:
            for _ in range(count // number):
                put()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    if errors:
        raise errors[0]
    return seconds


def _producer_and_consumer(count: int, put: Callable[[], object], consume: Callable[[], None]) -> float:
    def produce() -> None:
        for _ in range(count):
            put()

    producer = threading.Thread(target=produce, daemon=True)
    begin = time.perf_counter()
    producer.start()
    consume()
    return time.perf_counter() - begin


PUTS: dict[str, Callable[[Path, int, int], float]] = {
    "framework": lambda folder, tasks, count: uvloop.run(framework_puts(folder / "f.db", tasks, count)),
    "persist-queue": persist_queue_puts,
    "huey": huey_puts,
    "bare, a commit each": bare_puts,
    "bare, a commit for 64": bare_grouped_puts,
}
CYCLES: dict[str, Callable[[Path, int], float]] = {
    "framework": lambda folder, count: uvloop.run(framework_cycle(folder / "f.db", count)),
    "persist-queue": persist_queue_cycle,
    "huey": huey_cycle,
    "bare, two commits each": bare_cycle,
}


@dataclass(frozen=True)
class Measurement:
    """What came of one measurement: items a second, or the reason why there is none."""

    rate: float = 0.0
    unavailable: str = ""
    failed: str = ""


def measure(run: Callable[[Path, int], float], folder: Path, seconds: float) -> Measurement:
    """Run for about `seconds`: a short trial says how many items that is, and warms up what can be warm."""
    trial = TASKS * 4
    try:
        rate = trial / run(_subfolder(folder, "trial"), trial)
        count = max(1, int(rate * seconds / TASKS)) * TASKS
        return Measurement(count / run(_subfolder(folder, "measured"), count))
    except Unavailable as error:
        return Measurement(unavailable=str(error))


def _subfolder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one queue and print the result as JSON.")
    parser.add_argument("benchmark", choices=("puts", "deliveries"))
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    if arguments.benchmark == "puts":
        puts = PUTS[arguments.name]
        result = measure(lambda path, count: puts(path, TASKS, count), arguments.folder, arguments.seconds)
    else:
        result = measure(CYCLES[arguments.name], arguments.folder, arguments.seconds)
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
