"""SQLite's errors in the framework's own words.

Result codes: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3

from framework.errors import CannotOpen, Duplicate, Unavailable
from framework.storage.operations import TARGET

_PRIMARY = 0xFF  # the low byte of an extended result code is the primary one

_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an input/output error",
    sqlite3.SQLITE_NOMEM: "SQLite has no memory left",
    sqlite3.SQLITE_READONLY: "the database can only be read",
    sqlite3.SQLITE_BUSY: "another process holds the database",
    sqlite3.SQLITE_LOCKED: "another process holds the database",
    sqlite3.SQLITE_CANTOPEN: "a file of the database cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_PERM: "a file of the database may not be accessed",
    sqlite3.SQLITE_PROTOCOL: "the database's lock protocol failed",
}

_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


def translate(error: BaseException) -> BaseException:
    """The error for the caller. An error that is not SQLite's stays as it is."""
    if isinstance(error, OSError):  # of a lock file: the disk's, not SQLite's
        unavailable = Unavailable(
            f"a lock file of the database cannot be used: nothing was written ({error})"
        )
        unavailable.__cause__ = error
        return unavailable
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    if code in _UNIQUE:
        return _duplicate(error)
    reason = reason_for(error)
    if reason is None:
        return error
    unavailable = Unavailable(f"{reason}: nothing was written ({error})")
    unavailable.__cause__ = error
    return unavailable


def cannot_open(path: str, error: sqlite3.Error, known: str | None = None) -> CannotOpen:
    """The error of a start: which file, why, and what to do. ``known`` is a cause that was found out."""
    reason = known or reason_for(error) or str(error)
    return CannotOpen(f"cannot open the database {path}: {reason} ({error})")


def reason_for(error: sqlite3.Error) -> str | None:
    """Why the database is unavailable now, or None for another kind of error."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _UNAVAILABLE.get(code & _PRIMARY)


def is_busy(error: sqlite3.Error) -> bool:
    """Does another process use it, so that it may work in a moment?"""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _duplicate(error: sqlite3.Error) -> Duplicate:
    """From ``UNIQUE constraint failed: Table.column, Table.column2``; a table of links is ``Table.column``."""
    columns = [part.strip() for part in str(error).partition(": ")[2].split(",")]
    table = columns[0].partition(".")[0]
    names = (column.partition(".")[2].removesuffix(f".{TARGET}") for column in columns)
    duplicate = Duplicate(table, tuple(names))
    duplicate.__cause__ = error
    return duplicate
