"""SQLite connections that report their statements. Ordinary connections do not pay for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from framework.storage.statements import Statements

Connecting = type[sqlite3.Connection]


def connecting(statements: Statements | None) -> Connecting:
    """The class of connection to open."""
    if statements is None:
        return sqlite3.Connection
    reported = statements

    class Cursor(_Cursor):
        statements = reported

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, parameters: Any = (), /) -> Any:
            return self.cursor().execute(sql, parameters)

    return Connection


class _Cursor(sqlite3.Cursor):
    """Reports a statement once its rows are fetched, or at once if it returns none."""

    statements: Statements
    _sent: tuple[str, Any] = ("", ())
    _took = 0.0

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self._sent, self._took = (sql, parameters), 0.0
        with self._timed():
            super().execute(sql, parameters)
        if self.description is None:
            self._report()
        return self

    def fetchall(self) -> list[Any]:
        with self._timed():
            rows = super().fetchall()
        self._report()
        return rows

    def fetchone(self) -> Any:
        with self._timed():
            row = super().fetchone()
        self._report()
        return row

    def __iter__(self) -> Any:
        return iter(self.fetchall())

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except sqlite3.Error:
            self._took += time.perf_counter() - began
            self._report()
            raise
        self._took += time.perf_counter() - began

    def _report(self) -> None:
        report: Callable[..., None] | None = self.statements.report
        sent, self._sent = self._sent, ("", ())
        if report is not None and sent[0]:
            report(sent[0], sent[1], self._took)
