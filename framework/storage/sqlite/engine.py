"""The SQLite engine: an embedded file, no service.

WAL and ``synchronous=FULL``; one writer with group commit, readers apart, so that neither waits for the
other: rows by their key are looked up in place, aiosqlite serves everything else.
The database file is never opened but through SQLite: closing it otherwise drops SQLite's locks.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Select, Table

from framework.errors import CannotOpen, DatabaseLost, Unavailable
from framework.process import files
from framework.storage import age, tables
from framework.storage.age import Age
from framework.storage.codec import Codec, Query
from framework.storage.contract import Orphaned
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import (
    BeginRequest,
    Claim,
    DeadLetter,
    Deliver,
    Drain,
    Executed,
    FifoState,
    ItemState,
    Operation,
    RecordProblem,
)
from framework.storage.signals import Signal, Signals
from framework.storage.sockets import SocketFolder
from framework.storage.sqlite import ages as sqlite_ages
from framework.storage.sqlite import giveback as sqlite_giveback
from framework.storage.sqlite import views as sqlite_views
from framework.storage.sqlite.batches import WRITE_WAIT, write_in_turn
from framework.storage.sqlite.broadcast import SqliteBroadcast
from framework.storage.sqlite.checkpoints import Checkpoints
from framework.storage.sqlite.dialect import Dialect as SQLiteDialect
from framework.storage.sqlite.errors import cannot_open, translate
from framework.storage.sqlite.gathering import in_snapshot
from framework.storage.sqlite.guard import Guard
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.lookups import Lookups, connect_reader
from framework.storage.sqlite.migration import schema as sqlite_schema
from framework.storage.sqlite.migration.plan import plan
from framework.storage.sqlite.opening import (
    connect_async_reader,
    connect_writer,
    make,
    prepare,
    require_place,
    require_version,
)
from framework.storage.sqlite.operations import Operations
from framework.storage.sqlite.statements import connecting
from framework.storage.sqlite.threads import BatchThread
from framework.storage.sqlite.transaction import HeldTransaction, SqliteTransaction
from framework.storage.sqlite.triggers import missing_triggers
from framework.storage.sqlite.turns import Turns
from framework.storage.sqlite.users import Users, missing_log
from framework.storage.sqlite.wakeups import Wakeups
from framework.storage.statements import Statements
from framework.storage.wakes import woken

logger = logging.getLogger("framework.storage")

_READERS = 2

T = TypeVar("T")


class SqliteStorage:
    """``framework.storage.contract.Storage`` on one SQLite file. Made by :meth:`open`."""

    def __init__(self, url: str, path: str, statements: Statements | None = None) -> None:
        self.url = url
        self._path = path
        self._connecting = connecting(statements)
        self._dialect = SQLiteDialect()
        self._codec = Codec(self._dialect)
        self._locks = Locks(path)
        self._operations = Operations(self._codec, self._locks)
        self._signals = Signals()
        self._sockets = SocketFolder(self._locks.folder, self._locks.access)
        self._wakeups = Wakeups(self._sockets, self._signals.ring)
        self.broadcast = SqliteBroadcast(self._sockets)
        self._turns = Turns(self._locks, path)
        self._users = Users(self._locks)
        self._guard = Guard(path, self._locks)
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
        self._lookups = Lookups(path, self._connecting)
        self._readers: list[aiosqlite.Connection] = []
        self._turn = 0
        self._registering = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, path: str, statements: Statements | None = None, *, reading: bool = False
    ) -> AsyncIterator[SqliteStorage]:
        """The open storage of the file, made if it is missing; closed with the block.

        One that is only for ``reading`` does not take the writer where all tables are there. Raises
        ``CannotOpen`` with the reason and what to do.
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
            await self._lookups.start()
            for _ in range(_READERS):
                self._readers.append(await connect_async_reader(self._path, self._connecting))
            if version is not None:  # one that only reads is gone before it could be told
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
        """A drain before our time is not for us, and over when nobody else is there whom it is for."""
        [(number,)] = await self._read("SELECT max(id) FROM _framework_drain", ())
        if number is None:
            return
        self._operations.process.drains_before = number
        if not reading and not self._users.others():
            await self.write([Drain(False, time.time())])

    async def drained_at(self) -> float | None:
        """See the contract."""
        [(at,)] = await self._read("SELECT max(at) FROM _framework_drain", ())
        return None if at is None else float(at)

    async def _is_prepared(self) -> bool:
        """Is everything there that a start would make?"""

        def look() -> bool:
            with closing(connect_reader(self._path, WRITE_WAIT, self._connecting)) as connection:
                found = plan(connection, self._dialect, list(tables.metadata.sorted_tables))
                return not found.changes and not missing_triggers(connection)

        return await asyncio.to_thread(look)

    def _cannot_open(self, error: sqlite3.Error) -> CannotOpen:
        return cannot_open(self._path, error, missing_log(self._path, self._users.others()))

    def _connect_in_turn(self) -> sqlite3.Connection:
        # Nobody can wait in SQLite for who turns a new database into one with a log: it says "locked" at once.
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
        """Somebody has tidied up the folder beside the database: no lock is lost with it, only the sockets."""
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
        """Become an owner of items and requests: a number, and the lock that the system frees when we die."""
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

    async def load(self, table: Table, key_column: str, key: Any) -> Row | None:
        """See the contract."""
        query = self._codec.by_key(table, key_column)
        [(_, convert)] = query.parameters
        parameters = (convert(key) if convert else key,)
        self._guard.require()
        rows = self._lookups.in_place(query.sql, parameters)
        if rows is None:
            rows = await self._lookups.elsewhere(query.sql, parameters)
        return query.row(rows[0]) if rows else None

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """See the contract."""
        query = self._codec.query(statement)
        return [query.row(row) for row in await self._fetch(query, parameters or {})]

    async def gather(self, gathering: Gathering[T]) -> T:
        """See the contract."""
        self._guard.require()
        return await self._lookups.run(lambda connection: in_snapshot(connection, self._codec, gathering))

    async def rows(self, statement: Select[Any]) -> Executed:
        """See the contract."""
        query = self._codec.executable(statement)
        fetched = await self._fetch(query, {})
        return Executed(query.names, [query.values(row) for row in fetched], len(fetched))

    async def fifo_names(self) -> list[str]:
        """See the contract."""
        return await sqlite_views.fifo_names(self._read)

    async def fifo_state(self, fifo: str) -> FifoState | None:
        """See the contract."""
        return await sqlite_views.fifo_state(self._read, fifo, self._locks.alive)

    async def fifo_states(self, after: str, limit: int) -> list[FifoState]:
        """See the contract."""
        return await sqlite_views.fifo_states(self._read, self._locks.alive, after, limit)

    async def peek(self, fifo: str, limit: int, after: int = 0) -> list[ItemState]:
        """See the contract."""
        return await sqlite_views.items(self._read, fifo, limit, after)

    async def dead_letters(
        self, fifo: str | None, limit: int, dead_id: int | None = None, after: int = 0
    ) -> list[DeadLetter]:
        """See the contract."""
        return await sqlite_views.dead_letters(self._read, fifo, limit, dead_id, after)

    async def last_ids(self, fifo: str) -> tuple[int, int]:
        """See the contract."""
        return await sqlite_views.last_ids(self._read, fifo)

    async def count_dead(self, fifo: str, before: float, lived_before: float) -> tuple[int, int]:
        """See the contract."""
        return await sqlite_views.count_dead(self._read, fifo, before, lived_before)

    async def age(self) -> Age:
        """See the contract."""
        rows = self._lookups.in_place(sqlite_ages.READ, ())
        if rows is None:
            rows = await self._lookups.elsewhere(sqlite_ages.READ, ())
        return age.look(Age(*rows[0]) if rows else None, age.reading())

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

    def alive(self, process: int) -> bool:
        """See the contract."""
        return self._locks.alive(process)

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """See the contract."""
        return self._locks.alone(name)

    def give_back(self, patience: float) -> None:
        """See the contract."""
        if self._guard.identity.check() is None:  # else the items there are not ours
            sqlite_giveback.give_back(self._path, self._operations, patience)

    async def close(self) -> None:
        """See the contract; may be called twice."""
        self._guard.stop()
        for reader in self._readers:
            await reader.close()
        self._readers.clear()
        if self._guard.forbids_closing:
            self._lookups.leave_open()
        await self._lookups.close()
        await self._writer.close()
        self._turns.close()
        self._wakeups.close()
        await self.broadcast.close()
        self._sockets.close()
        self._users.leave()
        left_open = self._writer.is_left_behind or self._lookups.is_left_behind or self._guard.forbids_closing
        if not left_open:  # a connection that is open would lose its locks with ours
            self._locks.close()

    async def _fetch(self, query: Query, parameters: Mapping[str, Any]) -> Sequence[Any]:
        return await self._read(query.sql, query.bind(parameters))

    async def _read(self, sql: str, parameters: Sequence[Any]) -> Sequence[Any]:
        self._guard.require()
        if not self._readers:
            raise Unavailable("the database is closed")
        self._turn = (self._turn + 1) % len(self._readers)
        try:
            return list(await self._readers[self._turn].execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise translate(error) from error


def _nothing(_: sqlite3.Connection) -> None:
    pass
