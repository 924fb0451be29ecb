"""Rows by their key: looked up in place, on the event loop's own thread, while that is quicker than a hop.

A row by its key costs SQLite a few microseconds; handing it to a thread and back costs many times that, and
more still under load, when two threads hand the interpreter to and fro. But nobody may wait for a slow disk:
a look-up never waits for a lock, and one that took long sends the next ones to a thread for a while.
"""

from __future__ import annotations

import ctypes
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from framework.errors import Unavailable
from framework.storage.sqlite.batches import WRITE_WAIT, read_batch
from framework.storage.sqlite.errors import is_busy, translate
from framework.storage.sqlite.statements import Connecting
from framework.storage.sqlite.threads import BatchThread

SLOW = 0.002  # seconds that a look-up in place may take
T = TypeVar("T")

# Seconds for which the thread serves look-ups after a slow one. A busy machine makes a look-up slow now and then, and
# a slow disk makes all of them slow. So each slow one that follows doubles the time.
AWAY, LONGEST_AWAY = 0.01, 1.0


class Lookups:
    """Two reading connections: one for the event loop's thread, and one for another thread. ``close`` both."""

    def __init__(self, path: str, factory: Connecting = sqlite3.Connection) -> None:
        self._path = path
        self._factory = factory
        self._thread = BatchThread(
            "framework-sqlite-lookups",
            connect=lambda: connect_reader(path, WRITE_WAIT, factory),
            run_batch=read_batch,
            patience=WRITE_WAIT,
            late=lambda: Unavailable("the disk does not answer"),
        )
        self._connection: sqlite3.Connection | None = None
        self._away_until = 0.0
        self._away = AWAY

    @property
    def is_left_behind(self) -> bool:
        """Has the thread not ended, although it was closed?"""
        return self._thread.is_left_behind

    async def start(self) -> None:
        """Open both connections; ``sqlite3.Error`` when that fails."""
        self._connection = connect_reader(self._path, 0.0, self._factory)
        with suppress(sqlite3.OperationalError):  # busy: it has the log open from its first look-up on
            self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        await self._thread.start()

    def in_place(self, sql: str, parameters: Sequence[Any]) -> list[Any] | None:
        """The rows, or None if ``elsewhere`` must be asked. Raises ``Unavailable`` like it."""
        began = time.monotonic()
        if self._connection is None or began < self._away_until:
            return None
        try:
            rows = _all(self._connection, sql, parameters)
        except sqlite3.Error as error:
            if not is_busy(error):
                raise translate(error) from error
            self._stay_away()
            return None
        if time.monotonic() - began > SLOW:
            self._stay_away()
        else:
            self._away = AWAY
        return rows

    async def elsewhere(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """The rows, read in the thread. Raises ``Unavailable`` if the database cannot be read."""
        rows: list[Any] = await self._thread.run(lambda connection: _all(connection, sql, parameters))
        return rows

    def _stay_away(self) -> None:
        self._away_until = time.monotonic() + self._away
        self._away = min(2 * self._away, LONGEST_AWAY)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run longer work on the thread's connection."""
        result: T = await self._thread.run(work, exclusive=True)
        return result

    def leave_open(self) -> None:
        """Keep the loop's connection until the process has ended, even while Python shuts down."""
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            self._connection = None

    async def close(self) -> None:
        """Close both connections; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        await self._thread.close()


def _all(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[Any]:
    # Fetch all rows (there is at most one), because an unfinished statement blocks the checkpoint of the log.
    return connection.execute(sql, parameters).fetchall()


def connect_reader(path: str, wait: float, factory: Connecting) -> sqlite3.Connection:
    """A read-only connection that waits ``wait`` seconds for a lock."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512, factory=factory)
    connection.execute(f"PRAGMA busy_timeout = {wait * 1000:.0f}")
    connection.execute("PRAGMA query_only = ON")
    return connection
