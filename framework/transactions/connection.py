"""``conn`` of the scripts: the explicit transactions of ``model.aiodb()``.

async with model.aiodb() as conn:
    async with conn.begin() as tran:
        await order.save(conn=conn)
        await FIFO("orders").put(order.localfields(), conn=conn)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from sqlalchemy import Executable, Select, Table

from framework.errors import TransactionEnded, TransactionHeld
from framework.process.homeloop import HomeLoop
from framework.storage.contract import Storage, Transaction
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Execute, Operation
from framework.transactions.context import claims, current, entered
from framework.transactions.result import Result
from framework.transactions.transaction import Begun, Undo

T = TypeVar("T")


class Connection:
    """``conn`` of the scripts. Calls that get it take part in its transaction, once one has begun.

    Without a transaction, each write is one of its own. A task that outlives the transaction in which it was
    started gets ``TransactionEnded``.
    """

    def __init__(self, storage: Storage, home: HomeLoop) -> None:
        self._storage = storage
        self._home = home
        self._begun: Begun | None = None
        self._closed = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Self]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        self._home.require()
        self._require_free()
        if self._begun is not None:
            raise TransactionHeld(
                "a transaction inside a transaction would wait for it: end the outer one first"
            )
        if current().joined is not None:
            raise TransactionHeld(
                "the script is one transaction already (`transaction: true`): begin none inside it"
            )
        begun = self._begun = Begun(self._storage, claims)
        try:
            with entered(transaction=begun):
                yield self
        except BaseException as error:
            await begun.end(error)
            raise
        else:
            await begun.end(None)
        finally:
            self._begun = None

    def close(self) -> None:
        """The block of ``aiodb()`` has ended."""
        self._closed = True

    async def write(self, operations: Sequence[Operation], undo: Undo | None = None) -> list[Any]:
        """Run operations in the transaction, or by themselves if none has begun."""
        begun = self._current()
        if begun is not None:
            return await begun.write(operations, undo)
        self._require_free()
        return await self._storage.write(operations, fences=claims())

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """One row, as the transaction sees it. ``for_update`` keeps others from writing until its end."""
        held = await self._reading(for_update)
        if held is None:
            return await self._storage.load(table, key_column, key)
        return await held.load(table, key_column, key, for_update=for_update)

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]:
        """Rows, as the transaction sees them."""
        held = await self._reading(for_update)
        if held is None:
            return await self._storage.select(statement, parameters)
        return await held.select(statement, parameters, for_update=for_update)

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T:
        """The result of a gathering, as the transaction sees it."""
        held = await self._reading(for_update)
        if held is None:
            return await self._storage.gather(gathering)
        return await held.gather(gathering, for_update=for_update)

    async def execute(self, statement: Executable) -> Result:
        """Run a SQLAlchemy Core statement. The result has its rows, or the number of rows that it touched."""
        begun = self._current()
        if isinstance(statement, Select) and not (begun and begun.holding):
            return Result(await self._storage.rows(statement))
        [executed] = await self.write([Execute(statement)])
        return Result(executed)

    async def _reading(self, for_update: bool) -> Transaction | None:
        """Where a read goes: to the transaction once it holds the writer, and otherwise (None) to the storage."""
        begun = self._current()
        if for_update and begun is None:
            raise TransactionHeld("for_update needs a transaction: `async with conn.begin()`")
        return await begun.hold() if begun and (for_update or begun.holding) else None

    def _current(self) -> Begun | None:
        """The transaction of the caller. Raises ``TransactionEnded`` in a task that has outlived it."""
        self._home.require()
        if self._closed or current().outlived:
            raise TransactionEnded
        return self._begun

    def _require_free(self) -> None:
        """Raise ``TransactionHeld`` if the caller would wait for its own transaction."""
        if self._closed:
            raise TransactionEnded
        if current().holding:
            raise TransactionHeld(
                "a second transaction would wait for the one that it is in: end that one first"
            )
