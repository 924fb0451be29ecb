"""The writer of the SQLite engine: one thread, one connection, group commit.

The one rule: **a unit is answered after its COMMIT, by its own outcome.** All units that wait are run
in one transaction, each in a savepoint of its own, so that a failing one is undone alone. SQLite can
also roll back everything by itself (full disk, I/O error, out of memory); then each unit is run again
in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any

from framework.errors import Unavailable
from framework.storage.sqlite_errors import translate

# Enough to share one commit among all who wait, few enough that none of them waits long.
BATCH = 256

Work = Callable[[sqlite3.Connection], Any]
Orphaned = Callable[[Any, BaseException | None], None]


class Unit:
    """Work for the writer, the future of who waits for it, and the FIFOs that its commit changes."""

    __slots__ = ("error", "future", "orphaned", "result", "wakes", "work")

    def __init__(
        self, work: Work, future: asyncio.Future[Any], wakes: Iterable[str], orphaned: Orphaned | None
    ) -> None:
        self.work = work
        self.future = future
        self.wakes = wakes
        self.orphaned = orphaned
        self.result: Any = None
        self.error: BaseException | None = None


class _RolledBack(Exception):
    """SQLite ended the whole transaction by itself."""


class Writer:
    """Owns the writing connection and its thread. Made and closed on the event loop's thread."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], committed: Callable[[set[str]], None]
    ) -> None:
        self._connect = connect
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._closed = False
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="framework-sqlite-writer", daemon=True)

    async def start(self) -> None:
        """Open the connection in its thread; raises what opening it raised."""
        self._thread.start()
        await self._opened

    async def run(self, work: Work, wakes: Iterable[str] = (), orphaned: Orphaned | None = None) -> Any:
        """Hand in a unit and wait for its outcome.

        Cancelling the wait does not cancel the unit: ``orphaned`` is then called with its result and
        error, on the event loop's thread.
        """
        if self._closed:
            raise Unavailable("the database is closed")
        future = self._loop.create_future()
        unit = Unit(work, future, wakes, orphaned)
        self._queue.put(unit)
        try:
            return await future
        except asyncio.CancelledError:
            if orphaned and not future.cancelled():
                # The answer came in the same turn of the loop as the cancellation, which wins.
                orphaned(unit.result, unit.error)
            raise

    async def close(self) -> None:
        """Finish what was handed in, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await self._ended
        self._thread.join()

    # ---- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._tell(_set_exception, self._opened, error)
            self._tell(_set_result, self._ended, None)
            return
        self._tell(_set_result, self._opened, None)
        try:
            while (batch := self._take()) is not None:
                _run_batch(connection, batch)
                self._tell(self._answer, batch)
        finally:
            connection.close()
            self._tell(_set_result, self._ended, None)

    def _take(self) -> list[Unit] | None:
        """All units that wait, at least one; None when the writer was closed and nothing is left."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        try:
            while len(batch) < BATCH:
                unit = self._queue.get_nowait()
                if unit is None:
                    self._queue.put(None)  # for the next take
                    break
                batch.append(unit)
        except queue.Empty:
            pass
        return batch

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass  # the loop was closed without closing the storage: nobody is left to be told

    def _answer(self, batch: list[Unit]) -> None:
        wakes: set[str] = set()
        for unit in batch:
            if unit.error is None:
                wakes.update(unit.wakes)
            future = unit.future
            if future.done():  # the caller was cancelled; the unit is stored or refused all the same
                if unit.orphaned:
                    unit.orphaned(unit.result, unit.error)
            elif unit.error is None:
                future.set_result(unit.result)
            else:
                future.set_exception(unit.error)
        if wakes:
            self._committed(wakes)


def _run_batch(connection: sqlite3.Connection, batch: list[Unit]) -> None:
    """Run the units and commit; afterwards each has its ``result`` or its ``error``."""
    if len(batch) > 1:
        try:
            _run_together(connection, batch)
            return
        except _RolledBack:
            pass
    for unit in batch:
        _run_alone(connection, unit)


def _run_together(connection: sqlite3.Connection, batch: list[Unit]) -> None:
    execute = connection.execute
    try:
        execute("BEGIN IMMEDIATE")
    except sqlite3.Error:
        raise _RolledBack from None  # each unit gets the reason from its own try
    for unit in batch:
        unit.result = unit.error = None
        try:
            execute("SAVEPOINT unit")
            unit.result = unit.work(connection)
            execute("RELEASE unit")
        except Exception as error:
            unit.error = translate(error)
            if not _undo_unit(connection):
                raise _RolledBack from error
    try:
        execute("COMMIT")
    except sqlite3.Error:
        _roll_back(connection)
        raise _RolledBack from None


def _undo_unit(connection: sqlite3.Connection) -> bool:
    """Undo the unit that failed; False when the transaction is lost with it."""
    if not connection.in_transaction:
        return False
    try:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    except sqlite3.Error:
        _roll_back(connection)
        return False
    return connection.in_transaction


def _run_alone(connection: sqlite3.Connection, unit: Unit) -> None:
    unit.result = unit.error = None
    try:
        connection.execute("BEGIN IMMEDIATE")
        unit.result = unit.work(connection)
        if not connection.in_transaction:
            # Only a unit that ended the transaction itself comes here: what follows would autocommit.
            raise Unavailable("the transaction ended before its commit; nothing is known to be stored")
        connection.execute("COMMIT")
    except Exception as error:
        unit.result, unit.error = None, translate(error)
        _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite did it by itself in between


def _set_result(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
