"""The last act of a process that cannot end in order: what it has in work is offered again, and nobody is charged.

It has a connection of its own and waits for nobody: the event loop may be blocked, and the process ends right after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from framework.storage.operations import Claim, Release
from framework.storage.sqlite.operations import Operations

_IN_WORK = "SELECT name, item, epoch FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL"


def give_back(path: str, operations: Operations, patience: float) -> None:
    """Release every item that this process has in work; ``sqlite3.Error`` when that takes longer than ``patience``."""
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
