"""The last act of a process before a forced end: its items in work are offered again, and no attempt is charged.

It uses its own connection and does not need the event loop, which may be blocked. The process ends right after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from framework.storage.operations import Claim, Release
from framework.storage.sqlite.operations import Operations

_IN_WORK = "SELECT name, item, epoch FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL"


def give_back(path: str, operations: Operations, patience: float) -> None:
    """Release every item in work of this process. Raises ``sqlite3.Error`` if that takes longer than ``patience``."""
    process = operations.process.number
    if process is None:
        return
    with closing(sqlite3.connect(path, isolation_level=None, timeout=patience)) as connection:
        if not _claims(connection, process):
            return
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        operations.run(connection, [Release(claim) for claim in _claims(connection, process)], ())
        connection.execute("COMMIT")


def _claims(connection: sqlite3.Connection, process: int) -> Sequence[Claim]:
    return [Claim(*row) for row in connection.execute(_IN_WORK, (process,))]
