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

from framework.errors import (
    Changed,
    ClaimLost,
    Gone,
    RequestInProgress,
    RequestMismatch,
    StillReferred,
    ValidationError,
)
from framework.storage.codec import Codec, Statement
from framework.storage.operations import (
    OWNER,
    POSITION,
    TARGET,
    Audit,
    AuditMore,
    BeginRequest,
    BeginStop,
    Claim,
    Delete,
    EndRequest,
    Execute,
    Executed,
    Insert,
    Link,
    Operation,
    Prune,
    RecordProblem,
    Require,
    StoredResponse,
    Unreferred,
    Update,
)
from framework.storage.sqlite import ages, earlier
from framework.storage.sqlite.fifos import FifoOperations
from framework.storage.sqlite.locks import Locks

Connection = sqlite3.Connection

_REGISTER = "INSERT INTO _framework_process (host, pid, started_at, locks) VALUES (?, ?, ?, ?)"

_REQUEST = """
    SELECT fingerprint, process, status, headers, body FROM _framework_request
    WHERE account = ? AND method = ? AND path = ? AND key = ? AND (lived_at IS NULL OR lived_at >= ?)"""
_BEGIN = """
    INSERT OR REPLACE INTO _framework_request
        (account, method, path, key, fingerprint, process, created_at, lived_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_ANSWERED = """
    UPDATE _framework_request SET process = NULL, status = ?, headers = ?, body = ?
    WHERE account = ? AND method = ? AND path = ? AND key = ? AND process = ?"""
_UNMARK = """
    DELETE FROM _framework_request
    WHERE account = ? AND method = ? AND path = ? AND key = ? AND process = ?"""

_AUDIT = """
    INSERT INTO _framework_audit (at, user, host, pid, action, target, arguments, affected, lived_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_AUDIT_MORE = "UPDATE _framework_audit SET affected = coalesce(affected, 0) + ? WHERE id = ?"

# Only where something is in work: else there is nothing to remember, and no commit to wait for.
_STOPPING = """
    UPDATE _framework_process SET stopping = 1
    WHERE id = ? AND EXISTS (SELECT 1 FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL)"""
_PROBLEM = "INSERT OR REPLACE INTO _framework_problem (process, worker, problem, since) VALUES (?, ?, ?, ?)"
_NO_PROBLEM = "DELETE FROM _framework_problem WHERE process = ? AND worker = ?"

_IDLE = """
    SELECT id FROM _framework_process WHERE started_at < ? AND id NOT IN
        (SELECT owner FROM _framework_fifo WHERE item IS NOT NULL)"""
_NEWBORN = 60.0  # seconds: a process of this age may not have its lock yet


class Operations:
    """Runs the operations of one process on its writing connection."""

    def __init__(self, codec: Codec, locks: Locks) -> None:
        self._codec = codec
        self._locks = locks
        self.fifos = FifoOperations(locks)
        self._runners: dict[type, Callable[[Connection, Any], Any]] = {
            Execute: self._execute,
            Insert: self._insert,
            Update: self._update,
            Delete: self._delete,
            Link: self._link,
            Require: self._require,
            Unreferred: self._unreferred,
            **self.fifos.runners,
            BeginStop: self._begin_stop,
            RecordProblem: self._record_problem,
            Prune: self._prune,
            Audit: self._audit,
            AuditMore: self._audit_more,
            BeginRequest: self._begin_request,
            EndRequest: self._end_request,
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
            self.fifos.check(connection, claim)

    def register(self, connection: Connection) -> int:
        """A number for this process, and away with what dead ones left. Its lock is taken after the commit."""
        values = (socket.gethostname(), os.getpid(), time.time(), earlier.LOCKS)
        number = connection.execute(_REGISTER, values).lastrowid
        assert number is not None
        self._clear_dead(connection)
        return number

    def _clear_dead(self, connection: Connection) -> None:
        """Forget processes that died and have nothing in work: nobody will ask for them again."""
        for (number,) in connection.execute(_IDLE, (time.time() - _NEWBORN,)).fetchall():
            if not self._locks.alive(number):
                connection.execute("DELETE FROM _framework_process WHERE id = ?", (number,))
                connection.execute("DELETE FROM _framework_problem WHERE process = ?", (number,))

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
        statement = self._codec.update(op.table, op.key_column, tuple(op.values), tuple(op.expected))
        values = {f"v_{name}": value for name, value in op.values.items()}
        self._touch(connection, op, statement, values)

    def _delete(self, connection: Connection, op: Delete) -> None:
        self._touch(connection, op, self._codec.delete(op.table, op.key_column, tuple(op.expected)), {})

    def _touch(
        self, connection: Connection, op: Update | Delete, statement: Statement, values: dict[str, Any]
    ) -> None:
        """One row changed or deleted; ``Gone`` or ``Changed`` if it is not as it was expected."""
        values["key"] = op.key
        values.update((f"e_{name}", value) for name, value in op.expected.items())
        if connection.execute(statement.sql, statement.bind(values)).rowcount:
            return
        if op.expected:
            query = self._codec.by_key(op.table, op.key_column)
            found = connection.execute(query.sql, query.bind({"key": op.key})).fetchone()
            if found is not None:
                row = query.row(found)
                raise Changed(op.table.name, op.key, {name: row[name] for name in op.expected})
        raise Gone(op.table.name, op.key)

    # ---- references -------------------------------------------------------------------------

    def _link(self, connection: Connection, op: Link) -> None:
        old = self._codec.delete(op.table, OWNER)
        connection.execute(old.sql, old.bind({"key": op.owner}))
        if op.targets:
            new = self._codec.insert(op.table, (OWNER, POSITION, TARGET))
            [owner] = self._codec.stored(op.table, OWNER, [op.owner])
            targets = self._codec.stored(op.table, TARGET, op.targets)
            rows = [(owner, position, target) for position, target in enumerate(targets)]
            connection.executemany(new.sql, rows)

    def _require(self, connection: Connection, op: Require) -> None:
        query = self._codec.first(op.table, op.column, op.column)
        for value in op.values:
            if connection.execute(query.sql, query.bind({"key": value})).fetchone() is None:
                message = f"there is no {op.table.name} {value!r} to refer to"
                raise ValidationError(op.class_name, op.field, value, "reference", message)

    def _unreferred(self, connection: Connection, op: Unreferred) -> None:
        for referrer, value in op.referrers:
            query = self._codec.first(referrer.table, referrer.owner, referrer.column)
            found = connection.execute(query.sql, query.bind({"key": value})).fetchone()
            if found is not None:
                raise StillReferred(op.table.name, op.key, referrer.field, found[0])

    # ---- workers ----------------------------------------------------------------------------

    def _begin_stop(self, connection: Connection, op: BeginStop) -> None:
        connection.execute(_STOPPING, (self.fifos.process, self.fifos.process))

    def _record_problem(self, connection: Connection, op: RecordProblem) -> None:
        if op.problem is None:
            connection.execute(_NO_PROBLEM, (self.fifos.process, op.worker))
        else:
            connection.execute(_PROBLEM, (self.fifos.process, op.worker, op.problem, op.at))

    # ---- what grows for ever ----------------------------------------------------------------

    def _prune(self, connection: Connection, op: Prune) -> int:
        return ages.prune(connection, op)

    def _audit(self, connection: Connection, op: Audit) -> int:
        return record_audit(connection, op)

    def _audit_more(self, connection: Connection, op: AuditMore) -> None:
        connection.execute(_AUDIT_MORE, (op.affected, op.number))

    # ---- requests that may come twice -------------------------------------------------------

    def _begin_request(self, connection: Connection, op: BeginRequest) -> StoredResponse | None:
        request, lived = op.request, ages.lived(connection)
        same = (request.account, request.method, request.path, request.key)
        found = connection.execute(_REQUEST, (*same, lived - op.kept)).fetchone()
        if found is not None:
            fingerprint, process, status, headers, body = found
            if fingerprint != op.fingerprint:
                raise RequestMismatch(RequestMismatch.__doc__)
            if process is None:
                return StoredResponse(status, headers, body)
            if process != self.fifos.process and self._locks.alive(process):
                raise RequestInProgress(RequestInProgress.__doc__)
        connection.execute(_BEGIN, (*same, op.fingerprint, self.fifos.process, op.now, lived))
        return None

    def _end_request(self, connection: Connection, op: EndRequest) -> None:
        request, response = op.request, op.response
        same = (request.account, request.method, request.path, request.key, self.fifos.process)
        if response is None:
            connection.execute(_UNMARK, same)
            return
        values = (response.status, response.headers, response.body, *same)
        if connection.execute(_ANSWERED, values).rowcount == 0:
            raise ClaimLost("the request is no longer ours to answer; nothing was changed")


def record_audit(connection: Connection, op: Audit) -> int:
    """A line in the record of what operators did, in the caller's transaction; its number."""
    values = (op.at, op.user, op.host, op.pid, op.action, op.target, op.arguments, op.affected)
    return connection.execute(_AUDIT, (*values, ages.lived(connection))).lastrowid or 0
