"""Gatherings on a SQLite connection: each question is one statement, or one for each 32,766 values."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import islice
from typing import Any, TypeVar

from framework.storage.codec import Codec
from framework.storage.gathering import Chosen, Gathering, Question, Row, drive

T = TypeVar("T")

# SQLite takes this many parameters in a statement (SQLITE_MAX_VARIABLE_NUMBER).
MOST = 32_766

# A statement is compiled for these numbers of values only. The last value is repeated up to the next of them.
_SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384, MOST)


def in_snapshot(connection: sqlite3.Connection, codec: Codec, gathering: Gathering[T]) -> T:
    """Run a gathering in its own read transaction."""
    connection.execute("BEGIN")
    try:
        return in_transaction(connection, codec, gathering)
    finally:
        connection.execute("ROLLBACK")


def in_transaction(connection: sqlite3.Connection, codec: Codec, gathering: Gathering[T]) -> T:
    """Run a gathering in the current transaction."""

    def ask(question: Question) -> list[Row]:
        if isinstance(question, Chosen):
            query = codec.query(question.statement)
            fetched = connection.execute(query.sql, query.bind(question.parameters))
            return [query.row(row) for row in fetched]
        rows: list[Row] = []
        values = iter(codec.stored(question.table, question.column, question.values))
        while chunk := list(islice(values, MOST)):
            query = codec.matching(question.table, question.column, _size(len(chunk)))
            rows += [query.row(row) for row in connection.execute(query.sql, padded(chunk))]
        return rows

    return drive(gathering, ask)


def padded(values: Sequence[Any]) -> list[Any]:
    """The values, with the last one repeated up to the number of parameters."""
    return [*values, *[values[-1]] * (_size(len(values)) - len(values))]


def _size(count: int) -> int:
    return next(size for size in _SIZES if size >= count)
