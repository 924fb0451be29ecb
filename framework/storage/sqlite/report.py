"""What ``framework doctor`` says of a SQLite database and its place. It makes none and changes none.

A write-ahead log that a killed process left is read, not written back: the database is then opened for
reading only. Where there is none, it is opened as any process opens it, so that no file is left behind.
The settings and the price of a commit are tried on a scratch file in the same folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table

from framework.process import files
from framework.storage import tables
from framework.storage.changes import Plan
from framework.storage.findings import Finding
from framework.storage.sqlite import holders
from framework.storage.sqlite.backup import connect, sync_file
from framework.storage.sqlite.dialect import Dialect as SQLiteDialect
from framework.storage.sqlite.engine import OLDEST, _connect_writer
from framework.storage.sqlite.errors import reason_for
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.migration import plan as sqlite_plan
from framework.storage.sqlite.rescue import rescued
from framework.storage.sqlite.users import missing_log

_WAL_RESET_BUG = (3, 51, 2)  # the last version that has it

_SYNCS = 20
_SLOW_SYNC = 0.02  # seconds: fewer than 50 commits a second
_LITTLE_SPACE = 1 << 30  # bytes
_NO_SPACE = 16 << 20
_LARGE_WAL = 128 << 20  # more than what a server leaves
_LOOKS, _BETWEEN_LOOKS = 5, 0.05
_NEWBORN = 5.0  # seconds: a process of this age may be taking its lock at this moment; leave it in peace
_WAIT = 5.0

# https://www.sqlite.org/wal.html: all processes using a database must be on the same host computer.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "9p", "ncpfs"}
_NETWORK_FUSE = {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "fuse.ceph-fuse"}
_VOLATILE = {"tmpfs", "ramfs"}

_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}

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


def findings(path: str, defined: Sequence[Table] | None) -> Iterator[Finding]:
    """Everything that there is to say, the place first. ``defined`` are the tables of the definitions."""
    database = Path(os.path.abspath(path))
    yield _version(sqlite3.sqlite_version_info)
    folder = database.parent
    if not folder.is_dir():
        yield Finding("folder", "error", f"the folder {folder} of the database does not exist")
        return
    yield _file_system(folder, _mounts())
    yield _space(folder, database)
    yield from _trial(folder)
    if not database.exists():
        yield Finding(
            "database",
            "error",
            f"there is no database {path}: `framework serve` makes it; name another one with --database",
        )
        return
    yield _files(database)
    yield access(str(database))
    try:
        files.require_database(str(database))
    except files.Refused as error:
        yield Finding("access", "error", str(error))
        return
    for copy in rescued(str(database)):
        yield Finding("rescued", "warning", f"{copy} holds what was in the database when its files were lost")
    try:
        # The locks outlast the connection: closing them first would drop those of SQLite.
        with Locks(str(database), look_only=True) as locks, closing(_open(database)) as connection:
            yield from _inside(connection, locks, defined)
    except sqlite3.Error as error:
        reason = missing_log(path) or reason_for(error) or "it cannot be read"
        yield Finding("database", "error", f"{path}: {reason} ({error})")
    except OSError as error:
        yield Finding("database", "error", f"{error.filename or path}: {error.strerror or error}")


# ---- the place ------------------------------------------------------------------------------


def _version(version: tuple[int, ...]) -> Finding:
    """https://www.sqlite.org/wal.html#walresetbug"""
    text = ".".join(map(str, version))
    data = {"version": text}
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding(
            "sqlite",
            "error",
            f"SQLite {text} is too old: {oldest} or newer is needed, use a newer Python",
            data,
        )
    message = f"SQLite {text}"
    if version <= _WAL_RESET_BUG:
        message += (
            ", which has the rare WAL-reset bug (3.7.0 to 3.51.2): it takes two connections that write or "
            "check-point in the same moment. The framework has one writing connection a process, so run few "
            "processes on this database, or use a Python with SQLite 3.51.3 or newer"
        )
    return Finding("sqlite", "ok", message, data)


