"""The content of lost files is saved where it can be found, because every answered order is in them and nowhere else.

A deleted database is complete as long as a process has it open. The rule: **it is read and never written back**,
since the files that have replaced it belong to somebody else.
"""

from __future__ import annotations

import glob
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from framework.errors import CannotOpen
from framework.process import files
from framework.storage.sqlite.backup import sync
from framework.storage.sqlite.errors import reason_for
from framework.storage.sqlite.identity import Fate, Lost
from framework.storage.sqlite.locks import RESCUE, Locks

_MARK = ".rescued-"


def rescue(connection: sqlite3.Connection, path: str, lost: Lost, locks: Locks) -> str:
    """Copy what the connection has open, if that is needed. Return a sentence for the operator. Never raises.

    ``path`` is where the database really lay. Of several processes that have it open, one makes the copy.
    """
    if lost.fate is Fate.MOVED:
        return "The files are whole where they are now: move them back together, or name them with --database"
    if lost.fate is Fate.UNLOCKED:
        return "Everything that was answered is in the database file: start again"
    if lost.fate is Fate.OVERWRITTEN:
        return _set_log_aside(path)
    noticed = time.time()
    while not locks.ranges.try_acquire(RESCUE):
        time.sleep(0.05)
    try:
        if lost.fate is Fate.LOG_LOST and _write_back(connection):
            return "Everything that was answered is in the database file: start again"
        made = [file for file in rescued(path) if os.stat(file).st_mtime > noticed - 5]
        return _kept(made[0], path) if made else _copy(connection, path, locks.access)
    except OSError as error:
        return f"What it held could not be copied: {error.strerror or error}"
    finally:
        locks.ranges.release(RESCUE)


def rescued(path: str) -> Iterator[str]:
    """The copies that lie beside the database."""
    names = {os.path.abspath(path), os.path.realpath(path)}
    yield from sorted(file for name in names for file in glob.glob(f"{glob.escape(name)}{_MARK}*"))


def require_no_rescued(path: str) -> None:
    """Raises ``CannotOpen`` while a copy of lost files waits for a decision, because a start would ignore its
    content."""
    for file in rescued(path):
        raise CannotOpen(
            f"{file} holds what was in the database {path} when its files were lost, answered orders included. To "
            f"go on with it, move {path} and what begins with {path}- away, and move it to {path}. To go on "
            "without it, move it elsewhere"
        )


def _copy(connection: sqlite3.Connection, path: str, access: files.Access) -> str:
    real = Path(path)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    reasons = []
    for folder in (real.parent, Path(tempfile.gettempdir())):
        target = folder / f"{real.name}{_MARK}{stamp}"
        try:
            with files.replacing(target, access) as part:
                connection.execute("VACUUM INTO ?", (str(part),))
                sync(part)
            sync(folder)
        except (sqlite3.Error, OSError) as error:
            reason = reason_for(error) if isinstance(error, sqlite3.Error) else error.strerror
            reasons.append(f"{folder}: {reason or error}")
        else:
            return _kept(str(target), path)
    return f"What it held could not be copied: {'; '.join(reasons)}"


def _kept(file: str, path: str) -> str:
    return f"What it held, every answered order included, is in {file}: move it to {path} and start again"


def _write_back(connection: sqlite3.Connection) -> bool:
    """Copy the whole log into the database file. No other process can have changed that file without the log."""
    try:
        busy, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy and pages == copied


def _set_log_aside(path: str) -> str:
    """Otherwise the old log would be applied to the new content."""
    log = f"{path}-wal"
    aside = f"{log}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    try:
        os.rename(log, aside)
    except OSError:
        return f"Remove {log} before the next start: it belongs to the old content"
    return f"What is there now stays as it is; the log of the old content is {aside}"
