"""The plan for each column of an existing table, and for its values.

The rule: every row is checked before a change is planned, and a value is never lost. A change of a value's meaning is
refused, with the rows that prevent it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Dialect, Table

from framework.storage.changes import Change
from framework.storage.content import Content, content_of, rows_of
from framework.storage.sqlite.migration.structure import ExistingColumn, ExistingTable, quoted

_TOLD = 3  # how many of the rows that prevent a change are named

_KINDS = {
    "TEXT": "string",
    "BIGINT": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "VARCHAR": "DateTime",
}
"""The kind of values in a column of which nothing is remembered."""


@dataclass(slots=True)
class Carried:
    """A wanted column: the source of its values, and their conversion."""

    column: Column[Any]
    source: ExistingColumn | None = None
    convert: Callable[[Any], Any] | None = None
    fill: Callable[[], Any] | None = None

    def carry(self, stored: Any) -> Any:
        """The new value for an old one."""
        if stored is not None and self.convert is not None:
            stored = self.convert(stored)
        return self.fill() if stored is None and self.fill is not None else stored

    @property
    def is_same(self) -> bool:
        """Do the values stay the same?"""
        return self.source is not None and self.convert is None and self.fill is None


class Columns:
    """Compares the columns of one table with the wanted ones. ``changes`` lists the differences.

    ``rebuild`` says that the table must be recreated.
    """

    def __init__(
        self, table: Table, source: ExistingTable, dialect: Dialect, remembered: dict[tuple[str, str], str]
    ) -> None:
        self._table = table
        self._source = source
        self._dialect = dialect
        self._remembered = remembered
        # Without rows there is nothing to lose. The framework's own tables need no guesses.
        self._is_free = not table.name.startswith("_framework") and source.is_empty
        self.changes: list[Change] = []
        self.carried: list[Carried] = []
        self.kept: list[ExistingColumn] = []
        self.dropped: list[ExistingColumn] = []
        self.rebuild = False

    def compare(self, drop: frozenset[str], *, whole: bool) -> None:
        """Compare all wanted and existing columns. ``whole`` also reports those that are only kept."""
        taken: set[str] = set()
        for column in self._table.columns:
            carried = Carried(column)
            self.carried.append(carried)
            carried.source = self._origin(column)
            if carried.source is None:
                self._new(carried)
            else:
                taken.add(carried.source.name.lower())
                self._changed(carried, carried.source)
        wanted = {column.name.lower() for column in self._table.columns}
        for key, column_ in self._source.columns.items():
            if key not in taken and key not in wanted:
                self._left(column_, drop, whole)

    def key_of_rows(self) -> str:
        """The key column, by which messages name a row."""
        rows = rows_of(self._table)
        for carried in self.carried:
            if rows is not None and carried.source is not None and carried.column.name == rows.key_column:
                return carried.source.name
        named = rows.key_column.lower() if rows is not None else ""
        found = self._source.columns.get(named) or next(iter(self._source.columns.values()))
        return found.name

    # where the values come from

    def _origin(self, column: Column[Any]) -> ExistingColumn | None:
        """The existing column for this one, by its name or its former name."""
        there = self._source.columns.get(column.name.lower())
        content = content_of(column)
        former = (content.renamed_from or "").lower() if content else ""
        before = self._source.columns.get(former)
        if there is None:
            if before is not None:
                self._alter(column, f"renamed from {before.name}", self._source.rows)
            return before
        if before is None or before is there:
            if there.name != column.name:
                self._alter(column, f"renamed from {there.name}", self._source.rows)
            return there
        filled = self._source.count(f"{quoted(there.name)} IS NOT NULL")
        if filled == 0:  # added by a start, before the definition had the former name
            self._alter(column, f"renamed from {before.name}", self._source.rows)
            return before
        text = f"is to be renamed from {before.name}, but is there already, with values in {_rows(filled)}"
        self._refuse(column, f"{text}: take `renamed_from` away, or empty it", filled)
        return there

    # what is new

    def _new(self, carried: Carried) -> None:
        column, rows = carried.column, 0 if self._source.is_empty else self._source.rows
        content = content_of(column)
        if self._is_free:
            self.rebuild |= not column.nullable and column.server_default is None
            self._change("+", column, "new", by_itself=True)
        elif column.nullable or column.server_default is not None:
            value = "null" if column.server_default is None else "the default"
            text = f"new, {value} in {_rows(rows)}"
            self._change("+", column, text, rows, by_itself=True)
        elif content is None or content.fill is None:
            text = f"new, not nullable and without a default, and there {_are(rows)}. "
            self._refuse(column, text + "Give it a `field_default`, or let it be null", rows)
        else:
            self._fill(carried, content, f"new, the default is made for {_rows(rows)}", rows, "+")

    def _fill(self, carried: Carried, content: Content, text: str, rows: int, sign: Any) -> None:
        """Rows without a value get the default, which is evaluated for each of them."""
        assert content.fill is not None
        try:
            value = content.fill()
        except Exception as error:  # the definition's own expression
            self._refuse(carried.column, f"its default cannot be made: {error}", rows)
            return
        if value is None:
            self._refuse(carried.column, f"its default is null, and it must not be: {_rows(rows)}", rows)
            return
        carried.fill = content.fill
        self.rebuild = True
        self._change(sign, carried.column, text, rows)

    # what was there

    def _changed(self, carried: Carried, source: ExistingColumn) -> None:
        column, content = carried.column, content_of(carried.column)
        self._values(carried, source, content)
        wanted = str(column.type.compile(dialect=self._dialect)).upper()
        if source.type != wanted and carried.convert is None and not self._is_refused(column):
            if content is None and not self._is_free:
                self._refuse(column, f"is {source.type}, and is to be {wanted}", self._source.rows)
            else:
                self._alter(column, f"{source.type} → {wanted}, the values stay", self._source.rows)
        if not column.primary_key:
            self._nullable(carried, source, content)

    def _values(self, carried: Carried, source: ExistingColumn, content: Content | None) -> None:
        """Are the values valid, or can they be converted?"""
        if content is None:
            return
        column = carried.column
        before = self._remembered.get((self._source.name.lower(), source.name.lower()))
        kind = json.loads(before)["type"] if before else None
        moved = content.moved(before) if before and not self._source.is_empty else None
        if moved is not None:
            self._refuse(
                column, f"{moved}: fill a new field with a script, or empty this one", self._source.rows
            )
            return
        if kind is None:
            wanted = str(column.type.compile(dialect=self._dialect)).upper()
            kind = content.kind if source.type == wanted else _KINDS.get(source.type, content.kind)
        if kind != content.kind and kind not in content.alike:
            self._convert(carried, source, content, kind)
        elif before is not None and before != content.rules:
            wrong = self._misfits(source, content.fits)
            if wrong:
                self._refuse(column, *wrong)
            elif not self._source.is_empty:
                text = f"takes other values than before; {_all(self._source.rows)}"
                self._change("~", column, text, self._source.rows, by_itself=True)

    def _convert(self, carried: Carried, source: ExistingColumn, content: Content, kind: str) -> None:
        column, rows = carried.column, self._source.count(f"{quoted(source.name)} IS NOT NULL")
        convert = content.convert(kind)
        if convert is None and rows:
            text = f"is {kind} and is to be {content.kind}: between these there is no conversion. "
            self._refuse(
                column, f"{text}Give the new field another name, or empty the column ({_rows(rows)})", rows
            )
            return
        wrong = self._misfits(source, convert) if convert is not None else None
        if wrong:
            self._refuse(column, f"is {kind} and is to be {content.kind}: {wrong[0]}", wrong[1])
            return
        carried.convert = convert or (lambda stored: stored)
        self._alter(column, f"{kind} → {content.kind}, {_rows(rows)} converted", rows)

    def _nullable(self, carried: Carried, source: ExistingColumn, content: Content | None) -> None:
        column = carried.column
        if column.nullable:
            if source.notnull:
                self._alter(column, "may be null from now on", 0)
            return
        if source.notnull:
            return
        nulls = self._source.count(f"{quoted(source.name)} IS NULL")
        if nulls == 0:
            self._alter(column, "must not be null from now on; no row is", 0)
        elif content is not None and content.fill is not None:
            text = f"must not be null from now on: the default is made for {_rows(nulls)} without a value"
            self._fill(carried, content, text, nulls, "~")
        else:
            text = f"must not be null, and in {_rows(nulls)} it is"
            text += self._named(f"{quoted(source.name)} IS NULL")
            self._refuse(column, text + ". Fill them in, or give it a `field_default`", nulls)

    # what is no longer defined

    def _left(self, column: ExistingColumn, drop: frozenset[str], whole: bool) -> None:
        name = f"{self._table.name}.{column.name}"
        if name in drop:
            filled = self._source.count(f"{quoted(column.name)} IS NOT NULL")
            self.dropped.append(column)
            self.rebuild = True
            text = f"dropped, with the values of {_rows(filled)}"
            self.changes.append(Change("-", f"column {name}", text, filled))
            return
        self.kept.append(column)
        if whole:
            filled = self._source.count(f"{quoted(column.name)} IS NOT NULL")
            text = f"no longer defined; kept, with the values of {_rows(filled)}"
            self.changes.append(Change("-", f"column {name}", text, filled, kept=True))
        if column.notnull and column.default is None and not column.key:
            self.rebuild = True
            text = "is no longer defined, and new rows have no value for it: it may be null from now on"
            self.changes.append(Change("~", f"column {name}", text, 0, by_itself=self._is_free))

    # telling

    def _misfits(self, source: ExistingColumn, take: Callable[[Any], Any]) -> tuple[str, int] | None:
        """The rows with an invalid value, in words, and their number."""
        told: list[str] = []
        number = 0
        key = self.key_of_rows()
        for row, stored in self._source.values(key, source.name):
            try:
                take(stored)
            except (ValueError, TypeError, RecursionError) as error:
                number += 1
                if len(told) < _TOLD:
                    told.append(f"{key} {row!r} {error}")
        if not number:
            return None
        more = f" and {number - len(told)} more" if number > len(told) else ""
        return f"{_rows(number)} {'do' if number > 1 else 'does'} not fit: {'; '.join(told)}{more}", number

    def _named(self, where: str) -> str:
        key = self.key_of_rows()
        found = self._source.first(key, where, _TOLD)
        return f" ({key} {', '.join(map(repr, found))}{', …' if len(found) == _TOLD else ''})"

    def _is_refused(self, column: Column[Any]) -> bool:
        what = f"column {self._table.name}.{column.name}"
        return any(change.sign == "!" and change.what == what for change in self.changes)

    def _alter(self, column: Column[Any], text: str, rows: int) -> None:
        """Add a change that recreates the table. For an empty table, a start makes it."""
        self.rebuild = True
        self._change("~", column, text, rows, by_itself=self._is_free)

    def _refuse(self, column: Column[Any], text: str, rows: int) -> None:
        self._change("!", column, text, rows)

    def _change(
        self, sign: Any, column: Column[Any], text: str, rows: int = 0, *, by_itself: bool = False
    ) -> None:
        what = f"column {self._table.name}.{column.name}"
        self.changes.append(Change(sign, what, text, rows, by_itself))


def _all(number: int) -> str:
    return "the row that there is fits" if number == 1 else f"each of the {_rows(number)} fits"


def _are(number: int) -> str:
    return f"{'is' if number == 1 else 'are'} {_rows(number)}"


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
