"""The storage as scripts use it: every write carries the claims of the FIFO blocks it was begun in.

The context (``contextvars``) tells which block a write belongs to, so a task that was started in a block
carries the block's claims too. An owner that has lost a claim can change nothing: its writes raise
``ClaimLost``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Select, Table

from framework.errors import TransactionHeld, Unavailable
from framework.process.homeloop import HomeLoop
from framework.storage.contract import Orphaned, Storage
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Operation
from framework.transactions.connection import Connection
from framework.transactions.context import SAME, ScriptContext, claims, current, entered
from framework.transactions.transaction import Collected, Place, Undo

T = TypeVar("T")


class Session:
    """One open storage, and whether the runtime still runs. The runtime binds and closes it."""

    def __init__(self) -> None:
        self._storage: Storage | None = None
        self._home = HomeLoop()
        self._stop = asyncio.Event()

    def bind(self, storage: Storage) -> None:
        """Use this open storage from now on, on the event loop that runs now."""
        self._storage = storage
        self._home = HomeLoop()
        self._stop = asyncio.Event()

    @property
    def storage(self) -> Storage:
        """The storage. Raises ``WrongLoop`` on another event loop than the one that it was opened on."""
        self._home.require()
        if self._storage is None:
            raise Unavailable(
                "no database is open: a definition's code ran before the start or after the stop"
            )
        return self._storage

    @property
    def running(self) -> bool:
        """False as soon as a stop was requested."""
        return self._storage is not None and not self._stop.is_set()

    def stop(self) -> None:
        """Request a stop. Everyone who waits in ``sleep`` wakes."""
        self._stop.set()

    async def stopped(self) -> None:
        """Return when a stop is requested."""
        await self._stop.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond a stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def write(
        self, operations: Sequence[Operation], conn: Place | None = None, undo: Undo | None = None
    ) -> list[Any]:
        """Write in ``conn``, or in the script's transaction, or as a unit of its own.

        ``undo`` is called if the transaction of the write is not stored after all.
        """
        self._home.require()
        context = current()
        place = conn or _written_to(context)
        if place is not None:
            return await place.write(operations, undo)
        if not operations:
            return []
        return await self.storage.write(operations, fences=context.claims)

    def load(
        self,
        table: Table,
        key_column: str,
        key: Any,
        conn: Place | None = None,
        *,
        for_update: bool = False,
    ) -> Awaitable[Row | None]:
        """One row by a unique column, or ``None``, as ``conn`` or the script's transaction sees it."""
        self._home.require()
        place = _read_from(conn, for_update)
        if place is not None:
            return place.load(table, key_column, key, for_update=for_update)
        return self.storage.load(table, key_column, key)

    async def select(
        self,
        statement: Select[Any],
        parameters: Mapping[str, Any] | None = None,
        conn: Place | None = None,
        *,
        for_update: bool = False,
    ) -> list[Row]:
        """The rows of a statement, as ``conn`` or the script's transaction sees them."""
        self._home.require()
        place = _read_from(conn, for_update)
        if place is not None:
            return await place.select(statement, parameters, for_update=for_update)
        return await self.storage.select(statement, parameters)

    async def gather(
        self, gathering: Gathering[T], conn: Place | None = None, *, for_update: bool = False
    ) -> T:
        """The result of a gathering, as ``conn`` or the script's transaction sees it."""
        self._home.require()
        place = _read_from(conn, for_update)
        if place is not None:
            return await place.gather(gathering, for_update=for_update)
        return await self.storage.gather(gathering)

    async def deliver(self, operations: Sequence[Operation], orphaned: Orphaned) -> list[Any]:
        """Deliver. A delivery is always a unit of its own, since all processes must see its claim."""
        self._home.require()
        context = current()
        if context.joined is not None or context.begun is not None:
            raise TransactionHeld(
                "a FIFO block inside a transaction: enter the FIFO first, and begin the transaction in its block"
            )
        return await self.storage.write(operations, fences=context.claims, orphaned=orphaned)

    def collected(self, script: str = SAME) -> _CollectedBlock:
        """A block whose writes are one transaction: all stored at its end, none when it raises.

        ``script`` is the name of the script that the block is, where it begins with the transaction.
        """
        return _CollectedBlock(script, Collected(self.storage, claims))

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[None]:
        """A block whose writes are stored together or not at all: a transaction, or a part of the present one.

        In `conn.begin()` they belong to that transaction, as everything there.
        """
        self._home.require()
        context = current()
        if context.joined is not None:
            with context.joined.part():
                yield
        elif context.begun is not None:
            yield
        else:
            async with self.collected():
                yield

    def connection(self) -> Connection:
        """A connection for explicit transactions."""
        return Connection(self.storage, self._home)

    def require_free(self, what: str) -> None:
        """Raise ``TransactionHeld`` if this task holds a transaction for which ``what`` would wait."""
        if current().holding:
            raise TransactionHeld(f"{what} would wait for the transaction that it is in: do it outside")


class _CollectedBlock:
    """The transaction of a block, and the context in which the block writes to it."""

    __slots__ = ("_entered", "_script", "_transaction")

    def __init__(self, script: str, transaction: Collected) -> None:
        self._script = script
        self._transaction = transaction

    async def __aenter__(self) -> None:
        self._entered = entered(script=self._script, transaction=self._transaction)
        self._entered.__enter__()

    def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> Awaitable[None]:
        self._entered.__exit__()
        return self._transaction.end(error)


def _written_to(context: ScriptContext) -> Place | None:
    """The transaction that a write without ``conn=`` belongs to, if there is one."""
    if context.begun is not None:
        raise TransactionHeld(
            "a save, destroy or put without conn= inside `conn.begin()` would wait for the very transaction "
            "that it stands in: give it conn=conn, or do it outside the block"
        )
    return context.joined


def _read_from(conn: Place | None, for_update: bool) -> Place | None:
    """The transaction that a read belongs to, if there is one."""
    place = conn or current().joined
    if place is None and for_update:
        raise TransactionHeld("for_update needs the transaction that is to hold the rows: conn=")
    return place
