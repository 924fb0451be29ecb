"""What the rows of a table must hold, for migrations to changed definitions.

It is attached to the SQLAlchemy tables and columns, so that the storage need not know definitions. The rule: a
function here takes and returns *stored* forms, as the driver has them. It raises ``ValueError`` with the reason for a
value that it does not accept.
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

    ``kind`` is the type of its values. ``rules`` is a text that stays the same as long as the same values are valid.
    ``moved`` says why values that were valid under other rules mean something else now, or None. ``alike`` are the
    kinds with the same stored form. ``convert`` returns the conversion from another kind, or None. ``fill`` makes a
    value for a row without one.
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
    """The key column of a table's rows, and the former name of the table."""

    key_column: str
    renamed_from: str | None = None


def describe(item: Table | Column[Any], told: Rows | Content) -> None:
    """Attach what the rows of a table, or a column, hold."""
    item.info[_KEY] = told


def content_of(column: Column[Any]) -> Content | None:
    """What is attached to a column, or None for the framework's own."""
    told = column.info.get(_KEY)
    return told if isinstance(told, Content) else None


def rows_of(table: Table) -> Rows | None:
    """What is attached to a table, or None for the framework's own."""
    told = table.info.get(_KEY)
    return told if isinstance(told, Rows) else None
