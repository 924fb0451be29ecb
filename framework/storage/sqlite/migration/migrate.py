"""``framework migrate`` on a SQLite database: the plan, and its application while nobody else has it open.

The rule: **at every moment the database is the old one or the new one**, even after a kill, a power cut or on a full
disk, because everything happens in one transaction. The file is copied before anything is altered or dropped.
"""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Dialect, Table

from framework.errors import CannotOpen, Unavailable
from framework.storage import tables
from framework.storage.changes import Applied, Plan
from framework.storage.decisions import upkeep
from framework.storage.operations import Audit
from framework.storage.sqlite import backup as sqlite_backup
from framework.storage.sqlite.dialect import Dialect as SQLiteDialect
from framework.storage.sqlite.errors import reason_for
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.migration import schema as sqlite_schema
from framework.storage.sqlite.migration.apply import Applying, history
from framework.storage.sqlite.migration.plan import SqlitePlan, plan, undefined
from framework.storage.sqlite.operations import drive
from framework.storage.sqlite.users import Users, missing_log

_WAIT = 10.0  # seconds that a lock of another process is waited for


def planned(path: str, wanted: Sequence[Table], drop: frozenset[str]) -> Plan:
    """The plan of a migration. Servers may run. Nothing is changed."""
    with _reading(path) as connection:
        return _plan(connection, SQLiteDialect(), wanted, drop)


def applied(
    path: str, wanted: Sequence[Table], drop: frozenset[str], audited: Audit | None = None
) -> tuple[Plan, str | None]:
    """Make all changes, or none if something is refused. Return what was done, and the copy made before.

    ``CannotOpen`` while others have the database open.
    """
    dialect = SQLiteDialect()
    copy = None
    with Locks(path) as locks, Users(locks).alone(), _writing(path) as connection:
        found = _plan(connection, dialect, wanted, drop)
        if not found.refused:
            if found.waiting:
                copy = _copied(path)  # by another connection, which sees the old state
            sqlite_schema.ensure(connection, dialect, list(tables.metadata.sorted_tables))
            applying = Applying(connection, dialect)
            applying.apply(found, cause="migrate", copy=copy)
            if audited is not None and found.made:
                drive(connection, upkeep.audit(audited))
            found.statements = applying.statements
    return found, copy


def remembered(path: str) -> list[Applied]:
    """All changes until now, oldest first."""
    with _reading(path) as connection:
        return list(history(connection)) if _has_history(connection) else []


def _plan(
    connection: sqlite3.Connection, dialect: Dialect, wanted: Sequence[Table], drop: frozenset[str]
) -> SqlitePlan:
    found = plan(connection, dialect, wanted, drop=drop, whole=True)
    unknown = sorted(drop - set(undefined(found.changes)))
    if unknown:
        can = undefined(found.changes)
        hint = f"what can be dropped is {', '.join(can)}" if can else "there is nothing to drop"
        raise CannotOpen(f"{', '.join(unknown)} is not a table or column that is no longer defined: {hint}")
    return found


def _copied(path: str) -> str:
    """Copy the file to a new one beside it. No other process uses it, so a partial copy is from a killed
    migration."""
    for left in Path(path).parent.glob(f".{glob.escape(Path(path).name)}.before-*.part*"):  # and its journal
        left.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    file = f"{path}.before-{stamp}"
    while os.path.lexists(file):
        file += "-2"
    sqlite_backup.copy(path, file)
    return file


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    """A read-only block on one snapshot of the database."""
    try:
        with closing(sqlite_backup.connect(path, "rw", timeout=_WAIT)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise _unavailable(path, error) from error


@contextmanager
def _writing(path: str) -> Iterator[sqlite3.Connection]:
    """One transaction, committed at the end of the block, and rolled back by any exception."""
    try:
        with closing(sqlite_backup.connect(path, "rw", timeout=_WAIT)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            # Recreating a table must not delete rows elsewhere.
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                _check_references(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
    except sqlite3.Error as error:
        raise _unavailable(path, error) from error


def _check_references(connection: sqlite3.Connection) -> None:
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise Unavailable(
            f"a row of {broken[0]} refers to {broken[2]}, and to none there: nothing was changed"
        )


def _has_history(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_framework_migration'")
    return found.fetchone() is not None


def _unavailable(path: str, error: sqlite3.Error) -> Unavailable:
    reason = missing_log(path) or reason_for(error) or str(error)
    return Unavailable(f"{path}: {reason}: nothing was changed ({error})")
