"""Opening a SQLite database: the requirements of its location, and the settings of its connections."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import aiosqlite

from framework.errors import CannotOpen
from framework.process import files
from framework.storage.sqlite import ages as sqlite_ages
from framework.storage.sqlite.batches import BUSY_WAIT, WRITE_WAIT
from framework.storage.sqlite.identity import content_version
from framework.storage.sqlite.statements import Connecting
from framework.storage.sqlite.triggers import make_triggers

OLDEST = (3, 37, 0)  # what the SQL of this engine was written for and is tested with


def prepare(connection: sqlite3.Connection) -> int:
    """Make what else a database has from the beginning: the triggers, its own clock, and the version of its
    content."""
    make_triggers(connection)
    if sqlite_ages.read(connection) is None:
        sqlite_ages.keep(connection)
    return content_version(connection)


def connect_writer(path: str, factory: Connecting = sqlite3.Connection) -> sqlite3.Connection:
    """The writing connection. It is in autocommit mode: only the writer sends BEGIN and COMMIT."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512, factory=factory)
    try:
        connection.execute(f"PRAGMA busy_timeout = {WRITE_WAIT * 1000:.0f}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync does not reach the disk
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA busy_timeout = {BUSY_WAIT * 1000:.0f}")
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async_reader(path: str, factory: Connecting) -> aiosqlite.Connection:
    """A read-only connection for reads that take longer than a look-up. The caller closes it."""
    reader = await aiosqlite.connect(path, isolation_level=None, cached_statements=512, factory=factory)
    await reader.execute(f"PRAGMA busy_timeout = {WRITE_WAIT * 1000:.0f}")
    await reader.execute("PRAGMA query_only = ON")
    return reader


def require_version() -> None:
    """``CannotOpen`` if Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise CannotOpen(
            f"SQLite {sqlite3.sqlite_version} is too old: {oldest} or newer is needed. "
            "It comes with Python: use a newer Python."
        )


def require_place(path: str) -> None:
    """Raises ``CannotOpen`` with the reason if no database can be here."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise CannotOpen(f"cannot open the database {path}: the folder {folder} does not exist")
    if Path(path).is_dir():
        raise CannotOpen(f"cannot open the database {path}: it is a folder, not a file")
    if not os.access(folder, os.W_OK):
        raise CannotOpen(f"cannot open the database {path}: the folder {folder} cannot be written to")
    files.require_database(path)


def make(path: str) -> None:
    """Create the file before SQLite creates one that others may read. SQLite gives its log the same mode and
    owner."""
    real = os.path.realpath(path)
    try:
        files.create(real, files.Access.in_folder(os.path.dirname(real)))
    except OSError as error:
        raise CannotOpen(f"cannot open the database {path}: {error.strerror or error}") from error
