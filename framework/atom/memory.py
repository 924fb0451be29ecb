"""Instances of a class with ``persistence: false``: kept in this process until it stops.

The rule: these instances behave like rows: ``Duplicate``, ``Gone``, order of insertion, and a write that is undone
when its transaction is not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from framework.atom.model import SEQUENCE, Model
from framework.errors import Changed, Duplicate, FrameworkError, Gone, ValidationError
from framework.storage.gathering import Row
from framework.storage.operations import ALL, Delete, Insert, Require, Update

Change = Insert | Update | Delete
Undo = Callable[[], None]


class Memory:
    """The rows of one class, with an index of each unique value."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows: dict[int, dict[str, Any]] = {}
        self._last = 0
        unique = [name for name, field in model.fields.items() if field.unique]
        references = [name for name, found in model.relations.items() if found.reference.unique]
        columns = dict.fromkeys((model.key_column, "instance", *unique, *references))
        self._places: dict[str, dict[Any, int]] = {column: {} for column in columns}

    def run(self, change: Change | Require) -> Undo:
        """Make a change, and return what undoes it. Raises ``Duplicate``, ``Gone`` and ``Changed`` like a table."""
        if isinstance(change, Require):
            self._require(change)
            return lambda: None
        if isinstance(change, Insert):
            self._last += 1
            return self._put(self._last, {**change.values, SEQUENCE: self._last})
        number = self._places[change.key_column].get(change.key)
        if number is None:
            raise Gone(self._model.name, change.key)
        row = self._rows[number]
        found = {name: row[name] for name in change.expected}
        if found != change.expected:
            raise Changed(self._model.name, change.key, found)
        return self._put(number, {**row, **change.values} if isinstance(change, Update) else None)

    def _require(self, wanted: Require) -> None:
        for value in wanted.values:
            if value not in self._places[wanted.column]:
                message = f"there is no {self._model.name} {value!r} to refer to"
                raise ValidationError(wanted.class_name, wanted.field, value, "reference", message)

    def _put(self, number: int, row: dict[str, Any] | None) -> Undo:
        if row is not None:
            for column, places in self._places.items():
                values = _each(row[column])
                if len({*values}) < len(values) or any(
                    places.get(value, number) != number for value in values
                ):
                    raise Duplicate(self._model.name, (column,))
        before = self._rows.get(number)
        self._set(number, row)
        return lambda: self._set(number, before)

    def _set(self, number: int, row: dict[str, Any] | None) -> None:
        before = self._rows.pop(number, None)
        for column, places in self._places.items():
            for value in _each(before[column]) if before else ():
                del places[value]
            for value in _each(row[column]) if row else ():
                places[value] = number
        if row is not None:
            self._rows[number] = row

    def matching(self, column: str, values: Sequence[Any]) -> list[Row]:
        """The rows whose unique column has one of the values."""
        places = self._places[column]
        return [self._rows[places[value]] for value in dict.fromkeys(values) if value in places]

    def select(
        self, equals: Mapping[str, Any], order: Sequence[Any] = (), offset: int = 0, limit: int = ALL
    ) -> list[Row]:
        """The rows with these values, in order of insertion or of the named fields (``-name``: descending)."""
        rows: list[Row] = [self._rows[number] for number in sorted(self._rows) if self._fits(number, equals)]
        for entry in reversed(order):
            if not isinstance(entry, str):
                raise FrameworkError(f"{self._model.name} has no table: order_by takes names of its fields")
            name = entry.removeprefix("-")
            rows.sort(key=lambda row: (row[name] is not None, row[name]), reverse=entry.startswith("-"))
        return rows[offset : offset + limit]

    def _fits(self, number: int, equals: Mapping[str, Any]) -> bool:
        row = self._rows[number]
        return all(
            value in row[name] if isinstance(row[name], tuple) else row[name] == value
            for name, value in equals.items()
        )


def _each(value: Any) -> Sequence[Any]:
    """The values that must be unique: those of an array, or the single one. Null does not count."""
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)
