"""The fields of an ATOM class: their types, enums, formats and defaults, and which values they take.

The rule: everything about a field is decided once, here. `Field.accept` is a closure made for that field, because it
runs for each value of each save.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, cast

from .columns import ColumnReader, bits_check, length_check
from .default import Default, is_bare_word, meant_names, unseen_names
from .formats import format_check, parse_format
from .location import Location
from .names import COMMON_NAMES
from .nodes import ListNode, MapNode, Node, ScalarNode, plain
from .problem import Report, clipped, did_you_mean, listed, quoted
from .script import Malformed, compile_expression
from .seen import PLAIN_BUILTINS
from .transition import Transition, parse_transitions
from .trees import walk
from .trial import Failed, Trials, can_be_tried
from .values import ACCEPT, Accept, FieldError, rebuilt

Base = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "object",
    "array",
    "DateTime",
    "MU",
    "array<MU>",
    "reference",
    "array<reference>",
]

_REFERENCE = re.compile(r"(array)?<AxisAtom\.([A-Za-z_][A-Za-z0-9_]*)>")


def _nothing() -> Mapping[str, object]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field's type: as it is written, its basic type, and the class that it refers to."""

    text: str
    base: Base
    reference: str | None = None
    location: Location | None = field(default=None, compare=False)

    @classmethod
    def of(cls, node: MapNode) -> FieldType | None:
        """The type that a field's mapping names."""
        text, place = node.text("field_type") or "", node.value_location("field_type")
        found = _REFERENCE.fullmatch(text)
        if found:
            return cls(text, "array<reference>" if found[1] else "reference", found[2], place)
        return (
            cls(text, cast(Base, text), None, place) if text in ACCEPT and "reference" not in text else None
        )


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class. `accept(value)` returns the value as it is stored, or raises `FieldError`."""

    name: str
    type: FieldType
    location: Location
    nullable: bool = True
    immutable: bool = False
    unique: bool = False
    persistent: bool = True
    enum: tuple[object, ...] | None = None
    default: Default | None = None
    format: object | None = None
    alias: str | None = None
    dbtype: str | None = None
    length: int | None = None
    metadata: Mapping[str, object] = field(default_factory=_nothing)
    transitions: tuple[Transition, ...] = ()
    alias_at: Location | None = field(default=None, compare=False)
    renamed_from: str | None = None
    renamed_from_at: Location | None = field(default=None, compare=False)
    accept: Accept = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "accept", _acceptor(self))

    @property
    def indexed(self) -> bool:
        """Does the definition ask for an index, so that rows are found by the field?"""
        return self.metadata.get("index") is True


def _acceptor(of: Field) -> Accept:
    """The check for one field: null, type, length, enum, format, in this order."""
    accept = ACCEPT[of.type.base]
    nullable = of.nullable
    checks: list[Callable[[object], None]] = []
    if of.length is not None and of.type.base == "string":
        checks.append(length_check(of.length))
    bits = bits_check(of.dbtype or "")
    if bits is not None:
        checks.append(bits)
    if of.enum is not None:
        checks.append(_membership(of.enum))
    if of.format is not None:
        checks.append(_of_plain(format_check(of.format)))
    if not checks:

        def accept_plain(value: object) -> object:
            if value is None:
                return _null(nullable)
            return accept(value)

        return accept_plain

    def accept_checked(value: object) -> object:
        if value is None:
            return _null(nullable)
        value = accept(value)
        for check in checks:
            check(value)
        return value

    return accept_checked


def _of_plain(check: Callable[[object], None]) -> Callable[[object], None]:
    """The check of a JSON value: a point in time is a string, and a mapping is a plain dict."""

    def check_plain(value: object) -> None:
        if isinstance(value, dict | list):
            value = rebuilt(value)
        elif isinstance(value, dt.datetime):
            value = value.isoformat()
        check(value)

    return check_plain


def _null(nullable: bool) -> object:
    if not nullable:
        raise FieldError("nullable", "must not be null")
    return None


def _identity(value: object) -> object:
    """A key that is equal for values of equal value and equal type: `True` is not 1."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return (value.__class__, value)


def _membership(enum: tuple[object, ...]) -> Callable[[object], None]:
    members = frozenset(map(_identity, enum))
    wanted = listed(enum)

    def check(value: object) -> None:
        if _identity(value) not in members:
            raise FieldError("enum", f"must be {wanted}, not {clipped(repr(value))}")

    return check


