"""Where rows, items and tokens are kept: one contract, an engine for each database.

``open_storage`` picks the engine by the URL; nothing else of the framework knows which one it is.
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
    """The open storage behind a URL, closed with the block; ``CannotOpen`` says what is wrong.

    ``sqlite:///orders.db`` is a file in the current folder, ``sqlite:////var/lib/orders.db`` an absolute one.
    Without ``create`` a database that is not there is an error, and stays away. Who only reads says so: ``reading``
    waits for nobody who writes. ``statements`` reports what is sent to it.
    """
    return _database(url).open(create=create, reading=reading, statements=statements)


def exists(url: str) -> bool:
    """Is there a database behind the URL already?"""
    return _database(url).exists()


def sockets(url: str) -> SocketFolder:
    """The folder beside the database where processes of this machine meet; it may be missing. ``close`` it."""
    return _database(url).sockets()


async def backup(url: str, file: str) -> None:
    """Copy the database to a new file, or over an old one: whole, or nothing of it. Servers may run.

    The copy holds everything that was acknowledged before the call. ``Unavailable`` says why there is none.
    """
    await _database(url).backup(file)


def examine_access(url: str) -> Finding:
    """Who else may read the files of the database than their owner meant."""
    return _database(url).examine_access()


def examine(url: str, tables: Sequence[Table] | None = None) -> list[Finding]:
    """What is to be said of the database and of its place; nothing is made and nothing is changed.

    ``tables`` are compared with those of the database. ``CannotOpen`` for a URL that is none.
    """
    return _database(url).examine(tables)


def plan_migration(url: str, tables: Sequence[Table], drop: Iterable[str] = ()) -> Plan:
    """What would bring the database up to ``tables``, all that there are; servers may run, nothing is changed.

    ``drop`` names tables and columns that are no longer defined and are to be dropped.
    """
    return _database(url).plan_migration(tables, frozenset(drop))


def migrate(
    url: str, tables: Sequence[Table], drop: Iterable[str] = (), audited: Audit | None = None
) -> tuple[Plan, str | None]:
    """Bring the database up to ``tables``: whole or not at all. The plan, and the file of the copy made before.

    ``audited`` is recorded with it. Nothing was done when something of the plan is ``refused``. ``CannotOpen``
    while others have it open.
    """
    return _database(url).migrate(tables, frozenset(drop), audited)


def migrations(url: str) -> list[Applied]:
    """What was ever changed of the classes' tables, the first change first."""
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
