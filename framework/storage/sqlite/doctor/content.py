"""The content of a SQLite database: its integrity, how it matches the definitions, and who works on it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Table

from framework.storage import tables
from framework.storage.changes import Plan
from framework.storage.findings import Finding
from framework.storage.sqlite.backup import connect
from framework.storage.sqlite.dialect import Dialect as SQLiteDialect
from framework.storage.sqlite.doctor.sizes import size_of
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.migration import plan as sqlite_plan

_WAL_RESET_BUG = (3, 51, 2)  # the last version that has it
_NEWBORN = 5.0  # seconds: a younger process may just be taking its lock
_WAIT = 5.0
_PROCESSES = "SELECT id, host, pid, started_at FROM _framework_process ORDER BY id"
_IN_WORK = "SELECT name, item FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL ORDER BY name"
_DRAIN = "SELECT id, at FROM _framework_drain"
_CONCERNED = "SELECT id FROM _framework_process WHERE started_at <= ? ORDER BY id"
_SUSPECTS = """
    SELECT f.name, i.id FROM _framework_fifo f
    JOIN _framework_item i ON i.id = (SELECT min(id) FROM _framework_item WHERE fifo = f.id)
    WHERE i.suspicion > 0 ORDER BY f.name"""
_PROBLEMS = """
    SELECT p.id, p.host, p.pid, b.worker, b.problem, b.since
    FROM _framework_problem b JOIN _framework_process p ON p.id = b.process ORDER BY b.worker, p.id"""


def open_to_look(database: Path) -> sqlite3.Connection:
    """A read-only connection. The caller closes it."""
    left = any(size_of(database.with_name(database.name + end)) for end in ("-wal", "-journal"))
    connection = connect(str(database), "ro" if left else "rw", timeout=_WAIT)
    connection.execute("PRAGMA query_only = ON")
    return connection


def content(
    connection: sqlite3.Connection, locks: Locks, defined: Sequence[Table] | None
) -> Iterator[Finding]:
    """All findings about an open database, and about the definitions' tables in it."""
    yield _integrity(connection)
    dialect = SQLiteDialect()
    own = list(tables.metadata.sorted_tables)
    plan = sqlite_plan.plan(connection, dialect, own)
    yield _tables(plan)
    if not plan.made:
        yield _processes(connection, locks)
        yield _workers(connection, locks)
        yield _drain(connection, locks)
    if defined is not None:
        yield _definitions(sqlite_plan.plan(connection, dialect, defined, whole=True), len(defined))


def _integrity(connection: sqlite3.Connection) -> Finding:
    try:
        found = [text for (text,) in connection.execute("PRAGMA quick_check(10)")]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        found = [str(error)]  # so damaged that the check itself stops
    if found == ["ok"]:
        return Finding("integrity", "ok", "quick_check found no damage")
    message = "the database is damaged: " + "; ".join(" ".join(text.split()) for text in found)
    return Finding("integrity", "error", message, {"found": found})


def _tables(plan: Plan) -> Finding:
    data = _told(plan)
    if plan.waiting:
        message = "the framework's own tables are of another version: " + "; ".join(data["stops"])
        return Finding("tables", "error", message, data)
    if plan.additions:
        message = "the next start adds to the framework's own tables: " + ", ".join(data["adds"])
        return Finding("tables", "ok", message, data)
    return Finding("tables", "ok", "the framework's own tables are those of this version", data)


def _definitions(plan: Plan, tables: int) -> Finding:
    data = _told(plan)
    kept = f"; kept, and no longer defined: {', '.join(data['kept'])}" if data["kept"] else ""
    if plan.waiting:
        message = "a start would be stopped, the tables do not fit the definitions: " + "; ".join(
            data["stops"]
        )
        message += "; `framework migrate DIR` shows how to go on"
        return Finding("definitions", "error", message, data)
    if plan.additions:
        message = "a start would add: " + ", ".join(data["adds"]) + kept
        return Finding("definitions", "ok", message, data)
    return Finding("definitions", "ok", f"{tables} table(s) of classes: they fit the definitions{kept}", data)


def _told(plan: Plan) -> dict[str, list[str]]:
    return {
        "adds": [change.what for change in plan.additions],
        "stops": [f"{change.what}: {change.text}" for change in plan.waiting],
        "kept": [change.what for change in plan.changes if change.kept],
    }


def _processes(connection: sqlite3.Connection, locks: Locks) -> Finding:
    """The processes that take items, and the items that dead ones left in work."""
    processes, told, now = [], [], time.time()
    for number, host, pid, started_at in connection.execute(_PROCESSES).fetchall():
        alive = now - started_at < _NEWBORN or locks.alive(number)
        in_work = [{"fifo": fifo, "item": item} for fifo, item in connection.execute(_IN_WORK, (number,))]
        processes.append(
            {"host": host, "pid": pid, "started_at": started_at, "alive": alive, "in_work": in_work}
        )
        items = ", ".join(f"item {work['item']} of {work['fifo']}" for work in in_work)
        if alive:
            told.append(f"{host}:{pid}" + (f" (working on {items})" if items else ""))
        elif items:
            told.append(f"{host}:{pid} is dead; {items} will be taken over by the next process that asks")
    suspects = [{"fifo": fifo, "item": item} for fifo, item in connection.execute(_SUSPECTS)]
    data = {"processes": processes, "suspects": suspects}
    if suspects:
        items = ", ".join(f"item {one['item']} of {one['fifo']}" for one in suspects)
        told.append(f"suspects of a crash, which are delivered one at a time: {items}")
    if not told:
        return Finding("processes", "ok", "no process takes items at the moment", data)
    message = "processes that take items: " + "; ".join(told)
    if sum(process["alive"] for process in processes) > 1 and sqlite3.sqlite_version_info <= _WAL_RESET_BUG:
        message += "; several of them write with a SQLite that has the rare WAL-reset bug"
        return Finding("processes", "warning", message, data)
    return Finding("processes", "ok", message, data)


def _drain(connection: sqlite3.Connection, locks: Locks) -> Finding:
    """A drain that keeps running servers from starting new work."""
    drain = connection.execute(_DRAIN).fetchone()
    if drain is None:
        return Finding("drain", "ok", "no drain is in force", {"at": None})
    at: float = drain[1]
    if not any(locks.alive(number) for (number,) in connection.execute(_CONCERNED, (at,)).fetchall()):
        return Finding("drain", "ok", "a drain was in force; no server that it concerned runs", {"at": at})
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    message = (
        f"drained at {since}: servers that ran then deliver nothing new; "
        "a restart or `framework drain --off` ends that"
    )
    return Finding("drain", "warning", message, {"at": at})


def _workers(connection: sqlite3.Connection, locks: Locks) -> Finding:
    """The workers that cannot run, as their processes report it. Reports of dead processes are void."""
    problems = [
        {"worker": worker, "host": host, "pid": pid, "problem": problem, "since": since}
        for number, host, pid, worker, problem, since in connection.execute(_PROBLEMS).fetchall()
        if locks.alive(number)
    ]
    if not problems:
        return Finding("workers", "ok", "no worker has reported that it cannot run", {"problems": []})
    told = "; ".join(f"{one['worker']} in {one['host']}:{one['pid']}: {one['problem']}" for one in problems)
    return Finding("workers", "error", f"workers cannot run: {told}", {"problems": problems})
