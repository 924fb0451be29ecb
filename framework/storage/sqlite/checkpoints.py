"""Checkpoints copy the log into the database file while nobody waits for it.

SQLite does this by itself inside a COMMIT, and all callers that wait for the commit wait for the checkpoint as well.
Here the writer's thread does it after its answers and its turn, so that other processes can write meanwhile. While
they never pause, or while a process reads in one transaction for a long time, the log cannot restart and grows. When
it exceeds a size, and all of it can be copied, the file is truncated in a turn. Waiting for a blocking reader makes
no other process wait.
"""

from __future__ import annotations

import os
import sqlite3

from framework.errors import CannotOpen
from framework.storage.sqlite.turns import Turns

# A checkpoint after so many changed rows, or so many batches.
ROWS = 2000
BATCHES = 500

# From this number of pages of log, others have to wait for the checkpoint; and the size in bytes.
LONGEST_LOG = 25_000
LARGEST_FILE = LONGEST_LOG * 4096

# Seconds: between checks of the log's size when nothing is written, and before the next attempt when a reader blocked
# it.
LOOK_EVERY = 60.0
TRY_AGAIN = 2.0


class Checkpoints:
    """Decides when the writer's connection makes a checkpoint. Only the writer's thread uses it."""

    def __init__(self, turns: Turns, database: str) -> None:
        self._turns = turns
        self._log = f"{database}-wal"
        self._rows = 0
        self._batches = 0
        self._large = False  # as far as we know

    def after_batch(self, connection: sqlite3.Connection, idle: bool) -> float:
        """Make a checkpoint if it is time. Return when to check again. Never raises, because it can be made later
        just as well."""
        if idle:
            self._large = _size(self._log) > LARGEST_FILE
        else:
            self._batches += 1
            if connection.total_changes - self._rows >= ROWS or self._batches >= BATCHES:
                self._rows, self._batches = connection.total_changes, 0
                self._make(connection)
                return TRY_AGAIN if self._large else LOOK_EVERY
        if self._large and idle:
            self._make(connection)
        return TRY_AGAIN if self._large else LOOK_EVERY

    def _make(self, connection: sqlite3.Connection) -> None:
        """Copy as much as possible. Truncate the file if it is large and everything was copied."""
        try:
            _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._large = pages > LONGEST_LOG or _size(self._log) > LARGEST_FILE
            if self._large:
                self._in_turn(connection, "TRUNCATE" if copied == pages else "PASSIVE")
        except (sqlite3.Error, OSError, CannotOpen):
            pass  # a full disk, or a reader in the way

    def _in_turn(self, connection: sqlite3.Connection, mode: str) -> None:
        """Do it while no other process of ours writes, so that the log can restart."""
        self._turns.take()
        try:
            busy, _, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            self._large = bool(busy) or mode != "TRUNCATE"
        finally:
            self._turns.give()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
