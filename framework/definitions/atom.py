"""An ATOM class: fields, references to other classes, and methods.

The rule: this module does not know yet what a class inherits from those that it `extends`. `inheritance` adds it.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .endpoints import EndpointsDefinition, parse_endpoints
from .fields import Field, FieldReader, FieldType
from .location import Location
from .method import Method, parse_methods
from .nodes import MapNode, plain
from .problem import quoted
from .reading import Reading
from .transition import Transition

_RESERVED_TABLES = ("sqlite_", "pg_", "_framework")

RESERVED_FIELDS = frozenset(
    (
        *("save", "load", "retrieve", "destroy", "iterate", "count"),
        *(
            "localfields",
            "fieldnames",
            "fieldmetadata",
            "key_field",
            "dictionary",
            "yaml_format",
            "json_format",
            "b64",
        ),
        *("instance", "xid", "xname", "conn", "tran", "shallow", "for_update", "order_by", "offset", "limit"),
        *("propagation_mode", "delay_seconds", "definition", "metadata"),
    )
)
"""Names of the generated class and of its methods' arguments, which no field can have."""


COLUMNS = frozenset(("instance", "xid", "xname"))
"""The columns that every table has: in no case of letters can a field be called so."""

RESERVED_CLASSES = frozenset(("aiodb", "records", "define_methods"))
"""Names of `model` and `atom` themselves."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that refers to instances of another class. A `local` one stands among the local fields."""

    name: str
    type: FieldType
    location: Location
    persistent: bool = True
    unique: bool = False
    nullable: bool = True
    immutable: bool = False
    local: bool = False
    ref_class: str | None = None
    ref_class_at: Location | None = None
    ref_class_field: str | None = None
    ref_class_field_at: Location | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    dbtype: str | None = None
    length: int | None = None
    renamed_from: str | None = None
    renamed_from_at: Location | None = None

    @property
    def many(self) -> bool:
        """Whether it is an array."""
        return self.type.base == "array<reference>"

    @property
    def target(self) -> str:
        """The name of the class that is referred to."""
        return self.type.reference or self.ref_class or ""


@dataclass(frozen=True, slots=True)
class AtomDefinition:
    """An ATOM class. After the check, its members include the inherited ones."""

    name: str
    location: Location
    category: str | None
    persistent: bool
    abstract: bool
    extends: tuple[str, ...]
    api: EndpointsDefinition | None
    identifier: Field | None
    fields: tuple[Field, ...]
    references: tuple[Reference, ...]
    class_methods: tuple[Method, ...]
    instance_methods: tuple[Method, ...]
    extends_at: tuple[Location, ...] = ()
    lineage: tuple[str, ...] = ()
    """The classes that it comes from, in the order in which a member is looked up in them."""
    renamed_from: str | None = None
    renamed_from_at: Location | None = None

    @property
    def states(self) -> Mapping[str, tuple[Transition, ...]]:
        """The transitions of each field that has any."""
        return {of.name: of.transitions for of in self.fields if of.transitions}

    @property
    def carriers(self) -> Mapping[str, bool]:
        """The instance methods, and whether each is a coroutine."""
        return {method.name: method.is_async for method in self.instance_methods}


def parse_atom(node: MapNode, reading: Reading) -> AtomDefinition | None:
    """The class that a mapping defines. What is wrong in it is reported and left out."""
    name = node.text("name")
    if name is None:
        return None
    attributes = node.map("attributes") or node
    identifier_node = attributes.map("identifier")
    stored = node.flag("persistence", True)
    identifier = (
        FieldReader(identifier_node, reading.report, reading.trials).read(identifier=True, stored=stored)
        if identifier_node
        else None
    )
    readers = (FieldReader(item, reading.report, reading.trials) for item in attributes.maps("local_fields"))
    read = [reader.read(stored=stored) for reader in readers]
    fields = tuple(of for of in read if of is not None and of.type.reference is None)
    local = (_local(of, reading) for of in read if of is not None and of.type.reference is not None)
    listed = (_reference(item, reading) for item in attributes.maps("ref_fields"))
    references = (*local, *(reference for reference in listed if reference is not None))
    methods_node = node.map("methods")
    methods = parse_methods(methods_node, name, reading) if methods_node else {}
    definition = AtomDefinition(
        name=name,
        location=node.value_location("name"),
        category=node.text("category"),
        persistent=stored,
        abstract=node.flag("abstract", False),
        extends=tuple(str(item.value) for item in node.texts("extends")),
        api=parse_endpoints(node, name, reading.report),
        identifier=identifier,
        fields=fields,
        references=references,
        class_methods=methods.get("class", ()),
        instance_methods=methods.get("instance", ()),
        extends_at=tuple(item.location for item in node.texts("extends")),
        renamed_from=node.text("renamed_from"),
        renamed_from_at=node.value_location("renamed_from"),
    )
    _check_names(definition, reading)
    return definition


