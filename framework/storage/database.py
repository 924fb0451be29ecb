"""What every engine offers for a database that is not open: opening it, and maintenance from outside.

Only the engine knows where the database is stored. Only ``open`` and ``backup`` run in an event loop. All other
functions are called outside of one, or in a thread. So Ctrl-C ends them at once, and an engine with an asynchronous
driver can run its own loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from framework.storage.contract import Storage
from framework.storage.sockets import SocketFolder

if TYPE_CHECKING:
    from sqlalchemy import Table

    from framework.storage.changes import Applied, Plan
    from framework.storage.findings import Finding
    from framework.storage.operations import Audit
    from framework.storage.statements import Statements


class Database(Protocol):
    """One database, by its URL. The functions of ``framework.storage`` document the methods."""

    def open(
        self, *, create: bool, reading: bool, statements: Statements | None
    ) -> AbstractAsyncContextManager[Storage]:
        """See ``open_storage``."""

    def exists(self) -> bool:
        """Is it there already?"""

    def sockets(self) -> SocketFolder:
        """The folder where processes of this machine meet that share it."""

    async def backup(self, file: str) -> None:
        """Copy it to a file."""

    def examine_access(self) -> Finding:
        """Who else may read it; a look at this machine, without a connection."""

    def examine(self, tables: Sequence[Table] | None) -> list[Finding]:
        """What is to be said of it and of its place."""

    def plan_migration(self, tables: Sequence[Table], drop: frozenset[str]) -> Plan:
        """What would bring it up to these tables."""

    def migrate(
        self, tables: Sequence[Table], drop: frozenset[str], audited: Audit | None
    ) -> tuple[Plan, str | None]:
        """Bring it up to them."""

    def migrations(self) -> list[Applied]:
        """What was ever changed."""
