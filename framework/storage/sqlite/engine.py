"""The SQLite engine: an embedded file, no service.

It uses WAL and ``synchronous=FULL``. One writer with group commit and separate readers never wait for each other.
Rows by key are looked up in place, and aiosqlite serves everything else. The database file is opened only through
SQLite, because closing it otherwise drops SQLite's locks.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any

from sqlalchemy import Table

from framework.errors import CannotOpen, DatabaseLost, Unavailable
from framework.process import files
from framework.storage import tables
from framework.storage.contract import Orphaned
from framework.storage.operations import (
    BeginRequest,
    Claim,
    Deliver,
    Drain,
    Operation,
    RecordProblem,
)
from framework.storage.signals import Signal, Signals
from framework.storage.sockets import SocketFolder
from framework.storage.sqlite import giveback as sqlite_giveback
from framework.storage.sqlite.batches import WRITE_WAIT, write_in_turn
from framework.storage.sqlite.broadcast import SqliteBroadcast
from framework.storage.sqlite.checkpoints import Checkpoints
from framework.storage.sqlite.errors import cannot_open, translate
from framework.storage.sqlite.lookups import connect_reader
from framework.storage.sqlite.migration import schema as sqlite_schema
from framework.storage.sqlite.migration.plan import plan
from framework.storage.sqlite.opening import (
    connect_writer,
    make,
    prepare,
    require_place,
    require_version,
)
from framework.storage.sqlite.operations import Operations
from framework.storage.sqlite.reading import SqliteReading
from framework.storage.sqlite.threads import BatchThread
from framework.storage.sqlite.transaction import HeldTransaction, SqliteTransaction
from framework.storage.sqlite.triggers import missing_triggers
from framework.storage.sqlite.turns import Turns
from framework.storage.sqlite.users import Users, missing_log
from framework.storage.sqlite.wakeups import Wakeups
from framework.storage.statements import Statements
from framework.storage.wakes import woken

logger = logging.getLogger("framework.storage")


class SqliteStorage(SqliteReading):
    """``framework.storage.contract.Storage`` on one SQLite file. Made by :meth:`open`."""

    def __init__(self, url: str, path: str, statements: Statements | None = None) -> None:
        super().__init__(path, statements)
        self.url = url
        self._operations = Operations(self._codec, self._locks)
        self._signals = Signals()
        self._sockets = SocketFolder(self._locks.folder, self._locks.access)
        self._wakeups = Wakeups(self._sockets, self._signals.ring)
        self.broadcast = SqliteBroadcast(self._sockets)
        self._turns = Turns(self._locks, path)
        self._users = Users(self._locks)
        self._checkpoints = Checkpoints(self._turns, path)
        self._writer = BatchThread(
            "framework-sqlite-writer",
            connect=self._connect_in_turn,
            run_batch=partial(self._guard.judged, partial(write_in_turn, self._turns)),
            patience=WRITE_WAIT,
            late=self._turns.late,
            done=self._committed,
            after_batch=self._after_batch,
        )
        self._registering = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, path: str, statements: Statements | None = None, *, reading: bool = False
    ) -> AsyncIterator[SqliteStorage]:
        """The open storage of the file, created if it is missing, closed with the block.

        With ``reading`` it does not take the writer if all tables exist. Raises ``CannotOpen`` with the reason and
        what to do.
        """
        require_version()
        require_place(path)
        make(path)
        try:
            storage = cls(url, path, statements)
        except OSError as error:
            raise CannotOpen(f"cannot open the database {files.denied(path, error)}") from error
        try:
            await storage._start(reading=reading)
            yield storage
        finally:
            await storage.close()

    async def _start(self, *, reading: bool) -> None:
        version = None
        try:
            self._users.enter()
            if not reading or not await self._is_prepared():
                await self._writer.start()
                await self.ensure_tables(list(tables.metadata.sorted_tables))
                version = await self._writer.run(prepare)
                self._users.require_no_earlier()
            await self._open_readers()
            if version is not None:  # a reader ends before it could be notified
                self._guard.start(version, lambda: self._writer.run(_nothing), self._renew_sockets)
            await self._look_at_drain(reading=reading)
        except sqlite3.Error as error:
            raise self._cannot_open(error) from error
        except OSError as error:
            raise CannotOpen(f"cannot open the database {self._path}: {translate(error)}") from error
        except Unavailable as error:  # the same, from a unit of the writer
            if isinstance(error.__cause__, sqlite3.Error):
                raise self._cannot_open(error.__cause__) from error
            raise

    async def _look_at_drain(self, *, reading: bool) -> None:
        """An earlier drain does not concern this process. It is over if no other process is there."""
        [(number,)] = await self._read("SELECT max(id) FROM _framework_drain", ())
        if number is None:
            return
        self._operations.process.drains_before = number
        if not reading and not self._users.others():
            await self.write([Drain(False, time.time())])

    async def _is_prepared(self) -> bool:
        """Does everything exist that a start would create?"""

        def look() -> bool:
            with closing(connect_reader(self._path, WRITE_WAIT, self._connecting)) as connection:
                found = plan(connection, self._dialect, list(tables.metadata.sorted_tables))
                return not found.changes and not missing_triggers(connection)

        return await asyncio.to_thread(look)

    def _cannot_open(self, error: sqlite3.Error) -> CannotOpen:
        return cannot_open(self._path, error, missing_log(self._path, self._users.others()))

    def _connect_in_turn(self) -> sqlite3.Connection:
        # SQLite does not wait while another process gives a new database its log: it says "locked" at once.
        try:
            self._turns.take()
        except OSError as error:
            raise translate(error) from error
        try:
            return connect_writer(self._path, self._connecting)
        finally:
            self._turns.give()

    async def ensure_tables(self, tables: Sequence[Table]) -> None:
        """See the contract; ``CannotOpen`` lists the differences that could lose data."""
        await self._writer.run(lambda connection: sqlite_schema.ensure(connection, self._dialect, tables))

    async def write(
        self,
        operations: Sequence[Operation],
        *,
        fences: Sequence[Claim] = (),
        orphaned: Orphaned | None = None,
    ) -> list[Any]:
        """See the contract."""
        if self._operations.process.number is None and any(
            isinstance(op, Deliver | BeginRequest | RecordProblem) for op in operations
        ):
            await self._register()
        run = self._operations.run
        answers: list[Any] = await self._writer.run(
            lambda connection: run(connection, operations, fences), woken(operations), orphaned
        )
        return answers

    @property
    def lost(self) -> DatabaseLost | None:
        """See the contract."""
        return self._guard.lost

    async def until_lost(self) -> str:
        """See the contract."""
        return await self._guard.until_lost()

    @property
    def disowned(self) -> asyncio.Future[str]:
        """See the contract. The system keeps our locks: they go with the files, or with our descriptor of them."""
        return self._guard.disowned

    def _renew_sockets(self) -> None:
        """Renew the folder beside the database after somebody has deleted it. Only the sockets are lost with it, no
        locks."""
        if self._sockets.is_lost:
            logger.warning("%s was deleted or moved; it is made again", self._sockets.path)
            self._sockets.close()
            self._wakeups.renew()
            self.broadcast.renew()

    def _after_batch(self, connection: sqlite3.Connection, idle: bool) -> float | None:
        if self._guard.lost is None:
            return self._checkpoints.after_batch(connection, idle)
        self._guard.after_batch(connection)
        return None

    def _committed(self, fifos: set[str]) -> None:
        self._signals.ring(fifos)
        self._wakeups.send(fifos)

    async def _register(self) -> None:
        """Become an owner of items and requests: get a number, and the lock that the system releases when this
        process dies."""
        async with self._registering:
            if self._operations.process.number is None:
                number = await self._writer.run(self._operations.register)
                self._locks.own(number)
                self._operations.process.number = number

    @asynccontextmanager
    async def transaction(
        self, *, hold: float, expired: Callable[[], str], fences: Sequence[Claim] = ()
    ) -> AsyncIterator[SqliteTransaction]:
        """See the contract."""
        held = HeldTransaction(self._writer, hold=hold, expired=expired)
        await held.begin(lambda connection: self._operations.check(connection, fences))
        transaction = SqliteTransaction(held, self._operations, self._codec)
        try:
            yield transaction
        except BaseException:
            await held.end(commit=False)
            raise
        await held.end(commit=True, wakes=sorted(transaction.wakes))

    def watch(self, fifos: Iterable[str]) -> AbstractContextManager[Signal]:
        """See the contract."""
        self._wakeups.listen()
        return self._signals.watch(fifos)

    def wake_all(self) -> None:
        """See the contract."""
        self._signals.ring_all()

    async def register(self) -> int:
        """See the contract."""
        await self._register()
        assert self._operations.process.number is not None
        return self._operations.process.number

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """See the contract."""
        return self._locks.alone(name)

    def give_back(self, patience: float) -> None:
        """See the contract."""
        if self._guard.identity.check() is None:  # otherwise the items there are not ours
            sqlite_giveback.give_back(self._path, self._operations, patience)

    async def close(self) -> None:
        """See the contract; may be called twice."""
        self._guard.stop()
        await self._close_readers()
        await self._writer.close()
        self._turns.close()
        self._wakeups.close()
        await self.broadcast.close()
        self._sockets.close()
        self._users.leave()
        left_open = self._writer.is_left_behind or self._lookups.is_left_behind or self._guard.forbids_closing
        if not left_open:  # an open connection would lose its locks with ours
            self._locks.close()


def _nothing(_: sqlite3.Connection) -> None:
    pass
