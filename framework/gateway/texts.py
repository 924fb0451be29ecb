"""Conversion of parameters, headers and variables, which are text, to the types that a schema expects.

The rule: **a text stays text unless the schema excludes text.** If the schema of a name requires an integer, a number
or a boolean, a text in the JSON form of one is offered as that type. If it requires a list, all texts of the name are
offered as a list. Any other text is offered as it is, and fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from framework.definitions.validation import Schema, compiled, resolve

Texts = Mapping[str, list[str]]


class Offer:
    """Texts by name as a schema for an object sees them. ``joined``: several texts of a name form one text."""

    def __init__(self, schema: Schema, *, joined: bool = False) -> None:
        self._joined = joined  # several lines of a header are one list (RFC 9110, 5.3)
        parts = list(_parts(schema, schema))
        self._named: dict[str, _Kind] = {}
        for part in parts:
            for one, below in part.get("properties", {}).items():
                self._named[one] = self._named.get(one, _NO_KIND) | _kind(below, schema)
        self._patterns = [
            (compiled({"pattern": pattern}), _kind(below, schema))
            for part in parts
            for pattern, below in part.get("patternProperties", {}).items()
        ]
        self._others = _NO_KIND
        for part in parts:
            self._others |= _kind(part.get("additionalProperties", True), schema)

    def __call__(self, texts: Texts) -> dict[str, Any]:
        """What is offered for each name."""
        return {name: self._of(name, values) for name, values in texts.items()}

    def _of(self, name: str, texts: list[str]) -> Any:
        kind = self._named.get(name)
        if kind is None:
            kind = next((kind for pattern, kind in self._patterns if pattern.is_valid(name)), self._others)
        if "array" in kind.types:
            return [_value(text, kind.items) for text in texts]
        if len(texts) == 1 or self._joined:
            return _value(", ".join(texts), kind.types)
        return [_value(text, kind.types) for text in texts]


@dataclass(frozen=True, slots=True)
class _Kind:
    """The types that a schema names for a value, and for the items of a list."""

    types: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()

    def __or__(self, other: _Kind) -> _Kind:
        return _Kind(self.types | other.types, self.items | other.items)


_NO_KIND = _Kind()


def _parts(schema: Any, whole: Schema, seen: tuple[Any, ...] = ()) -> Iterator[Mapping[str, Any]]:
    """A schema and those that apply to the same value: its references and its branches."""
    if not isinstance(schema, Mapping) or any(schema is one for one in seen):
        return
    yield schema
    seen = (*seen, schema)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield from _parts(resolve(whole, reference), whole, seen)
    for key in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(key, ()):
            yield from _parts(branch, whole, seen)


def _kind(schema: Any, whole: Schema) -> _Kind:
    types: set[str] = set()
    items: set[str] = set()
    for part in _parts(schema, whole):
        types.update(_types(part))
        for item in _parts(part.get("items"), whole):
            items.update(_types(item))
    return _Kind(frozenset(types), frozenset(items))


def _types(part: Mapping[str, Any]) -> Iterable[str]:
    """The types of a schema: those that it names, or those of the values that it lists."""
    named = part.get("type")
    if named is not None:
        return [named] if isinstance(named, str) else named
    values = part.get("enum", [part["const"]] if "const" in part else [])
    return [_TYPE_OF[type(value)] for value in values if type(value) in _TYPE_OF]


_TYPE_OF: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    type(None): "null",
}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,400})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def _value(text: str, types: frozenset[str]) -> Any:
    """A text as one of these types, unchanged if it may be text or matches none of them."""
    if not types or "string" in types:
        return text
    if types & {"integer", "number"} and _INTEGER.fullmatch(text):
        return int(text)
    if "number" in types and _NUMBER.fullmatch(text) and abs(number := float(text)) != float("inf"):
        return number
    if "boolean" in types and text in ("true", "false"):
        return text == "true"
    if "null" in types and not text:
        return None
    return text
