"""What every engine offers of a database that is not open: to open it, and what is done to it from outside.

The engine alone knows what the database is kept in. Only ``open`` and ``backup`` run in an event loop. Everything
else is called outside of one, or in a thread: so Ctrl-C ends it at once, and an engine with an asynchronous driver
runs a loop of its own in there.
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
    """One database, by its URL. The functions of ``framework.storage`` say what each of these does."""

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
