"""Applies a plan to a SQLite database, inside the transaction of the caller.

SQLite can hardly alter a table. So a changed table is created under another name, its rows are copied in order, and
the old table is dropped (https://www.sqlite.org/lang_altertable.html#otheralter). The rule: only the caller commits
or rolls back, so that a plan is applied completely or not at all.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Column, Dialect, MetaData, Text, text
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from framework import __version__
from framework.storage.changes import Applied
from framework.storage.content import rows_of
from framework.storage.sqlite.migration.plan import SqlitePlan, TablePlan, to_json
from framework.storage.sqlite.migration.structure import ExistingColumn, quoted
from framework.storage.tables import Declared

_NEW = "_framework_new"

_LEARN = """
    INSERT INTO _framework_field (class, field, rules) VALUES (?, ?, ?)
    ON CONFLICT (class, field) DO UPDATE SET rules = excluded.rules"""
_FORGET = "DELETE FROM _framework_field WHERE lower(class) = ? AND lower(field) = ?"
_RECORD = """
    INSERT INTO _framework_migration (at, version, cause, changes, statements, copy)
    VALUES (?, ?, ?, ?, ?, ?)"""
_HISTORY = "SELECT id, at, version, cause, changes, statements, copy FROM _framework_migration ORDER BY id"


class Applying:
    """The application of one plan. ``statements`` lists the SQL as it is run."""

    def __init__(self, connection: sqlite3.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._failure: BaseException | None = None
        self._functions = 0
        self.statements: list[str] = []

    def apply(self, plan: SqlitePlan, *, cause: str, copy: str | None = None) -> None:
        """Make every change, and record it. An error of SQLite leaves the transaction to the caller."""
        for existing in plan.dropped:  # before an index takes the name
            self._run(f"DROP TABLE {quoted(existing.name)}")
        for table in plan.tables:
            self._table(table)
        for class_, field in plan.forgotten:
            self._connection.execute(_FORGET, (class_, field))
        self._connection.executemany(_LEARN, plan.learned)
        if self.statements and any(rows_of(table.table) is not None for table in plan.tables):
            made = json.dumps([to_json(change) for change in plan.made], ensure_ascii=False)
            statements = json.dumps(self.statements, ensure_ascii=False)
            values = (time.time(), __version__, cause, made, statements, copy)
            self._connection.execute(_RECORD, values)

    def _table(self, plan: TablePlan) -> None:
        if plan.source is None:
            self._run(str(CreateTable(plan.table).compile(dialect=self._dialect)).strip())
        elif plan.rebuild:
            self._rebuild(plan)
        else:
            for index in plan.drop_indexes:
                self._run(f"DROP INDEX {quoted(index.name)}")
            for carried in plan.carried:
                if carried.source is None:
                    column = CreateColumn(carried.column).compile(dialect=self._dialect)
                    self._run(f"ALTER TABLE {quoted(plan.table.name)} ADD COLUMN {column}")
        for index_ in plan.add_indexes:
            self._run(str(CreateIndex(index_).compile(dialect=self._dialect)))

    def _rebuild(self, plan: TablePlan) -> None:
        assert plan.source is not None
        source, name = plan.source, plan.table.name
        by_hand = [
            index.sql
            for key, index in source.indexes.items()
            if not key.startswith((f"{source.name.lower()}.", "_framework"))
        ]
        by_hand += source.triggers.values()
        table = plan.table.to_metadata(MetaData(), name=_NEW)
        for column in plan.kept:
            table.append_column(_kept(column))
        self._run(str(CreateTable(table).compile(dialect=self._dialect)).strip())
        [counter] = self._connection.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"
        ).fetchone()
        self._copy(plan)
        if counter:
            self._connection.execute(
                "UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = ?) "
                "WHERE name = ? AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                (source.name, _NEW, source.name),
            )
        for old in (plan.empty, source):
            if old is not None:
                self._run(f"DROP TABLE {quoted(old.name)}")
        # References to the old table by name now refer to the new one.
        self._connection.execute("PRAGMA legacy_alter_table = ON")
        try:
            self._run(f"ALTER TABLE {quoted(_NEW)} RENAME TO {quoted(name)}")
        finally:
            self._connection.execute("PRAGMA legacy_alter_table = OFF")
        for statement in by_hand:
            self._run(statement)

    def _copy(self, plan: TablePlan) -> None:
        """Copy the rows, in order. Converted values pass through a function of ours."""
        assert plan.source is not None
        names, values, functions = [], [], []
        for carried in plan.carried:
            source = carried.source
            if source is None and carried.fill is None:
                continue  # the column's own default
            expression = "NULL" if source is None else quoted(source.name)
            if not carried.is_same:
                function = self._function(carried.carry)
                functions.append(function)
                expression = f"{function}({expression})"
            names.append(quoted(carried.column.name))
            values.append(expression)
        for kept in plan.kept:
            names.append(quoted(kept.name))
            values.append(quoted(kept.name))
        order = ", ".join(quoted(column.name) for column in plan.source.columns.values() if column.key)
        try:
            self._run(
                f"INSERT INTO {quoted(_NEW)} ({', '.join(names)}) SELECT {', '.join(values)} "
                f"FROM {quoted(plan.source.name)}" + (f" ORDER BY {order}" if order else "")
            )
        except sqlite3.OperationalError:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure from None
            raise
        finally:
            for function in functions:
                self._connection.create_function(function, 1, None)

    def _function(self, carry: Callable[[Any], Any]) -> str:
        self._functions += 1
        name = f"_framework_convert_{self._functions}"

        def converted(stored: Any) -> Any:
            try:
                return carry(stored)
            except BaseException as error:  # SQLite would only report that there was an error
                self._failure = error
                raise

        self._connection.create_function(name, 1, converted)
        return name

    def _run(self, statement: str) -> None:
        self.statements.append(statement)
        self._connection.execute(statement)


def _kept(column: ExistingColumn) -> Column[Any]:
    default = None if column.default is None else text(column.default.replace(":", "\\:"))
    required = column.notnull and column.default is not None
    return Column(column.name, Declared(Text(), column.type), nullable=not required, server_default=default)


def history(connection: sqlite3.Connection) -> Iterator[Applied]:
    """All changes of the classes' tables, oldest first."""
    for id_, at, version, cause, changes, statements, copy in connection.execute(_HISTORY):
        yield Applied(id_, at, version, cause, json.loads(changes), json.loads(statements), copy)
