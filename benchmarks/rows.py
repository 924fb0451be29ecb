"""One row: `load` by identifier and `save` of one field, against the same statements on the bare driver.

Everything is one by one: the next begins when the last one is answered. As a module
(`python -m benchmarks.rows loads NAME FOLDER SECONDS`) it prints one `Measurement` as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import aiosqlite
import uvloop

from benchmarks.report import Report, Sample
from benchmarks.servers import ROOT
from benchmarks.subjects import Measurement, measure
from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.storage import Storage, open_storage
from framework.transactions.session import Session

APP = ROOT / "tests" / "fixtures" / "reference-app"
ROWS = 1000
PARAMETERS = {"name": "hoge1", "vlan": 100, "sites": ["a", "b"]}

SELECT = (
    'SELECT _seq, instance, xid, xname, "orderId", parameters, status FROM "OrderEntry" WHERE "orderId" = ?'
)
UPDATE = 'UPDATE "OrderEntry" SET status = ? WHERE "orderId" = ?'
STATES = ("done", "standby")

Work = Callable[[int], Any]


def _key(number: int) -> str:
    return f"{number % ROWS:032x}"


async def _framework(path: Path, loads: int, saves: int) -> float:
    async with open_storage(f"sqlite:///{path}") as storage:
        cls = (await _atoms(storage)).OrderEntry
        order = await cls.load(_key(0))
        begin = time.perf_counter()
        for number in range(loads):
            await cls.load(_key(number))
        for number in range(saves):
            await order.save(status=STATES[number % 2])
        return time.perf_counter() - begin


async def _atoms(storage: Storage) -> Any:
    """The classes of the reference app; their table holds 1,000 orders."""
    session = Session()
    session.bind(storage)
    atoms = Atoms(check(APP, environ={}).definitions.atoms, session, {**MODULES})
    await storage.ensure_tables(atoms.records)
    orders = [atoms.OrderEntry(orderId=_key(n), parameters=PARAMETERS) for n in range(ROWS)]
    await asyncio.gather(*(order.save() for order in orders))
    return atoms


def _prepared(path: Path) -> None:
    """The same table with the same rows, for a bare driver."""

    async def fill() -> None:
        async with open_storage(f"sqlite:///{path}") as storage:
            await _atoms(storage)

    uvloop.run(fill())


def _bare(path: Path, work: Callable[[sqlite3.Connection], Work], times: int) -> float:
    _prepared(path)
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    connection.execute("PRAGMA synchronous = FULL")
    each = work(connection)
    begin = time.perf_counter()
    for number in range(times):
        each(number)
    return time.perf_counter() - begin


def _row(connection: sqlite3.Connection) -> Work:
    return lambda number: connection.execute(SELECT, (_key(number),)).fetchone()


def _decoded(connection: sqlite3.Connection) -> Work:
    def load(number: int) -> dict[str, Any]:
        cursor = connection.execute(SELECT, (_key(number),))
        names = [column[0] for column in cursor.description]
        row = dict(zip(names, cursor.fetchone(), strict=True))
        row["parameters"] = json.loads(row["parameters"])
        return row

    return load


def _update(connection: sqlite3.Connection) -> Work:
    def save(number: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(UPDATE, (STATES[number % 2], _key(0)))
        connection.execute("COMMIT")

    return save


async def _awaited(
    path: Path, work: Callable[[aiosqlite.Connection, int], Awaitable[Any]], times: int
) -> float:
    async with aiosqlite.connect(path, isolation_level=None, cached_statements=512) as connection:
        await connection.execute("PRAGMA synchronous = FULL")
        begin = time.perf_counter()
        for number in range(times):
            await work(connection, number)
        return time.perf_counter() - begin


async def _awaited_row(connection: aiosqlite.Connection, number: int) -> None:
    await connection.execute_fetchall(SELECT, (_key(number),))


async def _awaited_update(connection: aiosqlite.Connection, number: int) -> None:
    # Autocommit: the statement is a transaction by itself, in one hop.
    await connection.execute(UPDATE, (STATES[number % 2], _key(0)))


def _aiosqlite(path: Path, work: Callable[[aiosqlite.Connection, int], Awaitable[Any]], times: int) -> float:
    _prepared(path)
    return uvloop.run(_awaited(path, work, times))


LOADS: dict[str, Callable[[Path, int], float]] = {
    "framework": lambda path, times: uvloop.run(_framework(path, times, 0)),
    "aiosqlite": lambda path, times: _aiosqlite(path, _awaited_row, times),
    "sqlite3, the row": lambda path, times: _bare(path, _row, times),
    "sqlite3, a dict with its JSON": lambda path, times: _bare(path, _decoded, times),
}
SAVES: dict[str, Callable[[Path, int], float]] = {
    "framework": lambda path, times: uvloop.run(_framework(path, 0, times)),
    "aiosqlite": lambda path, times: _aiosqlite(path, _awaited_update, times),
    "sqlite3": lambda path, times: _bare(path, _update, times),
}
CASES = {
    "loads": ("one row by its identifier after another", LOADS),
    "saves": ("one field of a loaded row after another, each durable", SAVES),
}


def run_round(report: Report, benchmark: str, number: int, *, seconds: float, folder: Path) -> None:
    """Measure each subject once, in a process of its own; one that cannot run is noted and then left out."""
    case, subjects = CASES[benchmark]
    for name in subjects:
        noted = f"{name}, {benchmark}"
        if noted in report.failed:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as files:
            command = [sys.executable, "-m", "benchmarks.rows", benchmark, name, files, str(seconds)]
            limit = 60 + 4 * seconds
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=ROOT)
            except subprocess.TimeoutExpired:
                report.failed[noted] = f"it did not end within {limit:g} s"
                continue
        if done.returncode:
            report.failed[noted] = done.stderr.strip()[-3000:] or f"it ended with {done.returncode}"
        else:
            report.add(Sample(benchmark, case, name, number, Measurement(**json.loads(done.stdout)).rate))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one subject and print the result as JSON.")
    parser.add_argument("benchmark", choices=tuple(CASES))
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    run = CASES[arguments.benchmark][1][arguments.name]
    numbers = count()
    result = measure(
        lambda path, times: run(path / f"{next(numbers)}.db", times), arguments.folder, arguments.seconds
    )
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
