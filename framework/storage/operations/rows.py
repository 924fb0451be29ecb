"""Rows: inserted, changed, deleted and required, and arbitrary statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Executable, Table

OWNER, POSITION, TARGET = "owner", "position", "target"
"""The columns of a table of links: who refers, in which place, and to whom."""


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row; ``Duplicate`` when its key or a unique value exists. Answers ``None``."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """New values for some columns of the row ``key_column = key``. Raises ``Gone`` if there is none.

    Raises ``Changed``, and writes nothing, if a column of ``expected`` has another value.
    """

    table: Table
    key_column: str
    key: Any
    values: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the row ``key_column = key``. Raises ``Gone`` if there is none. ``expected`` is as in ``Update``."""

    table: Table
    key_column: str
    key: Any
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Replace what an owner refers to by an array, in order, in a table of three columns."""

    table: Table
    owner: Any
    targets: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Require:
    """Require a row for each of these values of a column. Raises ``ValidationError`` of ``class_name.field``
    otherwise.

    None of these rows goes away before the unit is stored.
    """

    table: Table
    column: str
    values: Sequence[Any]
    class_name: str
    field: str


@dataclass(frozen=True, slots=True)
class Referrer:
    """Where references are stored: a column of a table, and the column of their owner."""

    table: Table
    owner: str
    column: str
    field: str  # Class.field, for the message


@dataclass(frozen=True, slots=True)
class Unreferred:
    """Require that no referrer refers to the row of this key. Raises ``StillReferred`` otherwise.

    Each referrer with the value that it would refer to the row by. No reference appears before the unit is stored.
    """

    table: Table
    key: Any
    referrers: Sequence[tuple[Referrer, Any]]


@dataclass(frozen=True, slots=True)
class Execute:
    """A SQLAlchemy Core statement (trusted code) as it is; answers an ``Executed``."""

    statement: Executable


@dataclass(frozen=True, slots=True)
class Executed:
    """The rows of a statement, or how many it touched."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    rowcount: int
