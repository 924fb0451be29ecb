"""Drives the decisions of operations on the writing connection of the SQLite engine.

All of it runs in the writer's thread, inside a transaction that the writer began and ends.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, methodcaller
from typing import Any, TypeVar

from sqlalchemy import Executable, Table

from framework.storage import age
from framework.storage.codec import Codec
from framework.storage.decisions import DECISIONS, fifos, steps, upkeep
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Answer, Decision, Step
from framework.storage.operations import OWNER, POSITION, TARGET, Claim, Executed, Operation
from framework.storage.sqlite import ages
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.sql import TEXTS

Connection = sqlite3.Connection
Function = Callable[..., Any]
T = TypeVar("T")


def _new_id(cursor: sqlite3.Cursor) -> int | None:
    return cursor.lastrowid if cursor.rowcount else None  # without a row it would be the previous id


_FETCH: Mapping[Answer, Function | None] = {
    Answer.NOTHING: None,
    Answer.ROW: methodcaller("fetchone"),
    Answer.ROWS: methodcaller("fetchall"),
    Answer.COUNT: attrgetter("rowcount"),
    Answer.NEW_ID: _new_id,
}

# How each step is answered: by a text and what is fetched from its result, or by a function without a text.
Answers = Mapping[Step, tuple[str | None, Any]]


def _by_functions(functions: Mapping[Step, Function]) -> Answers:
    return {step: (None, function) for step, function in functions.items()}


def _look(connection: Connection) -> tuple[float, float, float]:
    now = ages.keep(connection)
    return now.lived, now.first, now.wall


ANSWERS: Answers = {
    **{step: (text, _FETCH[step.answer]) for step, text in TEXTS.items()},
    **_by_functions(
        {
            steps.STEADY: lambda _: age.steady(),
            steps.NOW: lambda _: time.time(),
            steps.LIVED: ages.lived,
            steps.LOOK: _look,
        }
    ),
}
"""What any connection answers; without the rows of tables, and who is alive."""


def drive(connection: Connection, decision: Decision[T], answers: Answers = ANSWERS) -> T:
    """Run a decision to its end."""
    execute, send = connection.cursor().execute, decision.send
    answer = None
    try:
        while True:
            step, parameters = send(answer)
            text, fetch = answers[step]
            if text is None:
                answer = fetch(connection, *parameters)
            elif fetch is None:
                execute(text, parameters)
                answer = None
            else:
                answer = fetch(execute(text, parameters))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class Operations:
    """Runs the operations of one process on its writing connection."""

    def __init__(self, codec: Codec, locks: Locks) -> None:
        self.process = Process()
        alive = {steps.ALIVE: lambda _, process: locks.alive(process)}
        self._answers: Answers = {**ANSWERS, **_by_functions({**Rows(codec).functions, **alive})}

    def run(
        self, connection: Connection, operations: Sequence[Operation], fences: Sequence[Claim]
    ) -> list[Any]:
        """The answers of the operations, in order; the first error ends the unit."""
        if fences:
            self.check(connection, fences)
        process, answers = self.process, self._answers
        return [drive(connection, DECISIONS[type(op)](op, process), answers) for op in operations]

    def check(self, connection: Connection, fences: Sequence[Claim]) -> None:
        """``ClaimLost`` if one of the claims does not hold any more."""
        for claim in fences:
            drive(connection, fifos.hold(claim), self._answers)

    def register(self, connection: Connection) -> int:
        """A number for this process. Its lock is taken after the commit."""
        decision = upkeep.register(socket.gethostname(), os.getpid())
        return drive(connection, decision, self._answers)


class Rows:
    """The statements that are made of a table."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.functions: Mapping[Step, Function] = {
            steps.EXECUTE: self._execute,
            steps.INSERT_ROW: self._insert,
            steps.UPDATE_ROW: self._update,
            steps.DELETE_ROW: self._delete,
            steps.ROW_BY_KEY: self._by_key,
            steps.FIRST: self._first,
            steps.INSERT_LINKS: self._insert_links,
        }

    def _execute(self, connection: Connection, statement: Executable) -> Executed:
        query = self._codec.executable(statement)
        cursor = connection.execute(query.sql, query.bind({}))
        columns = tuple(column[0] for column in cursor.description or ())
        return Executed(columns, [query.values(row) for row in cursor.fetchall()], cursor.rowcount)

    def _insert(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> None:
        statement = self._codec.insert(table, tuple(values))
        connection.execute(statement.sql, statement.bind(values))

    def _update(
        self,
        connection: Connection,
        table: Table,
        key_column: str,
        key: Any,
        values: Mapping[str, Any],
        expected: Mapping[str, Any],
    ) -> int:
        statement = self._codec.update(table, key_column, tuple(values), tuple(expected))
        bound = {f"v_{name}": value for name, value in values.items()}
        bound.update((f"e_{name}", value) for name, value in expected.items())
        bound["key"] = key
        return connection.execute(statement.sql, statement.bind(bound)).rowcount

    def _delete(
        self, connection: Connection, table: Table, key_column: str, key: Any, expected: Mapping[str, Any]
    ) -> int:
        statement = self._codec.delete(table, key_column, tuple(expected))
        bound = {f"e_{name}": value for name, value in expected.items()}
        bound["key"] = key
        return connection.execute(statement.sql, statement.bind(bound)).rowcount

    def _by_key(
        self, connection: Connection, table: Table, key_column: str, key: Any
    ) -> Mapping[str, Any] | None:
        query = self._codec.by_key(table, key_column)
        found = connection.execute(query.sql, query.bind({"key": key})).fetchone()
        return None if found is None else query.row(found)

    def _first(
        self, connection: Connection, table: Table, wanted: str, column: str, value: Any
    ) -> tuple[Any, ...] | None:
        query = self._codec.first(table, wanted, column)
        found: tuple[Any, ...] | None = connection.execute(query.sql, query.bind({"key": value})).fetchone()
        return found

    def _insert_links(self, connection: Connection, table: Table, owner: Any, targets: Sequence[Any]) -> None:
        statement = self._codec.insert(table, (OWNER, POSITION, TARGET))
        [stored] = self._codec.stored(table, OWNER, [owner])
        rows = [
            (stored, position, target)
            for position, target in enumerate(self._codec.stored(table, TARGET, targets))
        ]
        connection.executemany(statement.sql, rows)
