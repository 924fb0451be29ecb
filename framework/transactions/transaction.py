"""Transactions of scripts: the collected one of ``transaction: true``, and the explicit one of a connection.

The one rule: **a transaction that holds the writer makes all others wait.** So a collected transaction hands
its writes over together at the end, and takes the writer earlier only for a read that follows a write. A
transaction that awaits anything but the database for longer than ``transaction_hold`` is rolled back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select, Table

from framework.errors import TransactionEnded
from framework.observing import trace
from framework.storage.contract import Storage, Transaction
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Claim, Operation

logger = logging.getLogger("framework.transaction")

TRANSACTION_HOLD = 2.0  # seconds

T = TypeVar("T")
Undo = Callable[[], None]


class Place(Protocol):
    """Where writes and reads go: a transaction on the storage, or its connection."""

    async def write(self, operations: Sequence[Operation], undo: Undo | None = None) -> list[Any]: ...

    async def load(
        self, table: Table, key_column: str, key: Any, *, for_update: bool = False
    ) -> Row | None: ...

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]: ...

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T: ...


class _Holder:
    """A transaction that takes the writer when it must, and gives it back at its end.

    Several tasks may use it at once. They take the writer, and end it, one at a time.
    """

    def __init__(self, storage: Storage, claims: Callable[[], Sequence[Claim]]) -> None:
        self._storage = storage
        self._claims = claims
        self._lock = asyncio.Lock()
        self._manager: AbstractAsyncContextManager[Transaction] | None = None
        self._held: Transaction | None = None
        self._undos: list[Undo] = []
        self.ended = False

    @property
    def holding(self) -> bool:
        """Whether all other writers wait for this transaction."""
        return self._held is not None

    def require_open(self) -> None:
        """Raise ``TransactionEnded`` once it is over."""
        if self.ended:
            raise TransactionEnded

    async def hold(self) -> Transaction:
        """The writer. It is taken now if it was not taken before."""
        async with self._lock:
            return await self._hold()

    async def _hold(self) -> Transaction:
        self.require_open()
        if self._held is None:
            task = asyncio.current_task()

            def expired() -> str:
                return _too_long(task)

            manager = self._storage.transaction(hold=TRANSACTION_HOLD, expired=expired, fences=self._claims())
            self._held = await manager.__aenter__()
            self._manager = manager
        return self._held

    def _remember(self, undo: Undo | None) -> None:
        if undo is not None:
            self._undos.append(undo)

    async def _end(self, error: BaseException | None) -> None:
        """Commit, or roll back if there is an error. If nothing is stored, the remembered changes are undone."""
        async with self._lock:
            self.ended = True
            manager, self._manager, self._held = self._manager, None, None
            stored = False
            try:
                if manager is not None:
                    await _leave(manager, error)
                stored = error is None
            finally:
                self._settle(stored)

    def _settle(self, stored: bool) -> None:
        if stored:
            self._undos = []
        else:
            self._undo(0)

    def _undo(self, first: int) -> None:
        """Undo the remembered changes from this one on, the last one first."""
        undos, self._undos = self._undos[first:], self._undos[:first]
        for undo in reversed(undos):
            undo()


async def _leave(manager: AbstractAsyncContextManager[Transaction], error: BaseException | None) -> None:
    """Commit, or roll back for an error of the block. The caller gets that error, even if the roll-back fails.

    The database may have ended the transaction by itself. Nothing is stored then either, so the error only notes it.
    """
    if error is None:
        await manager.__aexit__(None, None, None)
        return
    try:
        await manager.__aexit__(type(error), error, error.__traceback__)
    except Exception as failed:
        if failed is error:
            return  # the block raises it itself
        error.add_note(f"the database had already ended the transaction: {failed}")


class Collected(_Holder):
    """The transaction of a script or of a part of it: all writes are stored at its end, or none."""

    def __init__(self, storage: Storage, claims: Callable[[], Sequence[Claim]]) -> None:
        super().__init__(storage, claims)
        self._operations: list[Operation] = []
        self._failed: Exception | None = None
        self._writes = 0

    @contextmanager
    def part(self) -> Iterator[None]:
        """A block whose writes are undone when it raises. If the database has them already, it undoes everything."""
        operations, undos, writes = len(self._operations), len(self._undos), self._writes
        unheld = self._held is None
        try:
            yield
        except BaseException:
            if self._writes > writes:
                if unheld and self._held is None:
                    del self._operations[operations:]
                    self._undo(undos)
                elif self._failed is None:
                    self._failed = TransactionEnded(
                        "a part of the transaction failed and could not be undone alone"
                    )
            raise

    async def write(self, operations: Sequence[Operation], undo: Undo | None = None) -> list[Any]:
        """Collect the operations. Their answers are ``None`` unless a read has taken the writer before."""
        self._require_whole()
        self._remember(undo)
        self._writes += 1
        if self._held is not None:
            return await self._held.write(operations)
        self._operations += operations
        return [None] * len(operations)

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """One row, with the writes that were collected so far."""
        if for_update or self._pending():
            return await (await self._flush()).load(table, key_column, key, for_update=for_update)
        return await self._storage.load(table, key_column, key)

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]:
        """Rows, with the writes that were collected so far."""
        if for_update or self._pending():
            return await (await self._flush()).select(statement, parameters, for_update=for_update)
        return await self._storage.select(statement, parameters)

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T:
        """The result of a gathering, with the writes that were collected so far."""
        if for_update or self._pending():
            return await (await self._flush()).gather(gathering, for_update=for_update)
        return await self._storage.gather(gathering)

    async def end(self, error: BaseException | None) -> None:
        """Store all collected writes, or none. Raises the error of a collected write."""
        if error is not None or self._failed is not None or self._held is not None:
            await self._end(error or self._failed)
            if error is None and self._failed is not None:
                raise self._failed
            return
        self.ended = True
        operations, self._operations = self._operations, []
        stored = False
        try:
            if operations:
                await self._storage.write(operations, fences=self._claims())
            stored = True
        finally:
            self._settle(stored)

    def _require_whole(self) -> None:
        """Refuse to go on after a failed write: the rest must not be stored without it."""
        if self.ended:
            raise TransactionEnded
        if self._failed is not None:
            raise self._failed

    def _pending(self) -> bool:
        self._require_whole()
        return self._held is not None or bool(self._operations)

    async def _flush(self) -> Transaction:
        async with self._lock:
            held = await self._hold()
            operations, self._operations = self._operations, []
            if operations:
                try:
                    await held.write(operations)
                except Exception as error:
                    self._failed = error
                    raise
            return held


class Begun(_Holder):
    """One explicit transaction of a connection: from ``begin`` to the end of its block."""

    async def write(self, operations: Sequence[Operation], undo: Undo | None = None) -> list[Any]:
        """Run operations inside. Errors come at once, and a failing call is undone alone."""
        answers = await (await self.hold()).write(operations)
        self._remember(undo)
        return answers

    async def end(self, error: BaseException | None) -> None:
        """Commit, or roll back when there is an error."""
        await self._end(error)


def _too_long(task: asyncio.Task[Any] | None) -> str:
    """Log and return which line made all others wait."""
    place = (trace.suspended_at(task) if task else None) or "an unknown line"
    message = (
        f"a transaction was rolled back: it held the writer for more than {TRANSACTION_HOLD:g} s while "
        f"{place} awaited something else; call back ends before or after the transaction, not inside it"
    )
    logger.error("%s", message, extra={"action": "transaction_too_long"})
    return message
