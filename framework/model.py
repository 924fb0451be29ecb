"""What an ATOM definition means to the database: its table, its columns and their encodings.

Two tables stand for one in the database: ``record`` is what ATOM instances are written and read by (JSON
as the text it is stored as, so that a change inside an object shows by comparison), ``table`` what
scripts see as ``model.X`` (JSON as values).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text, text

from framework import jsontext
from framework.definitions import AtomDefinition, Field, FieldError
from framework.errors import ValidationError
from framework.mu import wrap
from framework.storage.tables import Json, MuJson, RowNumber, UtcDateTime

SEQUENCE = "_seq"  # the order of insertion

_SCALARS: dict[str, Any] = {
    "string": Text,
    "integer": BigInteger,
    "number": Double,
    "boolean": Boolean,
    "DateTime": UtcDateTime,
}
_VALUES: dict[str, Any] = {"object": Json, "array": Json, "MU": MuJson, "array<MU>": MuJson}


def _decode_mu(stored: str) -> Any:
    return wrap(jsontext.decode(stored))


class Model:
    """One ATOM class as the database knows it. Immutable once made."""

    def __init__(self, definition: AtomDefinition) -> None:
        self.name = definition.name
        self.definition = definition
        identifier = definition.identifier
        listed = (identifier, *definition.fields) if identifier else definition.fields
        self.fields: dict[str, Field] = {field.name: field for field in listed}
        self.key_field = identifier.name if identifier else None
        self.key_column = self.key_field or "instance"
        # Fields whose stored form is JSON text; all others are stored as they are.
        self.decoders: dict[str, Callable[[str], Any]] = {
            name: _decode_mu if "MU" in field.type.base else jsontext.decode
            for name, field in self.fields.items()
            if field.type.base in _VALUES
        }
        self.record = self._table({**_SCALARS, **dict.fromkeys(_VALUES, Text)})
        self.table = self._table({**_SCALARS, **_VALUES})

    def accept(self, name: str, value: Any) -> Any:
        """The value as the field keeps it; ``ValidationError`` if the field does not take it."""
        try:
            return self.fields[name].accept(value)
        except FieldError as error:
            raise ValidationError(self.name, name, value, error.rule, str(error)) from None

    def encode(self, values: dict[str, Any]) -> dict[str, Any]:
        """The stored form of each field. JSON is checked again: an object may have been changed inside."""
        encoded = {name: values[name] for name in self.fields}
        for name in self.decoders:
            value = encoded[name]
            if value is not None:
                encoded[name] = jsontext.encode(self.accept(name, value))
        return encoded

    def decode(self, row: dict[str, Any]) -> dict[str, Any]:
        """The values of each field of a stored row."""
        values = {name: row[name] for name in self.fields}
        for name, decoder in self.decoders.items():
            stored = values[name]
            if stored is not None:
                values[name] = decoder(stored)
        return values

    def _table(self, types: dict[str, Any]) -> Table:
        columns: list[Column[Any]] = [
            Column(SEQUENCE, RowNumber, primary_key=True, autoincrement=True),
            Column("instance", Text, nullable=False),
            Column("xid", Text),
            Column("xname", Text),
            *(self._column(field, types[field.type.base]) for field in self.fields.values()),
        ]
        return Table(self.name, MetaData(), *columns, *self._indexes())

    def _column(self, field: Field, type_: Any) -> Column[Any]:
        default = None
        if field.default is not None and field.default.constant:
            default = _server_default(field)
        return Column(field.name, type_, nullable=field.nullable, server_default=default)

    def _indexes(self) -> Iterator[Index]:
        yield Index(f"{self.name}.instance", "instance", unique=True)
        for field in self.fields.values():
            if field.unique or field.name == self.key_field:
                yield Index(f"{self.name}.{field.name}", field.name, unique=True)


def _server_default(field: Field) -> Any:
    """A constant default as SQL, so that a column can be added to a table that has rows."""
    assert field.default is not None
    value = field.accept(field.default.make({}))
    if value is None or field.type.base == "DateTime":
        return None
    if field.type.base in _VALUES:
        value = jsontext.encode(value)
    if isinstance(value, str):
        return text("'" + value.replace("'", "''").replace(":", "\\:") + "'")
    return text(str(int(value) if isinstance(value, bool) else value))
