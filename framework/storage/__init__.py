"""Where rows, items and tokens are stored: one contract, and an engine for each database.

``open_storage`` chooses the engine by the URL. Nothing else in the framework knows which one it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from framework.errors import CannotOpen
from framework.storage.contract import Storage
from framework.storage.database import Database
from framework.storage.sockets import SocketFolder

if TYPE_CHECKING:
    from sqlalchemy import Table

    from framework.storage.changes import Applied, Plan
    from framework.storage.findings import Finding
    from framework.storage.operations import Audit
    from framework.storage.statements import Statements

DEFAULT_URL = "sqlite:///framework.db"


def open_storage(
    url: str = DEFAULT_URL,
    *,
    create: bool = True,
    reading: bool = False,
    statements: Statements | None = None,
) -> AbstractAsyncContextManager[Storage]:
    """The open storage behind a URL, closed with the block. Raises ``CannotOpen``, which says what is wrong.

    ``sqlite:///orders.db`` is a file in the current folder, ``sqlite:////var/lib/orders.db`` an absolute one.
    Without ``create`` a missing database is an error, and is not created. ``reading`` is for callers that only read:
    it never waits for a writer. ``statements`` reports the statements that are sent to the database.
    """
    return _database(url).open(create=create, reading=reading, statements=statements)


def exists(url: str) -> bool:
    """Does the database behind the URL exist?"""
    return _database(url).exists()


def sockets(url: str) -> SocketFolder:
    """The folder beside the database for the sockets of this machine's processes. It may be missing. ``close`` it."""
    return _database(url).sockets()


async def backup(url: str, file: str) -> None:
    """Copy the database to a new file, or over an old one, completely or not at all. Servers may run.

    The copy holds everything that was acknowledged before the call. ``Unavailable`` says why there is none.
    """
    await _database(url).backup(file)


def examine_access(url: str) -> Finding:
    """Which users can read the files of the database although their owner did not intend it."""
    return _database(url).examine_access()


def examine(url: str, tables: Sequence[Table] | None = None) -> list[Finding]:
    """Findings about the database and its location. Nothing is created or changed.

    ``tables`` are compared with those of the database. Raises ``CannotOpen`` for an invalid URL.
    """
    return _database(url).examine(tables)


def plan_migration(url: str, tables: Sequence[Table], drop: Iterable[str] = ()) -> Plan:
    """The plan that would bring the database up to ``tables``, which are all tables. Servers may run. Nothing is
    changed.

    ``drop`` names tables and columns that are no longer defined and are to be dropped.
    """
    return _database(url).plan_migration(tables, frozenset(drop))


def migrate(
    url: str, tables: Sequence[Table], drop: Iterable[str] = (), audited: Audit | None = None
) -> tuple[Plan, str | None]:
    """Bring the database up to ``tables``, completely or not at all. Return the plan, and the file of the copy made
    before.

    ``audited`` is recorded with it. If the plan has ``refused`` changes, nothing was done. Raises ``CannotOpen``
    while other processes have the database open.
    """
    return _database(url).migrate(tables, frozenset(drop), audited)


def migrations(url: str) -> list[Applied]:
    """All changes of the classes' tables, oldest first."""
    return _database(url).migrations()


def _database(url: str) -> Database:
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from framework.storage.sqlite.database import SqliteDatabase

        return SqliteDatabase(url)
    raise CannotOpen(f"no storage engine for {scheme!r}: the database URL starts with sqlite:///")


__all__ = [
    "DEFAULT_URL",
    "SocketFolder",
    "Storage",
    "backup",
    "examine",
    "examine_access",
    "exists",
    "migrate",
    "migrations",
    "open_storage",
    "plan_migration",
    "sockets",
]
