"""Rows: stored, changed, deleted and required to be there; and statements as they are."""

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
    """New values for some columns of the row ``key_column = key``; ``Gone`` when there is none.

    ``Changed``, and nothing is written, when a column of ``expected`` has another value than that.
    """

    table: Table
    key_column: str
    key: Any
    values: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """The row ``key_column = key`` away; ``Gone`` when there is none, ``expected`` as in ``Update``."""

    table: Table
    key_column: str
    key: Any
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """What an owner refers to by an array, in order: all of it anew, in a table of three columns."""

    table: Table
    owner: Any
    targets: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Require:
    """A row for each of these values of a column; else a ``ValidationError`` of ``class_name.field``.

    None of these rows goes away before the unit is stored.
    """

    table: Table
    column: str
    values: Sequence[Any]
    class_name: str
    field: str


@dataclass(frozen=True, slots=True)
class Referrer:
    """Where references stand: in a column of a table, and the column that says whose they are."""

    table: Table
    owner: str
    column: str
    field: str  # Class.field, for the message


@dataclass(frozen=True, slots=True)
class Unreferred:
    """No reference to the row of this key by any of the referrers; else ``StillReferred``.

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
