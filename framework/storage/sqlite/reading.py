"""The readers of a SQLite database, beside the one connection that writes.

Rows by key are looked up in place, a separate thread serves gatherings, and aiosqlite serves everything else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Select, Table

from framework.errors import Unavailable
from framework.storage import age
from framework.storage.age import Age
from framework.storage.codec import Codec, Query
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Executed
from framework.storage.sqlite import ages as sqlite_ages
from framework.storage.sqlite.dialect import Dialect as SQLiteDialect
from framework.storage.sqlite.errors import translate
from framework.storage.sqlite.gathering import in_snapshot
from framework.storage.sqlite.guard import Guard
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.lookups import Lookups
from framework.storage.sqlite.opening import connect_async_reader
from framework.storage.sqlite.statements import connecting
from framework.storage.sqlite.views import Views
from framework.storage.statements import Statements

_READERS = 2

T = TypeVar("T")


class SqliteReading(Views):
    """The reading side of the contract. Nothing is read from lost files."""

    def __init__(self, path: str, statements: Statements | None) -> None:
        self._path = path
        self._connecting = connecting(statements)
        self._dialect = SQLiteDialect()
        self._codec = Codec(self._dialect)
        self._locks = Locks(path)
        self._guard = Guard(path, self._locks)
        self._lookups = Lookups(path, self._connecting)
        self._readers: list[aiosqlite.Connection] = []
        self._turn = 0

    async def _open_readers(self) -> None:
        await self._lookups.start()
        for _ in range(_READERS):
            self._readers.append(await connect_async_reader(self._path, self._connecting))

    async def _close_readers(self) -> None:
        for reader in self._readers:
            await reader.close()
        self._readers.clear()
        if self._guard.forbids_closing:
            self._lookups.leave_open()
        await self._lookups.close()

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

    async def drained_at(self) -> float | None:
        """See the contract."""
        [(at,)] = await self._read("SELECT max(at) FROM _framework_drain", ())
        return None if at is None else float(at)

    async def age(self) -> Age:
        """See the contract."""
        rows = self._lookups.in_place(sqlite_ages.READ, ())
        if rows is None:
            rows = await self._lookups.elsewhere(sqlite_ages.READ, ())
        return age.look(Age(*rows[0]) if rows else None, age.reading())

    async def alive(self, process: int) -> bool:
        """See the contract."""
        return self._locks.alive(process)

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