@dataclass(slots=True)
class FieldReader:
    """Reads one field of a class, and reports what is wrong with it."""

    node: MapNode
    report: Report
    trials: Trials

    def read(self, *, identifier: bool = False, stored: bool = True) -> Field | None:
        """The field, or None if its name or type cannot be read. `stored` says whether the class has a table."""
        node, name = self.node, self.node.text("field_name")
        type_ = FieldType.of(self.node)
        if name is None or type_ is None:
            return None
        column = ColumnReader(node, name, type_.base, self.report).read(
            _data(node, "field_metadata") or _nothing(), identifier=identifier, stored=stored
        )
        of = Field(
            name=name,
            type=type_,
            location=node.value_location("field_name"),
            nullable=False if identifier else node.flag("field_nullable", True),
            immutable=node.flag("field_immutable", identifier),
            unique=column.unique,
            persistent=column.persistent,
            enum=self._enum(type_),
            format=self._format(),
            alias=node.text("field_alias"),
            dbtype=column.dbtype,
            length=column.length,
            metadata=column.metadata,
            alias_at=node.value_location("field_alias"),
            renamed_from=column.renamed_from,
            renamed_from_at=node.value_location("renamed_from"),
        )
        transitions = parse_transitions(
            node, type_.text, of.accept, enum=of.enum, stored=of.persistent, report=self.report
        )
        default = self._default(of)
        if identifier and default is not None:
            self._differs(of, default)
        return replace(of, default=default, transitions=transitions) if default or transitions else of

    def _enum(self, type_: FieldType) -> tuple[object, ...] | None:
        node = self.node.get("field_enum")
        if not isinstance(node, ListNode) or not node.items:
            return None
        members: list[object] = []
        for item in node.items:
            value = plain(item)
            if value is None:
                members.append(value)
                continue
            try:
                members.append(ACCEPT[type_.base](value))
            except FieldError as error:
                hint = _quote_hint(type_, item)
                message = f"a member of the enum {error.message}"
                self.report.error(item.location, "field-enum", message, hint=hint)
        return tuple(members)

    def _format(self) -> object | None:
        node = self.node.get("field_format")
        return None if node is None else parse_format(node, self.report)

    def _default(self, of: Field) -> Default | None:
        node = self.node.get("field_default")
        if node is None:
            return None
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return self._from_text(of, node, node.value)
        return self._constant(of, node, plain(node))

    def _from_text(self, of: Field, node: ScalarNode, text: str) -> Default | None:
        is_string = of.type.base == "string"
        if is_string and (text in (of.enum or ()) or is_bare_word(text)):
            return self._constant(of, node, text)
        found = compile_expression(node)
        if isinstance(found, Malformed):
            if is_string:
                return self._constant(of, node, text)
            message = f"the default of {quoted(of.name)} is not a Python expression: {found.message}"
            self.report.error(found.location, "default", message, hint=_text_hint(of, text))
            return None
        code, tree = found
        unseen = unseen_names(code)
        if is_string and unseen:
            self._looks_like_a_call(of, node, text, tree, unseen)
            return self._constant(of, node, text)
        for name in unseen:
            message = f"the default of {quoted(of.name)} uses {quoted(name)}, a name that it cannot see"
            hint = did_you_mean(name, (*COMMON_NAMES, *PLAIN_BUILTINS))
            self.report.error(node.location, "unseen-name", message, hint=hint)
        if unseen:
            return None
        if can_be_tried(tree):
            try:
                value = self.trials.value(text, tree, code)
            except Failed as error:
                message = f"the default of {quoted(of.name)} fails: {error}"
                hint = _text_hint(of, text)
                if of.type.base == "DateTime" and "attribute" in str(error):
                    hint = "the time of now is `datetime.datetime.now(datetime.timezone.utc)`"
                self.report.error(node.location, "default", message, hint=hint)
                return None
            except TimeoutError:
                return Default(constant=False, code=code)
            if not self._accepted(of, node, value, text):
                return None
        return Default(constant=False, code=code, calls=_calls(tree))

    def _looks_like_a_call(
        self, of: Field, node: ScalarNode, text: str, tree: ast.Expression, unseen: list[str]
    ) -> None:
        if not _calls(tree):
            return
        meant = meant_names(unseen)
        written = text
        for name, whole in meant.items():
            written = re.sub(rf"(?<![\w.]){re.escape(name)}\b", whole, written)
        names = listed(dict.fromkeys(unseen))
        message = (
            f"the default {quoted(text)} of {quoted(of.name)} is taken as text: it uses {names}, not in scope"
        )
        hint = f"did you mean `{written}`?" if meant else _text_hint(of, text)
        self.report.warning(node.location, "default-text", message, hint=hint)

    def _differs(self, of: Field, default: Default) -> None:
        """Warn about an identifier that is the same for every instance."""
        if default.calls or (default.constant and default.value is None):
            return
        message = (
            f"every new instance gets the same {quoted(of.name)}, and the second is refused as a duplicate"
        )
        location = self.node.value_location("field_default")
        hint = "write an expression such as `uuid.uuid4().hex`, or leave the default out"
        if not any(p.code == "default-text" and p.location == location for p in self.report.problems()):
            self.report.warning(location, "identifier-default", message, hint=hint)

    def _constant(self, of: Field, node: Node, value: object) -> Default | None:
        if not self._accepted(of, node, value, None):
            return None
        return Default(constant=True, value=value if value is None else of.accept(value), calls=False)

    def _accepted(self, of: Field, node: Node, value: object, text: str | None) -> bool:
        try:
            of.accept(value)
        except FieldError as error:
            shown = quoted(value if text is None else text)
            if error.rule == "enum":
                hint = did_you_mean(value, map(str, of.enum or ())) if isinstance(value, str) else None
                members = listed(of.enum or ())
                message = f"the default {shown} of {quoted(of.name)} is not in its enum: {members}"
                self.report.error(node.location, "enum-default", message, hint=hint)
            else:
                message = f"the default {shown} of {quoted(of.name)} does not fit: it {error.message}"
                hint = _text_hint(of, text) if text is not None else _quote_hint(of.type, node)
                self.report.error(node.location, "default", message, hint=hint)
            return False
        return True


def _calls(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) for node in walk(tree))


def _quote_hint(type_: FieldType, node: Node) -> str | None:
    """How to write a text that YAML would read as another type."""
    if type_.base != "string" or not isinstance(node, ScalarNode) or isinstance(node.value, str):
        return None
    return f'quote it: "{node.text}"'


def _text_hint(of: Field, text: str) -> str | None:
    """How to write a default that stands for itself."""
    if of.type.base not in ("string", "DateTime") or len(text) > 40:
        return None
    return f"if the text itself is meant, write {json.dumps(repr(text), ensure_ascii=False)}"


def _data(node: MapNode, key: str) -> Mapping[str, object] | None:
    found = node.map(key)
    value = plain(found) if found is not None else None
    return MappingProxyType(value) if isinstance(value, dict) else None
