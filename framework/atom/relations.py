"""References between classes in the database: their stored form, and where it is stored.

The rule: **a reference is stored as the value of one unique field of the referred instance** (`ref_class_field`, by
default the identifier). A single reference has a column. An array has a table ``Class.field`` of owner, position and
target, so that an index serves both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, Table

from framework.atom.conversion import SCALARS, content
from framework.definitions import AtomDefinition, Field, FieldType, Location, Reference
from framework.definitions.values import accept_string
from framework.storage.content import Rows, describe
from framework.storage.operations import OWNER, POSITION, TARGET

_INSTANCE = "instance"


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A reference to a known class. ``column`` is the field of that class whose value is stored.

    ``refers`` are the current and the former names of both, as ``Class.field``.
    """

    reference: Reference
    target: str
    column: str
    refers: tuple[str, ...]
    accept_key: Callable[[object], object]
    type: FieldType
    links: Table | None

    @property
    def name(self) -> str:
        return self.reference.name

    @property
    def many(self) -> bool:
        """Is it an array?"""
        return self.reference.many

    @property
    def stored(self) -> bool:
        """Is it stored with its owner, or only in the instance?"""
        return self.reference.persistent


def relations(definition: AtomDefinition, classes: Mapping[str, AtomDefinition]) -> dict[str, Relation]:
    """The references of a class by name, in the order of its definition."""
    return {reference.name: _relation(definition, reference, classes) for reference in definition.references}


def _relation(
    definition: AtomDefinition, reference: Reference, classes: Mapping[str, AtomDefinition]
) -> Relation:
    target = classes[reference.target]
    column = reference.ref_class_field or key_column(target)
    accept, type_ = _key(target, column)
    in_tables = definition.persistent and not definition.abstract and reference.persistent
    links = _links(definition, reference, target, column, type_) if in_tables and reference.many else None
    return Relation(reference, target.name, column, refers(target, column), accept, type_, links)


def key_column(definition: AtomDefinition) -> str:
    """The column that identifies the instances of a class."""
    return definition.identifier.name if definition.identifier else _INSTANCE


def _key(definition: AtomDefinition, column: str) -> tuple[Callable[[object], object], FieldType]:
    """The check and the type of a class's unique field."""
    if column == _INSTANCE:
        return accept_string, FieldType("string", "string")
    found = (definition.identifier, *definition.fields)
    field = next(field for field in found if field is not None and field.name == column)
    return field.accept, field.type


def refers(definition: AtomDefinition, column: str) -> tuple[str, ...]:
    """The current name, then the former names, of what a stored key belongs to."""
    listed = (definition.identifier, *definition.fields)
    field = next((field for field in listed if field is not None and field.name == column), None)
    classes = filter(None, (definition.name, definition.renamed_from))
    names = [*filter(None, (column, field.renamed_from if field else None))]
    return tuple(f"{class_}.{name}" for class_ in classes for name in names)


def _links(
    definition: AtomDefinition, reference: Reference, target: AtomDefinition, column: str, type_: FieldType
) -> Table:
    name = f"{definition.name}.{reference.name}"
    own = key_column(definition)
    table = Table(
        name,
        MetaData(),
        _key_part(OWNER, _key(definition, own)[1], refers(definition, own), primary_key=True),
        Column(POSITION, Integer, primary_key=True, autoincrement=False),
        _key_part(TARGET, type_, refers(target, column)),
        Index(f"{name}.{TARGET}", TARGET, unique=reference.unique),
        sqlite_with_rowid=False,
    )
    before = f"{definition.renamed_from or definition.name}.{reference.renamed_from or reference.name}"
    describe(table, Rows(OWNER, before if before != name else None))
    return table


def _key_part(name: str, type_: FieldType, of: tuple[str, ...], *, primary_key: bool = False) -> Column[Any]:
    """A column of keys of a class."""
    autoincrement: Any = False if primary_key else "auto"
    column = Column(
        name, SCALARS[type_.base], primary_key=primary_key, autoincrement=autoincrement, nullable=False
    )
    field = Field(name, type_, Location("", 0, 0), nullable=False)
    describe(column, content(field, of))
    return column
