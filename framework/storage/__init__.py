"""Where rows, items and tokens are kept: one contract, an engine for each database.

``open_storage`` picks the engine by the URL; nothing else of the framework knows which one it is.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from framework.errors import CannotOpen
from framework.storage.contract import Storage
from framework.storage.sqlite.sockets import SocketFolder

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
    path = _sqlite_file(url)
    from framework.storage.sqlite.engine import SqliteStorage
    from framework.storage.sqlite.rescue import require_no_rescued

    if not create or reading:
        _require_there(path)
    else:
        _require_one_name(path)
        require_no_rescued(path)

    return SqliteStorage.open(url, path, statements, reading=reading)


def exists(url: str) -> bool:
    """Is there a database behind the URL already?"""
    return os.path.exists(_sqlite_file(url))


def sockets(url: str) -> SocketFolder:
    """The folder beside the database where processes of this machine meet; it may be missing. ``close`` it."""
    from framework.storage.sqlite.locks import Locks

    locks = Locks(_sqlite_file(url))
    return SocketFolder(locks.folder, locks.access)


async def backup(url: str, file: str) -> None:
    """Copy the database to a new file, or over an old one: whole, or nothing of it. Servers may run.

    The copy holds everything that was acknowledged before the call. ``Unavailable`` says why there is none.
    """
    path = _sqlite_file(url)
    _require_there(path)
    from framework.storage.sqlite import backup as sqlite_backup

    await sqlite_backup.backup(path, file)


def examine_access(url: str) -> Finding:
    """Who else may read the files of the database than their owner meant."""
    path = _sqlite_file(url)
    from framework.storage.sqlite.doctor.sizes import access

    return access(path)


def examine(url: str, tables: Sequence[Table] | None = None) -> list[Finding]:
    """What is to be said of the database and of its place; nothing is made and nothing is changed.

    ``tables`` are compared with those of the database. ``CannotOpen`` for a URL that is none.
    """
    path = _sqlite_file(url)
    from framework.storage.sqlite.doctor.findings import findings

    return list(findings(path, tables))


def plan_migration(url: str, tables: Sequence[Table], drop: Iterable[str] = ()) -> Plan:
    """What would bring the database up to ``tables``, all that there are; servers may run, nothing is changed.

    ``drop`` names tables and columns that are no longer defined and are to be dropped.
    """
    from framework.storage.sqlite.migration import migrate as sqlite_migrate

    path = _sqlite_file(url)
    _require_there(path)
    return sqlite_migrate.planned(path, tables, frozenset(drop))


def migrate(
    url: str, tables: Sequence[Table], drop: Iterable[str] = (), audited: Audit | None = None
) -> tuple[Plan, str | None]:
    """Bring the database up to ``tables``: whole or not at all. The plan, and the file of the copy made before.

    ``audited`` is recorded with it. Nothing was done when something of the plan is ``refused``. ``CannotOpen``
    while others have it open.
    """
    from framework.storage.sqlite.migration import migrate as sqlite_migrate

    path = _sqlite_file(url)
    _require_there(path)
    return sqlite_migrate.applied(path, tables, frozenset(drop), audited)


def migrations(url: str) -> list[Applied]:
    """What was ever changed of the classes' tables, the first change first."""
    from framework.storage.sqlite.migration import migrate as sqlite_migrate

    path = _sqlite_file(url)
    _require_there(path)
    return sqlite_migrate.remembered(path)


def _sqlite_file(url: str) -> str:
    scheme, _, path = url.partition("://")
    if scheme != "sqlite":
        raise CannotOpen(f"no storage engine for {scheme!r}: the database URL starts with sqlite:///")
    if not path.startswith("/") or path in ("/", "/:memory:"):
        raise CannotOpen(
            f"{url!r} names no file: write sqlite:///NAME.db for a file in the current folder, "
            "sqlite:////PATH/NAME.db for an absolute path"
        )
    path = path[1:]
    return f"./{path}" if path.startswith("file:") else path  # SQLite may take that for a URL of its own


def _require_there(path: str) -> None:
    if not os.path.exists(path):
        raise CannotOpen(
            f"there is no database {path}: `framework serve` makes it; name another one with --database"
        )
    _require_one_name(path)


def _require_one_name(path: str) -> None:
    """SQLite keeps its log beside one name: what was answered by one would be missing by the other."""
    with suppress(FileNotFoundError, NotADirectoryError):
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise CannotOpen(
                f"the database {path} has {found.st_nlink} names (hard links), and its write-ahead log "
                "lies beside one of them: "
                f"remove those that it is not served by; `find FOLDER -samefile {shlex.quote(path)}` lists them"
            )


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
