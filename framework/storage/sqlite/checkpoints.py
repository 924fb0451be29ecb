"""Checkpoints: what is in the log goes into the database file, when nobody waits for it.

SQLite does this by itself inside a COMMIT, and everybody who waits for that one waits for the checkpoint as
well. Here the writer's thread does it after its answers were given and its turn is over: other processes
write on meanwhile. While they never pause, or while somebody reads in one transaction for a long time, the log
cannot begin anew and grows. When it has grown beyond a size, and all of it can be copied, its file is
truncated in a turn; who was in the way is waited for without making anybody else wait.
"""

from __future__ import annotations

import os
import sqlite3

from framework.errors import CannotOpen
from framework.storage.sqlite.turns import Turns

# A checkpoint after so many changed rows, or so many batches.
ROWS = 2000
BATCHES = 500

# Pages of log from which on the others have to wait for it, and its size in bytes.
LONGEST_LOG = 25_000
LARGEST_FILE = LONGEST_LOG * 4096

# Seconds: a look at the size of the log when nothing is written, and the next try when somebody was in the way.
LOOK_EVERY = 60.0
TRY_AGAIN = 2.0


class Checkpoints:
    """Decides when the writer's connection makes a checkpoint. Used by the writer's thread alone."""

    def __init__(self, turns: Turns, database: str) -> None:
        self._turns = turns
        self._log = f"{database}-wal"
        self._rows = 0
        self._batches = 0
        self._large = False  # as far as we know

    def after_batch(self, connection: sqlite3.Connection, idle: bool) -> float:
        """Make a checkpoint if it is time; when to look again. Never raises: it can be made later just as well."""
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
        """Copy what can be copied; truncate the file where it is large, and all of it could be."""
        try:
            _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._large = pages > LONGEST_LOG or _size(self._log) > LARGEST_FILE
            if self._large:
                self._in_turn(connection, "TRUNCATE" if copied == pages else "PASSIVE")
        except (sqlite3.Error, OSError, CannotOpen):
            pass  # a full disk, or a reader in the way

    def _in_turn(self, connection: sqlite3.Connection, mode: str) -> None:
        """While no other process of ours writes, so that the log can begin anew."""
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
