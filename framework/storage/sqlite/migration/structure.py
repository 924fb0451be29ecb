"""The existing tables of a SQLite database: columns, indexes, rows, and the recorded rules of their fields.

The rule: names are case-insensitive, as in SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class ExistingColumn:
    """An existing column."""

    name: str
    type: str
    notnull: bool
    default: str | None
    key: bool


@dataclass(frozen=True, slots=True)
class ExistingIndex:
    """An existing index, made by its own statement."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    sql: str


class ExistingTable:
    """An existing table."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self.name = name

    @cached_property
    def columns(self) -> dict[str, ExistingColumn]:
        """The columns by their names in lower case, in order."""
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
        """The triggers, with the SQL that made them."""
        return self._master("trigger")

    def _master(self, type_: str) -> dict[str, str]:
        rows = self._connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = ? AND lower(tbl_name) = lower(?) AND sql IS NOT NULL",
            (type_, self.name),
        )
        return dict(rows.fetchall())

    @cached_property
    def rows(self) -> int:
        """The number of rows. Counting reads all of them, so a start counts only if it must."""
        return self.count()

    @cached_property
    def is_empty(self) -> bool:
        """Is the table empty?"""
        found = self._connection.execute(f"SELECT 1 FROM {quoted(self.name)} LIMIT 1")
        return found.fetchone() is None

    def count(self, where: str = "1") -> int:
        """The number of rows for which this condition holds."""
        [(number,)] = self._connection.execute(f"SELECT COUNT(*) FROM {quoted(self.name)} WHERE {where}")
        return int(number)

    def values(self, key: str, column: str) -> Iterator[tuple[Any, Any]]:
        """Every value that is not null, with the key of its row."""
        name = quoted(column)
        return iter(
            self._connection.execute(
                f"SELECT {quoted(key)}, {name} FROM {quoted(self.name)} WHERE {name} IS NOT NULL"
            )
        )

    def all_values(self, column: str | None) -> Iterator[Any]:
        """The value of each row, null if there is no such column."""
        name = "NULL" if column is None else quoted(column)
        return (value for (value,) in self._connection.execute(f"SELECT {name} FROM {quoted(self.name)}"))

    def first(self, column: str, where: str, at_most: int) -> list[Any]:
        """The values of a column in the first rows for which this condition holds."""
        rows = self._connection.execute(
            f"SELECT {quoted(column)} FROM {quoted(self.name)} WHERE {where} LIMIT ?", (at_most,)
        )
        return [value for (value,) in rows]

    def duplicates(self, column: str, at_most: int) -> list[Any]:
        """Values that several rows share."""
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
        """The table of this name, in any case."""
        return self._tables.get(name.lower())

    def of_classes(self) -> Iterator[ExistingTable]:
        """The tables of classes, and of their arrays of references."""
        for name, table in self._tables.items():
            if not name.startswith(("_framework", "sqlite_")) and (
                {"_seq", "instance"} <= table.columns.keys()
                or [*table.columns] == ["owner", "position", "target"]
            ):
                yield table

    def remembered(self) -> dict[tuple[str, str], str]:
        """The rules of each class's fields at the last check. Names are in lower case."""
        if self.table("_framework_field") is None:
            return {}
        rows = self._connection.execute("SELECT class, field, rules FROM _framework_field")
        return {(class_.lower(), field.lower()): rules for class_, field, rules in rows}


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'
