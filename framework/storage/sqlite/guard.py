"""The guard of an open database's files: the loss of a file ends the work, and the content is saved.

Each answer is judged after its commit. When nothing is written, the files are checked once a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from framework.errors import Unavailable
from framework.storage.sqlite.identity import Fate, Identity, Lost
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.rescue import rescue
from framework.storage.sqlite.threads import Unit, Waiting

logger = logging.getLogger("framework.storage")

INTERVAL = 1.0  # seconds between two checks

Run = Callable[[sqlite3.Connection, Waiting[sqlite3.Connection]], list[Unit[sqlite3.Connection]]]


class Guard:
    """Make it on the event loop's thread. ``judged`` and ``after_batch`` run in the writer's thread."""

    def __init__(self, path: str, locks: Locks) -> None:
        self.identity = Identity(path, locks.ranges)
        self._real = os.path.realpath(path)  # the path at opening, whatever the name leads to later
        self._locks = locks
        self._loop = asyncio.get_running_loop()
        self._noticed = asyncio.Event()
        self._told: asyncio.Future[str] = self._loop.create_future()
        self.disowned: asyncio.Future[str] = self._loop.create_future()
        self._rescuing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> Lost | None:
        return self.identity.lost

    @property
    def forbids_closing(self) -> bool:
        """Would SQLite, with the last connection, write its log over files of others?"""
        fates = (Fate.LOG_REPLACED, Fate.OVERWRITTEN, Fate.UNLOCKED)
        return self.lost is not None and self.lost.fate in fates

    def require(self) -> None:
        """``DatabaseLost`` when it is."""
        if self.identity.lost is not None:
            raise self.identity.lost

    def start(self, version: int, wake: Callable[[], Awaitable[Any]], each_look: Callable[[], None]) -> None:
        """Watch the files that SQLite now has open. ``wake`` sends the writer an empty unit."""
        self.identity.remember(version)
        self._task = asyncio.create_task(self._watch(wake, each_look), name="database guard")

    async def until_lost(self) -> str:
        return await asyncio.shield(self._told)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # ---- in the writer's thread -------------------------------------------------------------

    def judged(
        self, run: Run, connection: sqlite3.Connection, waiting: Waiting[sqlite3.Connection]
    ) -> list[Unit[sqlite3.Connection]]:
        """Run a batch. What was written to lost files counts as not stored."""
        if self.identity.lost is None:
            batch = run(connection, waiting)
        else:
            batch = waiting.start()
        lost = self.identity.check_database()
        if lost is not None:
            for unit in batch:
                unit.result, unit.error = None, lost
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._noticed.set)
        return batch

    def after_batch(self, connection: sqlite3.Connection) -> None:
        """Save the content once when the files are lost. Never raises."""
        if self.identity.lost is None or self._rescuing:
            return
        self._rescuing = True
        text = rescue(connection, self._real, self.identity.lost, self._locks)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, text)

    # ---- on the loop ------------------------------------------------------------------------

    async def _watch(self, wake: Callable[[], Awaitable[Any]], each_look: Callable[[], None]) -> None:
        while self.identity.check_content() is None:
            each_look()
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._noticed.wait()
        self.disowned.set_result(str(self.lost))
        logger.error("%s: nothing is answered any more", self.lost, extra={"action": "database_lost"})
        try:
            await wake()
        except Unavailable as error:
            if error is not self.lost:  # the writer itself waits: nothing else has the content open
                self._tell(f"What it held could not be copied: {error}")

    def _tell(self, text: str) -> None:
        if not self._told.done():
            self._told.set_result(f"{self.lost}. {text}")
