"""A SQLite database by its URL: its file, whether it may be used, and maintenance while it is not open.

Heavy modules are imported when needed, because a command uses only one of them.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from framework.errors import CannotOpen
from framework.storage.contract import Storage
from framework.storage.sockets import SocketFolder

if TYPE_CHECKING:
    from sqlalchemy import Table

    from framework.storage.changes import Applied, Plan
    from framework.storage.findings import Finding
    from framework.storage.operations import Audit
    from framework.storage.statements import Statements


class SqliteDatabase:
    """``framework.storage.database.Database`` on one SQLite file."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._path = _file(url)

    def open(
        self, *, create: bool, reading: bool, statements: Statements | None
    ) -> AbstractAsyncContextManager[Storage]:
        """See the contract."""
        from framework.storage.sqlite.engine import SqliteStorage
        from framework.storage.sqlite.rescue import require_no_rescued

        if not create or reading:
            self._require_there()
        else:
            self._require_one_name()
            require_no_rescued(self._path)
        return SqliteStorage.open(self._url, self._path, statements, reading=reading)

    def exists(self) -> bool:
        """See the contract."""
        return os.path.exists(self._path)

    def sockets(self) -> SocketFolder:
        """See the contract."""
        from framework.storage.sqlite.locks import Locks

        locks = Locks(self._path)
        return SocketFolder(locks.folder, locks.access)

    async def backup(self, file: str) -> None:
        """See the contract."""
        self._require_there()
        from framework.storage.sqlite import backup as sqlite_backup

        await sqlite_backup.backup(self._path, file)

    def examine_access(self) -> Finding:
        """See the contract."""
        from framework.storage.sqlite.doctor.sizes import access

        return access(self._path)

    def examine(self, tables: Sequence[Table] | None) -> list[Finding]:
        """See the contract."""
        from framework.storage.sqlite.doctor.findings import findings

        return list(findings(self._path, tables))

    def plan_migration(self, tables: Sequence[Table], drop: frozenset[str]) -> Plan:
        """See the contract."""
        from framework.storage.sqlite.migration import migrate as sqlite_migrate

        self._require_there()
        return sqlite_migrate.planned(self._path, tables, drop)

    def migrate(
        self, tables: Sequence[Table], drop: frozenset[str], audited: Audit | None
    ) -> tuple[Plan, str | None]:
        """See the contract."""
        from framework.storage.sqlite.migration import migrate as sqlite_migrate

        self._require_there()
        return sqlite_migrate.applied(self._path, tables, drop, audited)

    def migrations(self) -> list[Applied]:
        """See the contract."""
        from framework.storage.sqlite.migration import migrate as sqlite_migrate

        self._require_there()
        return sqlite_migrate.remembered(self._path)

    def _require_there(self) -> None:
        if not self.exists():
            raise CannotOpen(
                f"there is no database {self._path}: `framework serve` makes it; name another one with --database"
            )
        self._require_one_name()

    def _require_one_name(self) -> None:
        """SQLite keeps its log beside one name. Data that was stored by one name would be missing by the other."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat(self._path)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                raise CannotOpen(
                    f"the database {self._path} has {found.st_nlink} names (hard links), and its write-ahead log "
                    "lies beside one of them: remove those that it is not served by; "
                    f"`find FOLDER -samefile {shlex.quote(self._path)}` lists them"
                )


def _file(url: str) -> str:
    path = url.removeprefix("sqlite://")
    if not path.startswith("/") or path in ("/", "/:memory:"):
        raise CannotOpen(
            f"{url!r} names no file: write sqlite:///NAME.db for a file in the current folder, "
            "sqlite:////PATH/NAME.db for an absolute path"
        )
    path = path[1:]
    return f"./{path}" if path.startswith("file:") else path  # SQLite might treat it as a URL
