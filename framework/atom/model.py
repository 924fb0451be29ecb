"""What an ATOM definition means for the database: its table, its columns and their encodings.

Two table objects represent one database table. ATOM instances are written and read by ``record``, which has JSON as
its stored text, so that a comparison shows a change inside an object. Scripts see ``table`` as ``model.X``, with JSON
as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Dialect, Index, MetaData, String, Table, Text, false, text, true

from framework.atom.conversion import SCALARS, content
from framework.atom.relations import Relation, relations
from framework.definitions import AtomDefinition, Field, FieldError, Reference
from framework.errors import ValidationError
from framework.storage.content import Rows, describe
from framework.storage.tables import Declared, Json, RowNumber, UtcDateTime
from framework.values import jsontext
from framework.values.mu import wrap

SEQUENCE = "_seq"  # the order of insertion


class MuJson(Json):
    """Like ``Json``, but mappings come back as MU, also inside a list."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return wrap(super().process_result_value(value, dialect))


_VALUES: dict[str, Any] = {"object": Json, "array": Json, "MU": MuJson, "array<MU>": MuJson}


def _decode_mu(stored: str) -> Any:
    return wrap(jsontext.decode(stored))


class Model:
    """One ATOM class as the database knows it. Immutable once made.

    ``classes`` are the definitions by name, for the referred classes.
    """

    def __init__(self, definition: AtomDefinition, classes: Mapping[str, AtomDefinition]) -> None:
        self.name = definition.name
        self.definition = definition
        self.stored = definition.persistent and not definition.abstract
        identifier = definition.identifier
        listed = (identifier, *definition.fields) if identifier else definition.fields
        self.fields: dict[str, Field] = {field.name: field for field in listed}
        # The fields with a column. The others live in the instance alone.
        self.columns: dict[str, Field] = {
            name: field for name, field in self.fields.items() if field.persistent
        }
        self.passing: dict[str, Field] = {
            name: field for name, field in self.fields.items() if not field.persistent
        }
        self.aliases: dict[str, str] = {
            field.alias: name for name, field in self.fields.items() if field.alias and field.alias != name
        }
        self.key_field = identifier.name if identifier else None
        self.key_column = self.key_field or "instance"
        # Fields whose stored form is JSON text. All others are stored as they are.
        self.decoders: dict[str, Callable[[str], Any]] = {
            name: _decode_mu if "MU" in field.type.base else jsontext.decode
            for name, field in self.columns.items()
            if field.type.base in _VALUES
        }
        # Fields whose mappings are MUs.
        self._objects = frozenset(name for name, field in self.fields.items() if "MU" in field.type.base)
        self.relations: dict[str, Relation] = relations(definition, classes)
        self.names = frozenset((*self.fields, *self.relations))
        inherited = self._inherited(classes)
        self.fieldnames = sorted((*self.fields, *self.relations), key=lambda name: name not in inherited)
        local = (name for name, relation in self.relations.items() if relation.reference.local)
        self.local = (*self.fields, *local)
        self.record = self._table({**SCALARS, **dict.fromkeys(_VALUES, Text)})
        self.table = self._table({**SCALARS, **_VALUES})

    def _inherited(self, classes: Mapping[str, AtomDefinition]) -> frozenset[str]:
        """The names of the fields that this class inherits."""
        parents = [classes[name] for name in self.definition.lineage if name in classes]
        given = {id(member) for parent in parents for member in _members(parent)}
        return frozenset(member.name for member in _members(self.definition) if id(member) in given)

    def accept(self, name: str, value: Any) -> Any:
        """The value as the field stores it. Raises ``ValidationError`` if the field does not accept it."""
        value = self._checked(name, value)
        return wrap(value) if name in self._objects else value

    def _checked(self, name: str, value: Any) -> Any:
        try:
            return self.fields[name].accept(value)
        except FieldError as error:
            raise ValidationError(self.name, name, value, error.rule, str(error)) from None

    def initial(self, name: str, scope: dict[str, Any]) -> Any:
        """The initial value of a field with a default. An invalid default is a mistake in the definition."""
        field = self.fields[name]
        assert field.default is not None
        value = field.default.make(scope)
        try:
            return self.accept(name, value)
        except ValidationError as error:
            problem = f"its default at {field.location} does not fit: it {error.problem}"
            raise ValidationError(self.name, name, value, "default", problem) from None

    def named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The same values by the fields' own names, if some were given by aliases.

        A field that is given twice is refused. An unknown name stays, and the caller refuses it.
        """
        named: dict[str, Any] = {}
        for name, value in given.items():
            own = self.aliases.get(name, name)
            if own in named:
                problem = f"it is given twice, as {own!r} and as its alias"
                raise ValidationError(self.name, own, value, "twice", problem)
            named[own] = value
        return named

    def encode(self, values: dict[str, Any]) -> dict[str, Any]:
        """The stored form of each field. JSON is checked again, because an object may have changed inside."""
        if values[self.key_column] is None:
            problem = "a value is needed: an instance has its identifier before it is saved"
            raise ValidationError(self.name, self.key_column, None, "required", problem)
        encoded = {name: values[name] for name in self.columns}
        for name in self.decoders:
            value = encoded[name]
            if value is not None:
                encoded[name] = jsontext.encode(self._checked(name, value))
        return encoded

    def decode(self, values: dict[str, Any]) -> None:
        """Turn the stored forms of the fields into their values, in place."""
        for name, decoder in self.decoders.items():
            stored = values[name]
            if stored is not None:
                values[name] = decoder(stored)

    def without_columns(self, scope: dict[str, Any]) -> dict[str, Any]:
        """The initial values of fields that are not stored, in new and in loaded instances."""
        return {
            name: None if field.default is None else self.initial(name, scope)
            for name, field in self.passing.items()
        }

    def single_relations(self) -> Iterator[Relation]:
        """The references with a column."""
        return (found for found in self.relations.values() if found.stored and not found.many)

    def links(self) -> Iterator[Table]:
        """The tables of the references that are arrays."""
        return (found.links for found in self.relations.values() if found.links is not None)

    def _table(self, types: dict[str, Any]) -> Table:
        columns: list[Column[Any]] = [
            Column(SEQUENCE, RowNumber, primary_key=True, autoincrement=True),
            Column("instance", Text, nullable=False),
            Column("xid", Text),
            Column("xname", Text),
            *(self._column(field, types[field.type.base]) for field in self.columns.values()),
            *(_key_column(relation) for relation in self.single_relations()),
        ]
        table = Table(self.name, MetaData(), *columns, *self._indexes())
        describe(table, Rows(self.key_column, self.definition.renamed_from))
        return table

    def _column(self, field: Field, type_: Any) -> Column[Any]:
        default = None
        if field.default is not None and field.default.constant:
            default = _server_default(field)
        column = Column(field.name, _type(field, type_), nullable=field.nullable, server_default=default)
        describe(column, content(field))
        return column

    def _indexes(self) -> Iterator[Index]:
        yield Index(f"{self.name}.instance", "instance", unique=True)
        for field in self.columns.values():
            if field.unique or field.name == self.key_field:
                yield Index(f"{self.name}.{field.name}", field.name, unique=True)
            elif field.indexed:
                yield Index(f"{self.name}.{field.name}", field.name)
        for relation in self.single_relations():
            yield Index(f"{self.name}.{relation.name}", relation.name, unique=relation.reference.unique)


def _members(definition: AtomDefinition) -> Iterator[Field | Reference]:
    if definition.identifier is not None:
        yield definition.identifier
    yield from definition.fields
    yield from definition.references


def _key_column(relation: Relation) -> Column[Any]:
    """The column of a single reference, which holds the key of the referred instance."""
    reference = relation.reference
    key = Field(
        reference.name,
        relation.type,
        reference.location,
        nullable=reference.nullable,
        renamed_from=reference.renamed_from,
    )
    column = Column(key.name, SCALARS[key.type.base], nullable=key.nullable)
    describe(column, content(key, relation.refers))
    return column


def _type(field: Field, usual: Any) -> Any:
    """The column's type: the usual one, or the one that the field declares."""
    if field.dbtype is not None:
        length = f"({field.length})" if field.dbtype == "VARCHAR" else ""
        return Declared(usual(), field.dbtype + length)
    if field.length is not None:
        return String(field.length).with_variant(Text(), "sqlite")  # a length has no meaning for it
    return usual


def _server_default(field: Field) -> Any:
    """A constant default as SQL, so that a column can be added to a table that has rows.

    None if a literal cannot express it: then a migration adds the column to the rows.
    """
    assert field.default is not None
    value: Any = field.accept(field.default.make({}))
    if value is None:
        return None
    if field.type.base == "DateTime":
        value = UtcDateTime.to_text(value)
    elif field.type.base in _VALUES:
        value = jsontext.encode(value)
    if isinstance(value, str):
        if "\0" in value:
            return None
        return text("'" + value.replace("'", "''").replace(":", "\\:") + "'")
    if isinstance(value, bool):
        return true() if value else false()
    return text(str(value))
