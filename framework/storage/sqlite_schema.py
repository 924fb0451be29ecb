"""Tables of a SQLite database, made and added to; never altered, never dropped.

What is missing is made; a new column is added where old rows have a value for it (null or a constant
default). Every other difference stops the start with all differences named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, Dialect, Index, Table
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from framework.errors import CannotOpen


@dataclass(slots=True)
class Plan:
    """What a start would add, in words and as statements, and the differences that would stop it."""

    additions: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def ensure(connection: sqlite3.Connection, dialect: Dialect, tables: Sequence[Table]) -> None:
    """Bring the database up to ``tables``, inside the caller's transaction.

    Raises ``CannotOpen`` that lists every difference which could lose data; then nothing was changed.
    """
    found = plan(connection, dialect, tables)
    if found.differences:
        listed = "\n".join(f"  {difference}" for difference in found.differences)
        raise CannotOpen(
            f"the tables do not fit the definitions, and changing them by itself could lose data:\n{listed}\n"
            "Restore the definition, or move the data to a new database."
        )
    for statement in found.statements:
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError as error:  # a unique index over rows that are not
            raise CannotOpen(
                f"the tables do not fit the definitions: {error}. Rows with the same value are there already; "
                "make them differ, or take `field_unique` away."
            ) from None


def plan(connection: sqlite3.Connection, dialect: Dialect, tables: Sequence[Table]) -> Plan:
    """Compare the database with ``tables``; changes nothing."""
    found = Plan()
    for table in tables:
        existing = _columns(connection, table.name)
        if existing:
            found.differences += _differences(dialect, table, existing)
            added = [column for column in table.columns if column.name not in existing]
            found.additions += [f"column {table.name}.{column.name}" for column in added]
            found.statements += [_addition(dialect, table, column) for column in added]
        else:
            found.additions.append(f"table {table.name}")
            found.statements.append(str(CreateTable(table).compile(dialect=dialect)))
        found.statements += _indexes(connection, dialect, table.indexes)
    return found


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool]]:
    """Each column's type and whether it refuses null; empty when there is no such table."""
    rows = connection.execute('SELECT name, type, "notnull" FROM pragma_table_info(?)', (table,))
    return {name: (type_.upper(), bool(notnull)) for name, type_, notnull in rows}


def _differences(dialect: Dialect, table: Table, existing: dict[str, tuple[str, bool]]) -> Iterator[str]:
    for column in table.columns:
        where = f"{table.name}.{column.name}"
        if column.name not in existing:
            if not column.nullable and column.server_default is None:
                yield f"{where}: new, not nullable and without a constant default for the rows there are"
            continue
        type_, notnull = existing[column.name]
        wanted = str(column.type.compile(dialect=dialect)).upper()
        if type_ != wanted:
            yield f"{where}: is {type_}, the definition asks for {wanted}"
        if notnull == bool(column.nullable) and not column.primary_key:
            yield f"{where}: is {'not ' if notnull else ''}nullable, the definition says otherwise"
    for name in existing:
        if name not in table.columns and existing[name][1]:
            yield f"{table.name}.{name}: is no longer defined, but new rows need a value for it"


def _addition(dialect: Dialect, table: Table, column: Column[object]) -> str:
    definition = CreateColumn(column).compile(dialect=dialect)
    return f"ALTER TABLE {_quoted(dialect, table.name)} ADD COLUMN {definition}"


def _indexes(connection: sqlite3.Connection, dialect: Dialect, indexes: Iterable[Index]) -> Iterator[str]:
    for index in sorted(indexes, key=lambda index: str(index.name)):
        known = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (index.name,)
        )
        if not known.fetchone():
            yield str(CreateIndex(index).compile(dialect=dialect))


def _quoted(dialect: Dialect, name: str) -> str:
    return dialect.identifier_preparer.quote(name)
