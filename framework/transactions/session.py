"""The storage as scripts use it: every write carries the claims of the FIFO blocks it was begun in.

Which block a write belongs to is known by the context (``contextvars``), so a task started in a block
carries the block's claims too. One who has lost a claim changes nothing: ``ClaimLost``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Select, Table

from framework.errors import TransactionHeld, Unavailable
from framework.process.homeloop import HomeLoop
from framework.storage.contract import Orphaned, Storage
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Claim, Operation
from framework.transactions.looks import Looks
from framework.transactions.transaction import BEGUN, JOINED, Collected, Connection, Place, Undo

_FOR_UPDATE = "for_update needs the transaction that is to hold the rows: conn="

T = TypeVar("T")

CLAIMS: ContextVar[tuple[Claim, ...]] = ContextVar("claims", default=())


@dataclass(frozen=True, slots=True)
class Charge:
    """An error that left a FIFO block: it counts against the block's item, and against nothing else."""

    error: BaseException
    fate: str  # what becomes of the item
    request_id: str | None  # of the item


@dataclass(slots=True)
class Run:
    """One call of a worker's function: what it looked into, and which errors were charged to items."""

    worker: str
    looks: Looks = field(default_factory=Looks)  # of all calls
    fifos: set[str] = field(default_factory=set)
    finished: bool = False  # a block with an item ended well
    charges: list[Charge] = field(default_factory=list)

    def charge(self, error: BaseException | None) -> Charge | None:
        """The charge that an error is, is made of or was caused by; None if there is more to it."""
        if error is None:
            return None
        for charge in self.charges:
            if charge.error is error:
                return charge
        if isinstance(error, BaseExceptionGroup):
            inner = [self.charge(one) for one in error.exceptions]
            return inner[0] if all(inner) else None
        return self.charge(error.__cause__)


RUN: ContextVar[Run | None] = ContextVar("run", default=None)

# Whose script runs: a worker's name, a route's path, a module's name; empty for none of them.
SCRIPT: ContextVar[str] = ContextVar("script", default="")


@contextmanager
def script_of(name: str) -> Iterator[None]:
    """What runs in the block is this worker's, route's or module's script."""
    token = SCRIPT.set(name)
    try:
        yield
    finally:
        SCRIPT.reset(token)


class Session:
    """One open storage, and whether the runtime still runs. Bound by the runtime, which closes it."""

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
        """The storage, for the event loop that it was opened on; ``WrongLoop`` for another one."""
        self._home.require()
        if self._storage is None:
            raise Unavailable(
                "no database is open: a definition's code ran before the start or after the stop"
            )
        return self._storage

    @property
    def running(self) -> bool:
        """False from the moment a stop was asked for."""
        return self._storage is not None and not self._stop.is_set()

    def stop(self) -> None:
        """Ask everybody to come to an end; who sleeps in ``sleep`` wakes."""
        self._stop.set()

    async def stopped(self) -> None:
        """Return when a stop is asked for."""
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
        """In ``conn``, else in the script's transaction, else one unit by itself.

        ``undo`` is called when the transaction that it was written in is not stored after all.
        """
        self._home.require()
        place = conn or self._joined()
        if place is not None:
            return await place.write(operations, undo)
        if not operations:
            return []
        return await self.storage.write(operations, fences=CLAIMS.get())

    def load(
        self,
        table: Table,
        key_column: str,
        key: Any,
        conn: Place | None = None,
        *,
        for_update: bool = False,
    ) -> Awaitable[Row | None]:
        """One row by a unique column, or ``None``; sees what ``conn`` or the script's transaction wrote."""
        self._home.require()
        place = conn or JOINED.get()
        if place is not None:
            return place.load(table, key_column, key, for_update=for_update)
        if for_update:
            raise TransactionHeld(_FOR_UPDATE)
        return self.storage.load(table, key_column, key)

    async def select(
        self,
        statement: Select[Any],
        parameters: Mapping[str, Any] | None = None,
        conn: Place | None = None,
        *,
        for_update: bool = False,
    ) -> list[Row]:
        """The rows of a statement; sees what ``conn`` or the script's transaction wrote."""
        self._home.require()
        place = conn or JOINED.get()
        if place is not None:
            return await place.select(statement, parameters, for_update=for_update)
        if for_update:
            raise TransactionHeld(_FOR_UPDATE)
        return await self.storage.select(statement, parameters)

    async def gather(
        self, gathering: Gathering[T], conn: Place | None = None, *, for_update: bool = False
    ) -> T:
        """What a gathering comes to; sees what ``conn`` or the script's transaction wrote."""
        self._home.require()
        place = conn or JOINED.get()
        if place is not None:
            return await place.gather(gathering, for_update=for_update)
        if for_update:
            raise TransactionHeld(_FOR_UPDATE)
        return await self.storage.gather(gathering)

    async def deliver(self, operations: Sequence[Operation], orphaned: Orphaned) -> list[Any]:
        """A delivery: a unit by itself always, since its claim must be seen by everybody."""
        self._home.require()
        begun = BEGUN.get()
        if JOINED.get() is not None or (begun is not None and not begun.ended):
            raise TransactionHeld(
                "a FIFO block inside a transaction: enter the FIFO first, and begin the transaction in its block"
            )
        return await self.storage.write(operations, fences=CLAIMS.get(), orphaned=orphaned)

    def collected(self) -> AbstractAsyncContextManager[None]:
        """A block whose writes are one transaction, stored at its end."""
        return Collected(self.storage, CLAIMS.get)

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[None]:
        """A block whose writes are stored together or not at all: a transaction, or a part of the present one.

        In `conn.begin()` they are stored or not with that, as everything there.
        """
        self._home.require()
        joined, begun = JOINED.get(), BEGUN.get()
        if joined is not None:
            with joined.part():
                yield
        elif begun is not None and not begun.ended:
            yield
        else:
            async with self.collected():
                yield

    def connection(self) -> Connection:
        """A connection for explicit transactions."""
        return Connection(self.storage, CLAIMS.get, self._home)

    def require_free(self, what: str) -> None:
        """``TransactionHeld`` if this task holds a transaction, which ``what`` would wait for."""
        joined, begun = JOINED.get(), BEGUN.get()
        if (begun is not None and not begun.ended) or (joined is not None and joined.holding):
            raise TransactionHeld(f"{what} would wait for the transaction that it is in: do it outside")

    def _joined(self) -> Place | None:
        begun = BEGUN.get()
        if begun is not None and not begun.ended:
            raise TransactionHeld(
                "a save, destroy or put without conn= inside `conn.begin()` would wait for the very transaction "
                "that it stands in: give it conn=conn, or do it outside the block"
            )
        return JOINED.get()
