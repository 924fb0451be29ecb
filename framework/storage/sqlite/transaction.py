"""An interactive transaction of the SQLite engine: it takes the writer, and gives it back.

The writer's thread runs the steps of one transaction until its end. It waits ``hold`` seconds for each next step. A
transaction that awaits anything else for longer is rolled back, because all other writers are waiting.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, Table

from framework.errors import TransactionEnded, TransactionTooLong, Unavailable
from framework.storage.codec import Codec, Query
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Operation
from framework.storage.sqlite.errors import translate
from framework.storage.sqlite.gathering import in_transaction
from framework.storage.sqlite.operations import Operations
from framework.storage.sqlite.threads import BatchThread
from framework.storage.wakes import woken

T = TypeVar("T")

_CHANCE = 0.02  # seconds

Work = Callable[[sqlite3.Connection], Any]


class _RollBack(Exception):
    """The owner of the transaction rolls it back."""


class _Step:
    """One piece of work inside the transaction, or its end (``work`` is None)."""

    __slots__ = ("commit", "future", "verdict", "work")

    def __init__(self, future: asyncio.Future[Any], work: Work | None, *, commit: bool = False) -> None:
        self.future = future
        self.work = work
        self.commit = commit
        self.verdict: int | None = None  # a verdict "too long" is valid if no step has come since this many


class HeldTransaction:
    """The writer, held by one task. ``begin`` takes it. ``end`` must be called."""

    def __init__(
        self, writer: BatchThread[sqlite3.Connection], *, hold: float, expired: Callable[[], str]
    ) -> None:
        self._writer = writer
        self._hold = hold
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._steps: queue.SimpleQueue[_Step] = queue.SimpleQueue()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self._unit: asyncio.Task[Any] | None = None
        self._too_long: str | None = None
        self._handed_in = 0

    async def begin(self, check: Work) -> None:
        """Wait for the writer and run ``check`` (the fences) first. Its error is raised here."""
        self._unit = asyncio.create_task(self._writer.run(self._work, exclusive=True), name="transaction")
        # Its error may never be retrieved otherwise.
        self._unit.add_done_callback(lambda unit: unit.cancelled() or unit.exception())
        try:
            await asyncio.wait({self._unit, self._begun}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._steps.put(_Step(self._loop.create_future(), None))
            raise
        if self._unit.done():
            self._unit.result()
        try:
            await self.run(check)
        except BaseException:
            await self.end(commit=False)
            raise

    async def run(self, work: Work) -> Any:
        """The answer of a step. A failing step is undone alone, and the transaction continues."""
        return await self._hand_in(_Step(self._loop.create_future(), work))

    async def end(self, *, commit: bool, wakes: Sequence[str] = ()) -> None:
        """Commit or roll back, and give the writer back. An error of the commit is raised.

        ``wakes`` are the FIFOs that a commit has changed.
        """
        unit = self._unit
        if unit is None:
            return
        self._unit = None
        step = _Step(self._loop.create_future(), None, commit=commit)
        self._steps.put(step)
        try:
            await asyncio.shield(unit)
        except _RollBack:
            pass
        except TransactionTooLong:
            if commit:
                raise TransactionTooLong(self._too_long) from None
        if wakes:
            self._writer.tell_done(set(wakes))

    async def _hand_in(self, step: _Step) -> Any:
        if self._unit is None or self._unit.done():
            raise self._over()
        self._handed_in += 1
        self._steps.put(step)
        await asyncio.wait({step.future, self._unit}, return_when=asyncio.FIRST_COMPLETED)
        if step.future.done():
            return step.future.result()
        raise self._over()

    def _over(self) -> Exception:
        if self._too_long is not None:
            return TransactionTooLong(self._too_long)
        if self._unit is None:
            return TransactionEnded()
        return Unavailable("the transaction was ended by the database; nothing of it was stored")

    # ---- in the writer's thread -------------------------------------------------------------

    def _work(self, connection: sqlite3.Connection) -> None:
        self._tell(self._begun, None, None)
        ran = 0
        while True:
            try:
                step = self._steps.get(timeout=self._hold)
            except queue.Empty:
                self._loop.call_soon_threadsafe(self._suspect, ran)
                step = self._steps.get()
            if step.verdict is not None:
                if step.verdict == ran:
                    raise TransactionTooLong
                continue  # it went on meanwhile
            if step.work is None:
                if step.commit:
                    return
                raise _RollBack
            ran += 1
            self._run(connection, step)

    def _suspect(self, ran: int) -> None:
        """No step came for too long. Was it the transaction, or was the loop itself blocked?

        When the loop runs again, the task gets a chance before the verdict.
        """
        self._loop.call_later(_CHANCE, self._condemn, ran)

    def _condemn(self, ran: int) -> None:
        if self._handed_in == ran:
            self._too_long = self._expired()
        verdict = _Step(self._loop.create_future(), None)
        verdict.verdict = ran
        self._steps.put(verdict)

    def _run(self, connection: sqlite3.Connection, step: _Step) -> None:
        assert step.work is not None
        try:
            connection.execute("SAVEPOINT step")
            result = step.work(connection)
            connection.execute("RELEASE step")
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite rolled everything back: the transaction is over
            connection.execute("ROLLBACK TO step")
            connection.execute("RELEASE step")
            self._tell(step.future, None, translate(error))
        else:
            self._tell(step.future, result, None)

    def _tell(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        def answer() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(answer)


class SqliteTransaction:
    """``framework.storage.contract.Transaction`` on the writing connection: whatever it reads is for update."""

    def __init__(self, held: HeldTransaction, operations: Operations, codec: Codec) -> None:
        self._held = held
        self._operations = operations
        self._codec = codec
        self.wakes: set[str] = set()

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """See the contract."""
        answers: list[Any] = await self._held.run(
            lambda connection: self._operations.run(connection, operations, ())
        )
        self.wakes |= woken(operations)
        return answers

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """See the contract."""
        rows = await self._fetch(self._codec.by_key(table, key_column), {"key": key})
        return rows[0] if rows else None

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]:
        """See the contract."""
        return await self._fetch(self._codec.query(statement), parameters or {})

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T:
        """See the contract."""
        gathered: T = await self._held.run(
            lambda connection: in_transaction(connection, self._codec, gathering)
        )
        return gathered

    async def _fetch(self, query: Query, parameters: Mapping[str, Any]) -> list[Row]:
        values = query.bind(parameters)
        rows = await self._held.run(lambda connection: connection.execute(query.sql, values).fetchall())
        return [query.row(row) for row in rows]
