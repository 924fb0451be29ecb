"""What the rows of a table must hold, for who brings a database up to changed definitions.

It hangs on the SQLAlchemy tables and columns themselves, so that the storage need not know what a definition
is. The rule: a function here takes and gives *stored* forms, as the driver has them, and raises
``ValueError`` with the reason for a value that it does not take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

_KEY = "framework"


@dataclass(frozen=True, slots=True)
class Content:
    """What a column holds.

    ``kind`` is the type of its values, ``rules`` a text that is the same as long as the same values fit.
    ``moved`` says why values that fitted other rules mean something else now, None if they do not.
    ``alike`` are the kinds whose stored form is the same, ``convert`` gives the way from values of another kind,
    None if there is none. ``fill`` makes a value for
    a row that has none.
    """

    kind: str
    rules: str
    fits: Callable[[Any], None]
    convert: Callable[[str], Callable[[Any], Any] | None]
    alike: frozenset[str] = frozenset()
    fill: Callable[[], Any] | None = None
    moved: Callable[[str], str | None] = lambda rules: None
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a table's rows are called by, and what the table was called before."""

    key_column: str
    renamed_from: str | None = None


def describe(item: Table | Column[Any], told: Rows | Content) -> None:
    """Say what the rows of a table, or of a column, hold."""
    item.info[_KEY] = told


def content_of(column: Column[Any]) -> Content | None:
    """What was said of a column; None of one of the framework's own."""
    told = column.info.get(_KEY)
    return told if isinstance(told, Content) else None


def rows_of(table: Table) -> Rows | None:
    """What was said of a table; None of one of the framework's own."""
    told = table.info.get(_KEY)
    return told if isinstance(told, Rows) else None