def _local(of: Field, reading: Reading) -> Reference:
    """A local field whose type is another class: a reference as well."""
    given = {
        "default": of.default is not None,
        "enum": of.enum is not None,
        "format": of.format is not None,
        "fsm": bool(of.transitions),
        "alias": of.alias is not None,
    }
    for key in given:
        if given[key]:
            message = f"{quoted(of.name)} refers to another class and takes no `field_{key}`"
            reading.report.error(of.location, "reference", message)
    return Reference(
        name=of.name,
        type=of.type,
        location=of.location,
        persistent=of.persistent,
        unique=of.unique,
        nullable=of.nullable,
        immutable=of.immutable,
        local=True,
        metadata=of.metadata,
        dbtype=of.dbtype,
        length=of.length,
        renamed_from=of.renamed_from,
        renamed_from_at=of.renamed_from_at,
    )


def _reference(node: MapNode, reading: Reading) -> Reference | None:
    name = node.text("field_name")
    type_ = FieldType.of(node)
    if name is None or type_ is None:
        return None
    if type_.reference is None:
        shown = node.text("ref_class") or "NAME"
        array = "array" if type_.base.startswith("array") else ""
        reading.report.error(
            type_.location or node.value_location("field_name"),
            "reference",
            f"a field of type `{type_.text}` refers to no class",
            hint=f"write `{array}<AxisAtom.{shown}>`, or move the field to `local_fields`",
        )
        return None
    metadata = node.map("field_metadata")
    return Reference(
        name=name,
        type=type_,
        location=node.value_location("field_name"),
        persistent=node.flag("field_persistence", True),
        unique=node.flag("field_unique", False),
        ref_class=node.text("ref_class"),
        ref_class_at=node.value_location("ref_class"),
        ref_class_field=node.text("ref_class_field"),
        ref_class_field_at=node.value_location("ref_class_field"),
        metadata=MappingProxyType({key: plain(value) for key, (_, value) in metadata.entries.items()})
        if metadata
        else MappingProxyType({}),
        dbtype=node.text("field_dbtype"),
        length=node.integer("field_length"),
        renamed_from=node.text("renamed_from"),
        renamed_from_at=node.value_location("renamed_from"),
    )


def _check_names(definition: AtomDefinition, reading: Reading) -> None:
    """Names that Python or the database could not tell apart or use."""
    if not _is_name(definition.name):
        message = f"{quoted(definition.name)} cannot be the name of a class: it is a word of Python"
        if definition.name.isidentifier():  # otherwise the schema has reported it
            reading.report.error(definition.location, "class-name", message)
    elif definition.name in RESERVED_CLASSES or definition.name.startswith("__"):
        message = f"{quoted(definition.name)} cannot be the name of a class: `atom` or `model` has one"
        reading.report.error(definition.location, "class-name", message, hint="choose another name")
    elif definition.name.lower().startswith(_RESERVED_TABLES):
        message = f"{quoted(definition.name)} cannot be the name of a class: the database keeps such names to itself"
        reading.report.error(definition.location, "class-name", message)
    seen: dict[str, Field | Reference] = {}
    for of in _all_fields(definition):
        key = of.name.lower()
        if not _is_name(of.name):
            message = f"{quoted(of.name)} cannot be the name of a field: it must be a Python name"
            reading.report.error(of.location, "field-name", message, hint="use letters, digits and _")
        elif of.name in RESERVED_FIELDS or key in COLUMNS or of.name.startswith("_"):
            message = (
                f"{quoted(of.name)} cannot be the name of a field: every class has something of that name"
            )
            hint = "choose another name"
            if of.name.startswith("_"):
                hint = "a field's name cannot start with `_`"
            elif of.name not in RESERVED_FIELDS:
                hint = f"a database does not tell it from {quoted(key)}: choose another name"
            reading.report.error(of.location, "field-name", message, hint=hint)
        elif key in seen:
            first = seen[key]
            same = "" if first.name == of.name else f" (a database takes {quoted(first.name)} for it)"
            message = f"the class {quoted(definition.name)} has a field {quoted(of.name)} already{same}"
            reading.report.error(of.location, "duplicate-field", message, related=(first.location,))
        seen.setdefault(key, of)


def _all_fields(definition: AtomDefinition) -> Iterable[Field | Reference]:
    if definition.identifier is not None:
        yield definition.identifier
    yield from definition.fields
    yield from definition.references


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
