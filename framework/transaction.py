"""Transactions of scripts: the collected one of ``transaction: true``, and the explicit one of ``model.aiodb()``.

    async with model.aiodb() as conn:
        async with conn.begin() as tran:
            await order.save(conn=conn)
            await FIFO("orders").put(order.localfields(), conn=conn)

The one rule: **whoever holds the writer makes everybody else wait.** So a collected transaction hands its
writes over together at the end, and takes the writer earlier only for a read that follows a write; and one
that awaits anything but the database for longer than ``transaction_hold`` is rolled back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Executable, Select, Table

from framework import trace
from framework.errors import TransactionEnded, TransactionHeld
from framework.storage.contract import (
    Claim,
    Execute,
    Executed,
    Operation,
    Row,
    Storage,
    Transaction,
)

logger = logging.getLogger("framework.transaction")

TRANSACTION_HOLD = 2.0  # seconds


class Place(Protocol):
    """Where writes and reads go: the storage itself, or a transaction on it."""

    async def write(self, operations: Sequence[Operation]) -> list[Any]: ...

    async def load(
        self, table: Table, key_column: str, key: Any, *, for_update: bool = False
    ) -> Row | None: ...

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> list[Row]: ...


# The transaction that a write without `conn=` joins by itself.
JOINED: ContextVar[Collected | None] = ContextVar("joined", default=None)

# The explicit transaction that this task has begun.
BEGUN: ContextVar[Connection | None] = ContextVar("begun", default=None)


class _Holder:
    """A transaction that takes the writer when it must, and gives it back at its end."""

    def __init__(self, storage: Storage, claims: Callable[[], Sequence[Claim]]) -> None:
        self._storage = storage
        self._claims = claims  # asked when it is written: a connection may be older than the block
        self._manager: AbstractAsyncContextManager[Transaction] | None = None
        self._held: Transaction | None = None
        self._ended = False

    @property
    def holding(self) -> bool:
        """Does everybody who writes wait for this one?"""
        return self._held is not None

    def require_open(self) -> None:
        if self._ended:
            raise TransactionEnded

    async def hold(self) -> Transaction:
        """The writer, taken now if it was not before."""
        self.require_open()
        if self._held is None:
            task = asyncio.current_task()

            def expired() -> str:
                return _too_long(task)

            manager = self._storage.transaction(hold=TRANSACTION_HOLD, expired=expired, fences=self._claims())
            self._held = await manager.__aenter__()
            self._manager = manager
        return self._held

    async def end(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Commit, or roll back when there is an error."""
        self._ended = True
        manager, self._manager, self._held = self._manager, None, None
        if manager is not None:
            await manager.__aexit__(kind, error, traceback)


class Collected(_Holder):
    """A block whose writes are one transaction: all stored at its end, none when it raises."""

    def __init__(self, storage: Storage, claims: Callable[[], Sequence[Claim]]) -> None:
        super().__init__(storage, claims)
        self._operations: list[Operation] = []

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """Collect; the answers are not known yet (``None``) unless a read has taken the writer before."""
        self.require_open()
        if self._held is not None:
            return await self._held.write(operations)
        self._operations += operations
        return [None] * len(operations)

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """One row, with what was collected so far."""
        if for_update or self._pending():
            return await (await self._flush()).load(table, key_column, key)
        return await self._storage.load(table, key_column, key)

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows, with what was collected so far."""
        if self._pending():
            return await (await self._flush()).select(statement, parameters)
        return await self._storage.select(statement, parameters)

    async def __aenter__(self) -> None:
        self._token = JOINED.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store everything that was collected, or nothing; an error of a collected write comes here."""
        JOINED.reset(self._token)
        if error is not None or self._held is not None:
            await self.end(kind, error, trace)
            return
        self._ended = True
        if self._operations:
            await self._storage.write(self._operations, fences=self._claims())

    def _pending(self) -> bool:
        self.require_open()
        return self._held is not None or bool(self._operations)

    async def _flush(self) -> Transaction:
        held = await self.hold()
        operations, self._operations = self._operations, []
        if operations:
            await held.write(operations)
        return held


class Connection(_Holder):
    """``conn`` of the scripts: what is given it takes part in its transaction, once one was begun."""

    def __init__(self, storage: Storage, claims: Callable[[], Sequence[Claim]]) -> None:
        super().__init__(storage, claims)
        self._begun = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Self]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        self.require_open()
        if self._begun or BEGUN.get() is not None:
            raise TransactionHeld(
                "a transaction inside a transaction would wait for it: end the first one before"
            )
        self._begun = True
        token = BEGUN.set(self)
        try:
            yield self
        except BaseException as error:
            await self.end(type(error), error, error.__traceback__)
            raise
        else:
            await self.end()
        finally:
            BEGUN.reset(token)
            self._begun = self._ended = False

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """Run operations in the transaction, or by themselves where none was begun."""
        self.require_open()
        if self._begun:
            return await (await self.hold()).write(operations)
        return await self._storage.write(operations, fences=self._claims())

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """One row, with what the transaction wrote; ``for_update`` keeps others from writing until its end."""
        self.require_open()
        if for_update and not self._begun:
            raise TransactionHeld("for_update needs a transaction: `async with conn.begin()`")
        place = await self.hold() if for_update else self._held or self._storage
        return await place.load(table, key_column, key)

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows, with what the transaction wrote."""
        self.require_open()
        return await (self._held or self._storage).select(statement, parameters)

    async def execute(self, statement: Executable) -> Result:
        """Run a SQLAlchemy Core statement; its rows, or how many it touched."""
        if isinstance(statement, Select) and self._held is None:
            self.require_open()
            rows = await self._storage.select(statement)
            columns = tuple(column.key or "" for column in statement.selected_columns)
            return Result(Executed(columns, [tuple(row.values()) for row in rows], len(rows)))
        [executed] = await self.write([Execute(statement)])
        return Result(executed)


class Result:
    """The rows of ``conn.execute``; iterate it, or take them with ``fetchall``, ``first``, ``scalar``."""

    def __init__(self, executed: Executed) -> None:
        self.columns = executed.columns
        self.rowcount = executed.rowcount
        self._rows = executed.rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows, as tuples."""
        return list(self._rows)

    def first(self) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None

    def mappings(self) -> list[dict[str, Any]]:
        """All rows, as dicts by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self._rows]

    def __iter__(self) -> Any:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _too_long(task: asyncio.Task[Any] | None) -> str:
    """Says, and logs, which line made everybody else wait."""
    place = (trace.suspended_at(task) if task else None) or "an unknown line"
    message = (
        f"a transaction was rolled back: it held the writer for more than {TRANSACTION_HOLD:g} s while "
        f"{place} awaited something else; call back ends before or after the transaction, not inside it"
    )
    logger.error("%s", message, extra={"action": "transaction_too_long"})
    return message
