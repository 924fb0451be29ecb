"""The findings of ``framework doctor`` about a SQLite database and its location. It creates and changes nothing.

A write-ahead log that a killed process left is read, not written back: the database is then opened read-only. Without
a log it is opened as any process opens it, so that no file is left behind.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table

from framework.process import files
from framework.storage.findings import Finding
from framework.storage.sqlite.doctor.content import content, open_to_look
from framework.storage.sqlite.doctor.place import file_system, mounts, space, trial, version
from framework.storage.sqlite.doctor.sizes import access, sizes
from framework.storage.sqlite.errors import reason_for
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.rescue import rescued
from framework.storage.sqlite.users import missing_log


def findings(path: str, defined: Sequence[Table] | None) -> Iterator[Finding]:
    """All findings, those about the location first. ``defined`` are the tables of the definitions."""
    database = Path(os.path.abspath(path))
    yield version(sqlite3.sqlite_version_info)
    folder = database.parent
    if not folder.is_dir():
        yield Finding("folder", "error", f"the folder {folder} of the database does not exist")
        return
    yield file_system(folder, mounts())
    yield space(folder, database)
    yield from trial(folder)
    if not database.exists():
        yield Finding(
            "database",
            "error",
            f"there is no database {path}: `framework serve` makes it; name another one with --database",
        )
        return
    yield sizes(database)
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
        with Locks(str(database), look_only=True) as locks, closing(open_to_look(database)) as connection:
            yield from content(connection, locks, defined)
    except sqlite3.Error as error:
        reason = missing_log(path) or reason_for(error) or "it cannot be read"
        yield Finding("database", "error", f"{path}: {reason} ({error})")
    except OSError as error:
        yield Finding("database", "error", f"{error.filename or path}: {error.strerror or error}")
