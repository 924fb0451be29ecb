"""Compares a SQLite database with the wanted tables, and plans the changes.

Nothing is changed here. The rule: a plan is made in the transaction in which it is applied, so that no row can change
in between.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Dialect, Index, Table

from framework.storage.changes import Change, Plan
from framework.storage.content import content_of, rows_of
from framework.storage.sqlite.migration.columns import Carried, Columns
from framework.storage.sqlite.migration.structure import (
    ExistingColumn,
    ExistingIndex,
    ExistingTable,
    Structure,
    quoted,
)

_TOLD = 3


@dataclass(slots=True)
class TablePlan:
    """The plan for one table. ``source`` is the existing table, and ``rebuild`` says that it is recreated."""

    table: Table
    source: ExistingTable | None
    rebuild: bool = False
    carried: list[Carried] = field(default_factory=list)
    kept: list[ExistingColumn] = field(default_factory=list)
    empty: ExistingTable | None = None  # an existing empty table with its new name
    add_indexes: list[Index] = field(default_factory=list)
    drop_indexes: list[ExistingIndex] = field(default_factory=list)


@dataclass(slots=True)
class SqlitePlan(Plan):
    """A plan, with everything needed to apply it."""

    tables: list[TablePlan] = field(default_factory=list)
    dropped: list[ExistingTable] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(
        default_factory=list
    )  # fields of which nothing is remembered more
    learned: list[tuple[str, str, str]] = field(default_factory=list)  # class, field, rules


def plan(
    connection: sqlite3.Connection,
    dialect: Dialect,
    tables: Sequence[Table],
    *,
    drop: frozenset[str] = frozenset(),
    whole: bool = False,
) -> SqlitePlan:
    """Compare the database with ``tables``.

    ``drop`` names undefined tables and columns to drop. With ``whole`` these are all wanted tables, and those of
    other classes are reported.
    """
    return _Planner(connection, dialect, drop, whole=whole).plan(tables)


class _Planner:
    def __init__(
        self, connection: sqlite3.Connection, dialect: Dialect, drop: frozenset[str], *, whole: bool
    ) -> None:
        self._whole = whole
        self._structure = Structure(connection)
        self._remembered = self._structure.remembered()
        self._dialect = dialect
        self._drop = drop
        self._plan = SqlitePlan()

    def plan(self, tables: Sequence[Table]) -> SqlitePlan:
        sources: set[str] = set()
        for table in tables:
            found = self._table(table)
            sources |= {one.name.lower() for one in (found.source, found.empty) if one is not None}
            self._remember(found)
            self._plan.tables.append(found)
        if self._whole:
            for existing in self._structure.of_classes():
                if existing.name.lower() not in sources and existing not in self._plan.dropped:
                    self._left(existing)
        return self._plan

    def _table(self, table: Table) -> TablePlan:
        source, empty = self._source(table)
        found = TablePlan(table, source, empty=empty)
        if source is None:
            self._of_column(table)
            self._tell("+", f"table {table.name}", "new", by_itself=True)
            found.add_indexes = sorted(table.indexes, key=_name)
            return found
        columns = Columns(table, source, self._dialect, self._remembered)
        if source.name != table.name:
            columns.rebuild = True
            self._tell(
                "~", f"table {table.name}", f"renamed from {source.name}, {_rows(source.rows)}", source.rows
            )
        columns.compare(self._drop, whole=self._whole)
        self._plan.changes += columns.changes
        for carried in columns.carried:
            self._of_table(f"{table.name}.{carried.column.name}")
        found.rebuild, found.carried, found.kept = columns.rebuild, columns.carried, columns.kept
        self._plan.forgotten += [(source.name.lower(), column.name.lower()) for column in columns.dropped]
        self._indexes(found, source)
        self._others(found, source, columns)
        return found

    def _of_column(self, table: Table) -> None:
        """Report a field that was a value or a single reference, and is now an array of references."""
        owner, _, field_ = table.name.partition(".")
        there = self._structure.table(owner) if field_ else None
        if there is None or field_.lower() not in there.columns or table.name in self._drop:
            return
        filled = there.count(f"{quoted(field_)} IS NOT NULL")
        if filled:
            text = f"is to be a table of references, and is a column with values in {_rows(filled)}: "
            self._tell("!", f"column {table.name}", f"{text}give the array another name", filled)

    def _of_table(self, name: str) -> None:
        """Report a field that was an array of references, and is now a value or a single reference.

        An empty table of references is dropped, because an index needs its name.
        """
        there = self._structure.table(name)
        if there is None or there.name in self._drop:
            return  # tables to drop are reported at the end
        if there.is_empty:
            self._plan.dropped.append(there)
            self._tell("-", f"table {there.name}", "no longer defined and empty: dropped", by_itself=True)
        else:
            text = f"is to be a column, and is a table of references with {_rows(there.rows)}: "
            self._tell("!", f"column {name}", f"{text}give the field another name", there.rows)

    def _source(self, table: Table) -> tuple[ExistingTable | None, ExistingTable | None]:
        """The table that now has the rows, and an empty one that blocks its name."""
        there = self._structure.table(table.name)
        rows = rows_of(table)
        before = self._structure.table(rows.renamed_from) if rows and rows.renamed_from else None
        if before is None or before is there:
            return there, None
        if there is None or there.is_empty:
            return before, there
        text = (
            f"is to be renamed from {before.name}, and both have rows ({there.rows:,} and {before.rows:,}): "
        )
        self._tell(
            "!", f"table {table.name}", f"{text}take `renamed_from` away, or empty one of them", there.rows
        )
        return there, before  # which is reported once

    # ---- indexes ----------------------------------------------------------------------------

    def _indexes(self, found: TablePlan, source: ExistingTable) -> None:
        wanted = {_name(index).lower(): index for index in found.table.indexes}
        own = {
            name: index
            for name, index in source.indexes.items()
            if name.startswith((f"{source.name.lower()}.", "_framework"))
        }
        for name, index in sorted(wanted.items()):
            there = own.get(name)
            columns = tuple(column.name.lower() for column in index.columns)
            if there is not None and (there.columns, there.unique) == (columns, bool(index.unique)):
                if not self._stays_unique(found, index, changed=False):
                    continue
                found.add_indexes += [index] if found.rebuild else []
                continue
            if not self._stays_unique(found, index, changed=True):
                continue
            if source.name == found.table.name:
                text = "new, unique" if index.unique else "new"
                if there is not None:
                    found.drop_indexes.append(there)
                    text = "unique from now on" if index.unique else "another from now on"
                self._tell("+", f"index {index.name}", text, by_itself=True)
            found.add_indexes.append(index)
        if source.name == found.table.name:
            for name, index_ in own.items():
                if name not in wanted:
                    found.drop_indexes.append(index_)
                    self._tell("-", f"index {index_.name}", "no longer defined: dropped", by_itself=True)

    def _stays_unique(self, found: TablePlan, index: Index, *, changed: bool) -> bool:
        """Can the index be made? Duplicate values are reported."""
        if not index.unique or found.source is None or len(index.columns) != 1:
            return True
        [column] = index.columns
        carried = next(one for one in found.carried if one.column.name == column.name)
        if carried.is_same and not changed:
            return True
        values = self._duplicates(carried, found.source)
        if not values:
            return True
        shown = ", ".join(_shown(value) for value in values[:_TOLD])
        more = ", …" if len(values) > _TOLD else ""
        text = f"is to be unique, and several rows have the same value: {shown}{more}. Make them differ"
        self._tell("!", f"column {found.table.name}.{column.name}", text, found.source.rows)
        return False

    def _duplicates(self, carried: Carried, source: ExistingTable) -> list[object]:
        if carried.is_same:
            assert carried.source is not None
            return source.duplicates(carried.source.name, _TOLD + 1)
        if carried.source is None and carried.fill is None:
            default = carried.column.server_default
            several = default is not None and source.rows > 1
            return [str(default.arg)] if several else []  # type: ignore[union-attr]
        if self._plan.refused:
            return []  # its values cannot be converted anyway
        seen: set[object] = set()
        twice: dict[object, None] = {}
        for stored in source.all_values(carried.source.name if carried.source else None):
            value = carried.carry(stored)
            if value is None:
                continue
            if value in seen:
                twice[value] = None
            seen.add(value)
        return [*twice]

    # ---- what is not ours, and what is no longer ours ---------------------------------------

    def _others(self, found: TablePlan, source: ExistingTable, columns: Columns) -> None:
        """Indexes and triggers that were made by hand are kept if possible."""
        if not found.rebuild:
            return
        gone = {column.name.lower() for column in columns.dropped}
        gone |= {
            one.source.name.lower()
            for one in found.carried
            if one.source is not None and one.source.name != one.column.name
        }
        for name, index in source.indexes.items():
            ours = name.startswith((f"{source.name.lower()}.", "_framework"))
            if not ours and (
                gone & set(index.columns) or not index.columns or source.name != found.table.name
            ):
                text = "was made by hand, and its table is made anew: drop it first, and make it again afterwards"
                self._tell("!", f"index {index.name}", text)
        if source.triggers and (gone or source.name != found.table.name):
            for name in source.triggers:
                text = "was made by hand, and its table is made anew: drop it first, and make it again afterwards"
                self._tell("!", f"trigger {name}", text)

    def _left(self, existing: ExistingTable) -> None:
        what = f"table {existing.name}"
        if existing.name in self._drop:
            self._plan.dropped.append(existing)
            self._plan.forgotten += [(existing.name.lower(), column) for column in existing.columns]
            self._tell("-", what, f"dropped, with {_rows(existing.rows)}", existing.rows)
        else:
            text = f"no longer defined; kept, with {_rows(existing.rows)}"
            self._plan.changes.append(Change("-", what, text, existing.rows, kept=True))

    def _remember(self, found: TablePlan) -> None:
        """Record the rules that the rows match from now on."""
        source = found.source.name.lower() if found.source is not None else None
        for column in found.table.columns:
            content = content_of(column)
            if content is None:
                continue
            if self._remembered.get((found.table.name.lower(), column.name.lower())) != content.rules:
                self._plan.learned.append((found.table.name, column.name, content.rules))
        for carried in found.carried:
            if carried.source is not None and carried.source.name.lower() != carried.column.name.lower():
                self._plan.forgotten.append((source or "", carried.source.name.lower()))
        if source is not None and source != found.table.name.lower():
            self._plan.forgotten += [key for key in self._remembered if key[0] == source]
            for kept in found.kept:
                rules = self._remembered.get((source, kept.name.lower()))
                if rules is not None:
                    self._plan.learned.append((found.table.name, kept.name, rules))

    def _tell(self, sign: str, what: str, text: str, rows: int = 0, *, by_itself: bool = False) -> None:
        self._plan.changes.append(Change(sign, what, text, rows, by_itself))  # type: ignore[arg-type]


def undefined(changes: Iterable[Change]) -> list[str]:
    """The names that can be given to drop something."""
    return [
        change.what.partition(" ")[2] for change in changes if change.sign == "-" and not change.by_itself
    ]


def to_json(change: Change) -> dict[str, object]:
    """The JSON form of a change, for the record and for programs."""
    return {"sign": change.sign, "what": change.what, "text": change.text, "rows": change.rows}


def _name(index: Index) -> str:
    return str(index.name)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
