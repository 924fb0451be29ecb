"""Tables of a SQLite database, made and added to; never altered, never dropped.

What is missing is made; a new column is added where old rows have a value for it (null or a constant
default). Every other difference stops the start with all differences named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Column, Dialect, Index, Table
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from framework.errors import CannotOpen


def ensure(connection: sqlite3.Connection, dialect: Dialect, tables: Sequence[Table]) -> None:
    """Bring the database up to ``tables``, inside the caller's transaction.

    Raises ``CannotOpen`` that lists every difference which could lose data; then nothing was changed.
    """
    statements: list[str] = []
    differences: list[str] = []
    for table in tables:
        existing = _columns(connection, table.name)
        if existing:
            differences += _differences(dialect, table, existing)
            statements += _additions(dialect, table, existing)
        else:
            statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += _indexes(connection, dialect, table.indexes)
    if differences:
        listed = "\n".join(f"  {difference}" for difference in differences)
        raise CannotOpen(
            f"the tables do not fit the definitions, and changing them by itself could lose data:\n{listed}\n"
            "Restore the definition, or move the data to a new database."
        )
    for statement in statements:
        connection.execute(statement)


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


def _additions(dialect: Dialect, table: Table, existing: Iterable[str]) -> Iterator[str]:
    for column in table.columns:
        if column.name not in existing:
            yield f"ALTER TABLE {_quoted(dialect, table.name)} ADD COLUMN {_definition(dialect, column)}"


def _definition(dialect: Dialect, column: Column[object]) -> str:
    return str(CreateColumn(column).compile(dialect=dialect))


def _indexes(connection: sqlite3.Connection, dialect: Dialect, indexes: Iterable[Index]) -> Iterator[str]:
    for index in sorted(indexes, key=lambda index: str(index.name)):
        known = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (index.name,)
        )
        if not known.fetchone():
            yield str(CreateIndex(index).compile(dialect=dialect))


def _quoted(dialect: Dialect, name: str) -> str:
    return dialect.identifier_preparer.quote(name)
