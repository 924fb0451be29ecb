"""Checkpoints: what is in the log goes into the database file, when nobody waits for it.

SQLite does this by itself inside a COMMIT, and everybody who waits for that one waits for the checkpoint as
well. Here the writer's thread does it after its answers were given and its turn is over: other processes
write on meanwhile. While they never pause, the log cannot begin anew and grows; beyond a size it is done
in a turn, so that it can.
"""

from __future__ import annotations

import sqlite3

from framework.storage.sqlite.turns import Turns

# A checkpoint after so many changed rows, or so many batches.
ROWS = 2000
BATCHES = 500

# Pages of log from which on the others have to wait for it.
LONGEST_LOG = 25_000


class Checkpoints:
    """Decides when the writer's connection makes a checkpoint. Used by the writer's thread alone."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._rows = 0
        self._batches = 0

    def after_batch(self, connection: sqlite3.Connection) -> None:
        """Make a checkpoint if it is time. Never raises: it can be made later just as well."""
        self._batches += 1
        if connection.total_changes - self._rows < ROWS and self._batches < BATCHES:
            return
        self._rows, self._batches = connection.total_changes, 0
        try:
            if _checkpoint(connection) > LONGEST_LOG:
                self._in_turn(connection)
        except (sqlite3.Error, OSError):
            pass  # a full disk, or a reader in the way

    def _in_turn(self, connection: sqlite3.Connection) -> None:
        self._turns.take()
        try:
            _checkpoint(connection)
        finally:
            self._turns.give()


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Copy what can be copied without making anybody wait; the length of the log, in pages."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
