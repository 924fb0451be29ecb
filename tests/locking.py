"""A storage that notes which reads of a transaction are for update: an engine with row locks locks what they find."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from framework.storage import Storage
from framework.storage.contract import Transaction


class Locking:
    """Delegates to a real storage. ``reads`` has the kind of each read in a transaction, and if it was for update."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.reads: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Any]:
        async with self._storage.transaction(**options) as held:
            yield _Noted(held, self.reads)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class _Noted:
    def __init__(self, held: Transaction, reads: list[tuple[str, bool]]) -> None:
        self._held = held
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._held, name)

        async def noted(*arguments: Any, **options: Any) -> Any:
            if name in ("load", "select", "gather"):
                self._reads.append((name, options.get("for_update", False)))
            return await method(*arguments, **options)

        return noted
