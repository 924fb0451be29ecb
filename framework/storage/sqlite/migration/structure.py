"""The tables of a SQLite database as they are: columns, indexes, rows, and what was remembered of them.

The rule: names are looked up as SQLite does it, whatever their case.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class ExistingColumn:
    """A column that is there."""

    name: str
    type: str
    notnull: bool
    default: str | None
    key: bool


@dataclass(frozen=True, slots=True)
class ExistingIndex:
    """An index that is there, made by a statement of its own."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    sql: str


class ExistingTable:
    """A table that is there."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self.name = name

    @cached_property
    def columns(self) -> dict[str, ExistingColumn]:
        """The columns by their names in lower case, in their order."""
        rows = self._connection.execute(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (self.name,)
        )
        return {
            name.lower(): ExistingColumn(name, type_.upper(), bool(notnull), default, bool(key))
            for name, type_, notnull, default, key in rows
        }

    @cached_property
    def indexes(self) -> dict[str, ExistingIndex]:
        """The indexes by their names in lower case, without those that belong to the table itself."""
        return {name.lower(): index for name, index in self._indexes()}

    def _indexes(self) -> Iterator[tuple[str, ExistingIndex]]:
        made = self._master("index")
        listed = self._connection.execute('SELECT name, "unique" FROM pragma_index_list(?)', (self.name,))
        for name, unique in listed.fetchall():
            if name not in made:
                continue
            columns = self._connection.execute(
                "SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,)
            )
            parts = tuple(str(column).lower() for (column,) in columns)
            partial = " where " in made[name].lower()
            yield name, ExistingIndex(name, () if partial else parts, bool(unique), made[name])

    @cached_property
    def triggers(self) -> dict[str, str]:
        """The triggers and how they were made."""
        return self._master("trigger")

    def _master(self, type_: str) -> dict[str, str]:
        rows = self._connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = ? AND lower(tbl_name) = lower(?) AND sql IS NOT NULL",
            (type_, self.name),
        )
        return dict(rows.fetchall())

    @cached_property
    def rows(self) -> int:
        """How many rows there are. All of them are read for it: a start asks only where it must."""
        return self.count()

    @cached_property
    def is_empty(self) -> bool:
        """Is there no row?"""
        found = self._connection.execute(f"SELECT 1 FROM {quoted(self.name)} LIMIT 1")
        return found.fetchone() is None

    def count(self, where: str = "1") -> int:
        """How many rows there are of which this holds."""
        [(number,)] = self._connection.execute(f"SELECT COUNT(*) FROM {quoted(self.name)} WHERE {where}")
        return int(number)

    def values(self, key: str, column: str) -> Iterator[tuple[Any, Any]]:
        """Every value that is not null, with what its row is called by."""
        name = quoted(column)
        return iter(
            self._connection.execute(
                f"SELECT {quoted(key)}, {name} FROM {quoted(self.name)} WHERE {name} IS NOT NULL"
            )
        )

    def all_values(self, column: str | None) -> Iterator[Any]:
        """The value of each row; null where there is no such column."""
        name = "NULL" if column is None else quoted(column)
        return (value for (value,) in self._connection.execute(f"SELECT {name} FROM {quoted(self.name)}"))

    def first(self, column: str, where: str, at_most: int) -> list[Any]:
        """The values of a column in the first rows of which this holds."""
        rows = self._connection.execute(
            f"SELECT {quoted(column)} FROM {quoted(self.name)} WHERE {where} LIMIT ?", (at_most,)
        )
        return [value for (value,) in rows]

    def duplicates(self, column: str, at_most: int) -> list[Any]:
        """Values that stand in several rows."""
        name = quoted(column)
        rows = self._connection.execute(
            f"SELECT {name} FROM {quoted(self.name)} WHERE {name} IS NOT NULL "
            f"GROUP BY {name} HAVING COUNT(*) > 1 LIMIT ?",
            (at_most,),
        )
        return [value for (value,) in rows]


class Structure:
    """The whole database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        self._tables = {name.lower(): ExistingTable(connection, name) for (name,) in listed.fetchall()}

    def table(self, name: str) -> ExistingTable | None:
        """The table of this name, in whatever case."""
        return self._tables.get(name.lower())

    def of_classes(self) -> Iterator[ExistingTable]:
        """The tables that were made for a class, or for an array of references of one."""
        for name, table in self._tables.items():
            if not name.startswith(("_framework", "sqlite_")) and (
                {"_seq", "instance"} <= table.columns.keys()
                or [*table.columns] == ["owner", "position", "target"]
            ):
                yield table

    def remembered(self) -> dict[tuple[str, str], str]:
        """The rules of each class's fields when they were last looked at; names in lower case."""
        if self.table("_framework_field") is None:
            return {}
        rows = self._connection.execute("SELECT class, field, rules FROM _framework_field")
        return {(class_.lower(), field.lower()): rules for class_, field, rules in rows}


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'