def _mounts() -> list[tuple[str, str]]:
    """The mounted file systems as (place, type); none where the system does not say it."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [(_unescaped(fields[1]), fields[2]) for line in lines if len(fields := line.split()) > 2]


def _unescaped(place: str) -> str:
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(escaped, plain)
    return place


def _file_system(folder: Path, mounts: Sequence[tuple[str, str]]) -> Finding:
    real = Path(os.path.realpath(folder))
    # The longest place that holds the folder; of several at one place the last mounted one hides the others.
    holding = [
        (len(place), number, kind) for number, (place, kind) in enumerate(mounts) if _holds(place, real)
    ]
    if not holding:
        return Finding(
            "file-system", "ok", "the system does not tell the file system; it must be a local one"
        )
    kind = max(holding)[2]
    data = {"type": kind}
    if kind in _NETWORK or kind in _NETWORK_FUSE:
        return Finding(
            "file-system",
            "warning",
            f"{folder} is on a network file system ({kind}): its locks and its shared memory cannot be relied "
            "on, the database can be damaged. Move it to a local disk",
            data,
        )
    if kind in _VOLATILE:
        message = f"{folder} is in memory ({kind}): everything is lost when the machine restarts"
        return Finding("file-system", "warning", message, data)
    return Finding("file-system", "ok", f"{folder} is on a local file system ({kind})", data)


def _holds(place: str, folder: Path) -> bool:
    return folder.is_relative_to(place)


def _space(folder: Path, database: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    size = _size(database)
    data = {"free": free}
    if free < _NO_SPACE:
        return Finding("space", "error", f"{_bytes(free)} are free: the next writes will fail", data)
    if free < _LITTLE_SPACE:
        return Finding("space", "warning", f"only {_bytes(free)} are free", data)
    if free < size:
        message = f"{_bytes(free)} are free, less than the {_bytes(size)} that a backup in this folder takes"
        return Finding("space", "warning", message, data)
    return Finding("space", "ok", f"{_bytes(free)} are free", data)


def _trial(folder: Path) -> Iterator[Finding]:
    """What a start would have here: settings in force, and the price of a commit."""
    try:
        with tempfile.TemporaryDirectory(prefix=".framework-doctor-", dir=folder) as scratch:
            yield _settings(Path(scratch) / "scratch.db")
            yield _sync_price(Path(scratch) / "scratch")
    except sqlite3.Error as error:
        yield Finding("settings", "error", f"SQLite does not work in {folder}: {error}")
    except OSError as error:
        yield Finding("folder", "error", f"the folder {folder} cannot be written to: {error.strerror}")


def _settings(scratch: Path) -> Finding:
    with closing(_connect_writer(str(scratch))) as connection:
        [mode] = connection.execute("PRAGMA journal_mode").fetchone()
        [level] = connection.execute("PRAGMA synchronous").fetchone()
    synchronous = _SYNCHRONOUS.get(level, str(level))
    data = {"journal_mode": mode, "synchronous": synchronous}
    message = f"journal_mode {mode.upper()}, synchronous {synchronous}"
    if mode != "wal":
        return Finding("settings", "error", f"{message}: a write-ahead log is not to be had here", data)
    if level < 2:
        message += ": what was acknowledged last can be lost at a power cut, nothing at a kill"
        return Finding("settings", "warning", message, data)
    return Finding("settings", "ok", f"{message}: what is acknowledged survives a power cut", data)


def _sync_price(scratch: Path) -> Finding:
    took = []
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(fd, b"\0" * 4096)
            began = time.perf_counter()
            sync_file(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
    price = statistics.median(took)
    data = {"median_ms": round(price * 1000, 3), "times": _SYNCS}
    message = (
        f"a sync takes {price * 1000:.2f} ms (median of {_SYNCS}): at most {1 / max(price, 1e-6):,.0f} commits a "
        "second, each of them shared by all who write at that moment"
    )
    return Finding("sync", "warning" if price > _SLOW_SYNC else "ok", message, data)


def access(path: str) -> Finding:
    """Who may read what is in the database: items, rows, hashes of tokens."""
    wide = files.exposed(path)
    shared = files.Access.of(path).shared
    if wide:
        modes = ", ".join(f"{file} has mode {mode:04o}" for file, mode, _ in wide)
        better = f"{wide[0][2]:o}"
        command = shlex.join(["chmod", better, *(file for file, _, _ in wide)])
        data = {file: f"{mode:04o}" for file, mode, _ in wide}
        return Finding("access", "warning", f"other users may open the database: {modes}; `{command}`", data)
    whom = "its owner and its group, on purpose" if shared else "its owner"
    return Finding("access", "ok", f"the database can be opened by {whom} alone")


def _files(database: Path) -> Finding:
    sizes = {end or "database": _size(database.with_name(database.name + end)) for end in ("", "-wal")}
    size, wal = sizes["database"], sizes["-wal"]
    message = f"{database}: {_bytes(size)}, write-ahead log {_bytes(wal)}"
    data: dict[str, object] = {"database": size, "wal": wal}
    if wal > _LARGE_WAL:
        readers = _long_readers(database)
        data["readers"] = readers
        return Finding("files", "warning", f"{message}: {_why_large(readers)}", data)
    return Finding("files", "ok", message, data)


def _long_readers(database: Path) -> list[int]:
    """The processes that read in one transaction all the time that we look."""
    found = set(holders.readers(str(database)))
    for _ in range(_LOOKS):
        if found:
            time.sleep(_BETWEEN_LOOKS)
            found &= set(holders.readers(str(database)))
    return sorted(found)


def _why_large(readers: Sequence[int]) -> str:
    if readers:
        who = ", ".join(holders.named(pid) for pid in readers)
        return (
            f"{who} reads in one transaction for a long time; the log cannot be written back before that ends"
        )
    if sys.platform == "linux":
        return (
            "somebody read in one transaction for a long time, and does so no more. A server on this database "
            "truncates it within a minute; without one, the next start and stop does"
        )
    return (
        "something reads in one transaction for a long time, or did; if nothing does any more, a server on this "
        "database truncates it within a minute"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _bytes(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


# ---- the database ---------------------------------------------------------------------------


def _open(database: Path) -> sqlite3.Connection:
    left = any(_size(database.with_name(database.name + end)) for end in ("-wal", "-journal"))
    connection = connect(str(database), "ro" if left else "rw", timeout=_WAIT)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _inside(
    connection: sqlite3.Connection, locks: Locks, defined: Sequence[Table] | None
) -> Iterator[Finding]:
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
    """Those that take items, and what dead ones left in work."""
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
            told.append(f"{host}:{pid} is dead; {items} will be taken over by who asks next")
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
    """A drain that keeps running servers from beginning anything new."""
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
    """Those that cannot run, by their own processes' word. What a dead process said is void."""
    problems = [
        {"worker": worker, "host": host, "pid": pid, "problem": problem, "since": since}
        for number, host, pid, worker, problem, since in connection.execute(_PROBLEMS).fetchall()
        if locks.alive(number)
    ]
    if not problems:
        return Finding("workers", "ok", "no worker has reported that it cannot run", {"problems": []})
    told = "; ".join(f"{one['worker']} in {one['host']}:{one['pid']}: {one['problem']}" for one in problems)
    return Finding("workers", "error", f"workers cannot run: {told}", {"problems": problems})
