"""Each operation of the contract as SQL on the writing connection of the SQLite engine.

All of it runs in the writer's thread, inside a transaction that the writer began and ends.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from framework.errors import ClaimLost, Gone
from framework.storage.codec import Codec
from framework.storage.contract import (
    Acknowledge,
    Claim,
    Delete,
    Deliver,
    Delivery,
    Execute,
    Executed,
    Insert,
    Operation,
    Put,
    Release,
    Undelivered,
    Update,
)
from framework.storage.sqlite_locks import Locks

Connection = sqlite3.Connection

_PUT = """
    INSERT INTO _framework_item (fifo, payload, put_at)
    SELECT id, ?, ? FROM _framework_fifo WHERE name = ?"""
_NEW_FIFO = "INSERT INTO _framework_fifo (name) VALUES (?)"
_FIFO = "SELECT id, epoch, owner, item FROM _framework_fifo WHERE name = ?"
_HEAD = """
    SELECT id, payload, attempts, crashes, put_at, not_before
    FROM _framework_item WHERE fifo = ? ORDER BY id LIMIT 1"""
_COUNT_ATTEMPT = "UPDATE _framework_item SET attempts = attempts + 1, crashes = ? WHERE id = ?"
_TAKE = "UPDATE _framework_fifo SET epoch = ?, owner = ?, item = ?, worker = ?, since = ? WHERE id = ?"
_LET_GO = "UPDATE _framework_fifo SET item = NULL WHERE name = ? AND item = ? AND epoch = ?"
_LET_GO_FENCED = (
    "UPDATE _framework_fifo SET item = NULL, epoch = epoch + 1 WHERE name = ? AND item = ? AND epoch = ?"
)
_DONE = "DELETE FROM _framework_item WHERE id = ?"
_HOLD_BACK = "UPDATE _framework_item SET attempts = attempts - ?, not_before = ? WHERE id = ?"
_FENCE = "SELECT 1 FROM _framework_fifo WHERE name = ? AND epoch = ? AND item = ?"
_REGISTER = "INSERT INTO _framework_process (host, pid, started_at) VALUES (?, ?, ?)"

_IDLE = """
    SELECT id FROM _framework_process WHERE started_at < ? AND id NOT IN
        (SELECT owner FROM _framework_fifo WHERE item IS NOT NULL)"""
_NEWBORN = 60.0  # seconds: a process of this age may not have its lock yet


class Operations:
    """Runs the operations of one process on its writing connection."""

    def __init__(self, codec: Codec, locks: Locks) -> None:
        self._codec = codec
        self._locks = locks
        self.process: int | None = None  # the number that deliveries are claimed by
        self._runners: dict[type, Callable[[Connection, Any], Any]] = {
            Execute: self._execute,
            Insert: self._insert,
            Update: self._update,
            Delete: self._delete,
            Put: self._put,
            Deliver: self._deliver,
            Acknowledge: self._acknowledge,
            Release: self._release,
        }

    def run(
        self, connection: Connection, operations: Sequence[Operation], fences: Sequence[Claim]
    ) -> list[Any]:
        """The answers of the operations, in order; the first error ends the unit."""
        if fences:
            self.check(connection, fences)
        return [self._runners[type(operation)](connection, operation) for operation in operations]

    def check(self, connection: Connection, fences: Sequence[Claim]) -> None:
        """``ClaimLost`` if one of the claims does not hold any more."""
        for claim in fences:
            if not connection.execute(_FENCE, (claim.fifo, claim.epoch, claim.item_id)).fetchone():
                raise _lost(claim)

    def register(self, connection: Connection) -> int:
        """A number for this process, and away with what dead ones left. Its lock is taken after the commit."""
        values = (socket.gethostname(), os.getpid(), time.time())
        number = connection.execute(_REGISTER, values).lastrowid
        assert number is not None
        self._clear_dead(connection)
        return number

    def _clear_dead(self, connection: Connection) -> None:
        """Forget processes that died and have nothing in work: nobody will ask for them again."""
        for (number,) in connection.execute(_IDLE, (time.time() - _NEWBORN,)).fetchall():
            if not self._locks.alive(number):
                connection.execute("DELETE FROM _framework_process WHERE id = ?", (number,))
                self._locks.forget(number)

    # ---- rows -------------------------------------------------------------------------------

    def _execute(self, connection: Connection, op: Execute) -> Executed:
        query = self._codec.executable(op.statement)
        cursor = connection.execute(query.sql, query.bind({}))
        columns = tuple(column[0] for column in cursor.description or ())
        return Executed(columns, [query.values(row) for row in cursor.fetchall()], cursor.rowcount)

    def _insert(self, connection: Connection, op: Insert) -> None:
        statement = self._codec.insert(op.table, tuple(op.values))
        connection.execute(statement.sql, statement.bind(op.values))

    def _update(self, connection: Connection, op: Update) -> None:
        statement = self._codec.update(op.table, op.key_column, tuple(op.values))
        values = {f"v_{name}": value for name, value in op.values.items()}
        values["key"] = op.key
        if connection.execute(statement.sql, statement.bind(values)).rowcount == 0:
            raise Gone(op.table.name, op.key)

    def _delete(self, connection: Connection, op: Delete) -> None:
        statement = self._codec.delete(op.table, op.key_column)
        if connection.execute(statement.sql, statement.bind({"key": op.key})).rowcount == 0:
            raise Gone(op.table.name, op.key)

    # ---- FIFOs ------------------------------------------------------------------------------

    def _put(self, connection: Connection, op: Put) -> int:
        values = (op.payload, op.put_at, op.fifo)
        cursor = connection.execute(_PUT, values)
        if cursor.rowcount == 0:
            connection.execute(_NEW_FIFO, (op.fifo,))
            cursor = connection.execute(_PUT, values)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _deliver(self, connection: Connection, op: Deliver) -> Delivery | Undelivered:
        assert self.process is not None, "the storage registers a process before its first delivery"
        fifo = connection.execute(_FIFO, (op.fifo,)).fetchone()
        if fifo is None:
            return Undelivered("empty")
        fifo_id, epoch, owner, in_work = fifo
        if in_work is not None and self._locks.alive(owner):
            return Undelivered("busy")
        head = connection.execute(_HEAD, (fifo_id,)).fetchone()
        if head is None:
            return Undelivered("empty")
        item_id, payload, attempts, crashes, put_at, not_before = head
        if in_work is not None:
            crashes += 1  # its owner died with it; nobody waits out a back-off for that
        elif not_before > op.now:
            return Undelivered("waiting", not_before)
        if owner != self.process or in_work is not None:
            epoch += 1
        connection.execute(_COUNT_ATTEMPT, (crashes, item_id))
        connection.execute(_TAKE, (epoch, self.process, item_id, op.worker, op.now, fifo_id))
        return Delivery(Claim(op.fifo, item_id, epoch), payload, attempts + 1, crashes, put_at)

    def _acknowledge(self, connection: Connection, op: Acknowledge) -> None:
        self._let_go(connection, _LET_GO, op.claim)
        connection.execute(_DONE, (op.claim.item_id,))

    def _release(self, connection: Connection, op: Release) -> None:
        # The epoch rises: what a block that failed left running must not write any more.
        self._let_go(connection, _LET_GO_FENCED, op.claim)
        uncounted = 0 if op.failed else 1
        connection.execute(_HOLD_BACK, (uncounted, op.not_before, op.claim.item_id))

    def _let_go(self, connection: Connection, sql: str, claim: Claim) -> None:
        if connection.execute(sql, (claim.fifo, claim.item_id, claim.epoch)).rowcount == 0:
            raise _lost(claim)


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"item {claim.item_id} of FIFO {claim.fifo!r} is no longer ours to work on; nothing was changed"
    )
