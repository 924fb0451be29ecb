"""Checks a definition against the JSON Schema of its kind, which editors use for completion as well.

The rule: the schema decides, and the wording is ours. Each violation is reported once, at the unknown key or the
wrong value.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from .kinds import Kind
from .nodes import ListNode, MapNode, Node, ScalarNode
from .problem import Report, did_you_mean, listed, nearest, quoted

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_TYPE_WORDS: Mapping[str, tuple[str, ...]] = {
    "string": ("str", "text", "varchar", "char", "uuid", "email", "url", "enum", "bytes", "unicode"),
    "integer": (
        *("int", "int8", "int16", "int32", "int64", "uint", "uint32", "uint64", "long", "short"),
        *("bigint", "smallint", "serial"),
    ),
    "number": ("float", "float32", "float64", "double", "real", "decimal", "numeric"),
    "boolean": ("bool", "bit", "flag"),
    "object": ("dict", "map", "mapping", "json", "jsonb", "struct", "record", "any"),
    "array": ("list", "tuple", "set", "sequence", "json[]", "string[]", "list[str]"),
    "DateTime": ("date", "datetime", "time", "timestamp", "timestamptz", "date-time", "datetime.datetime"),
    "array<MU>": ("list<mu>", "mu[]", "array<object>", "list[dict]"),
}
_REFERENCE = re.compile(r"(array|list)?[<\[ ]*(?:AxisAtom|atom)\.([A-Za-z_][A-Za-z0-9_]*)[>\] ]*")
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "more than"}


@functools.cache
def schema_of(kind: Kind) -> Mapping[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of definition."""
    text = resources.files(__package__).joinpath("schemas", f"{kind}.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


@functools.cache
def _validator(kind: Kind) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema_of(kind))


def validate(kind: Kind, node: MapNode, report: Report) -> None:
    """Report everything in a definition that its schema does not allow."""
    for error in _validator(kind).iter_errors(_instance(node, schema_of(kind))):
        tell(error, node, report)


def _instance(node: Node, schema: Mapping[str, Any]) -> object:
    """A node's value as the schema sees it. A known key without a value is the same as no key."""
    if isinstance(node, ListNode):
        items = schema.get("items", {})
        return [_instance(item, items) for item in node.items]
    if isinstance(node, ScalarNode):
        return node.value
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    rest = others if isinstance(others, dict) else {}
    return {
        key: _instance(value, properties.get(key, rest))
        for key, (_, value) in node.entries.items()
        if key not in properties or not isinstance(value, ScalarNode) or value.value is not None
    }


def tell(error: ValidationError, top: MapNode, report: Report) -> None:
    """Report a violation that was found in the value of a node."""
    _Violation(error, top, report).tell()


def descend(node: Node, path: Sequence[str | int]) -> Node:
    """The node at a path below another one, or the last one on that path that exists."""
    for step in path:
        if isinstance(node, MapNode) and isinstance(step, str):
            node = node.entries[step][1]
        elif isinstance(node, ListNode) and isinstance(step, int):
            node = node.items[step]
    return node


class _Violation:
    """One violation of a schema, and its wording."""

    def __init__(self, error: ValidationError, top: MapNode, report: Report) -> None:
        self.error = error
        self.schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
        path = list(error.absolute_path)
        self.node = descend(top, path)
        self.what = self._what(path)
        self.report = report

    @staticmethod
    def _what(path: Sequence[str | int]) -> str:
        if not path:
            return "the definition"
        if isinstance(path[-1], int):
            owner = f" of {quoted(path[-2])}" if len(path) > 1 else ""
            return f"item {path[-1] + 1}{owner}"
        return quoted(path[-1])

    def tell(self) -> None:
        rule = str(self.error.validator)
        if rule == "additionalProperties":
            self._unknown_keys()
        elif rule == "required":
            self._missing_keys()
        elif rule == "type":
            self._wrong_type()
        else:
            self._wrong_value(rule)

    def _properties(self) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self.schema.get("properties", {})
        return properties

    def _unknown(self) -> list[str]:
        patterns = self.schema.get("patternProperties", {})
        entries = self.node.entries if isinstance(self.node, MapNode) else {}
        return [
            key
            for key in entries
            if key not in self._properties() and not any(re.search(pattern, key) for pattern in patterns)
        ]

    def _unknown_keys(self) -> None:
        assert isinstance(self.node, MapNode)
        owner = "" if not self.error.absolute_path else f" in {self.what}"
        for key in self._unknown():
            known = [name for name in self._properties() if name not in self.node.entries]
            hint = did_you_mean(key, known)
            if hint is None:
                hint = f"the keys here are {', '.join(self._properties())}; your own start with `x-`"
            location = self.node.key_location(key)
            self.report.error(location, "unknown-key", f"unknown key {quoted(key)}{owner}", hint=hint)

    def _missing_keys(self) -> None:
        assert isinstance(self.node, MapNode)
        if not self.node.whole:
            return
        misspelt = {nearest(key, self._properties()) for key in self._unknown()}
        for key in self.schema.get("required", ()):
            if self.node.get(key) is not None or key in misspelt:
                continue
            if key in self.node.entries:
                where, message = self.node.key_location(key), f"{quoted(key)} is empty"
            else:
                owner = "" if not self.error.absolute_path else f" in {self.what}"
                where, message = self.node.location, f"the key {quoted(key)} is missing{owner}"
            description = self._properties().get(key, {}).get("description")
            self.report.error(where, "missing-key", message, hint=description)

    def _wrong_type(self) -> None:
        types = self.schema.get("type", ())
        wanted = " or ".join(_TYPES[name] for name in ([types] if isinstance(types, str) else types))
        hint = None
        if isinstance(self.node, ScalarNode):
            text = self.node.text
            if types == "boolean" and text.lower() in (*_WORDS, "true", "false"):
                hint = f"did you mean `{_WORDS.get(text.lower(), text.lower())}`, without quotes?"
            elif types == "string":
                hint = f'quote it: "{text}"'
            elif types in ("integer", "number") and re.fullmatch(r"[+-]?[0-9.]+", text):
                hint = "write the number without quotes and leading zeros"
        message = f"{self.what} must be {wanted}, not {_described(self.node)}"
        self.report.error(self.node.location, "wrong-type", message, hint=hint)

    def _wrong_value(self, rule: str) -> None:
        value: object = self.error.instance
        bound: Any = self.error.validator_value
        hint = None
        if rule in ("enum", "pattern"):
            wanted = listed(bound) if rule == "enum" else str(self.schema.get("patternErrorMessage", bound))
            known = bound if rule == "enum" else self.schema.get("examples", ())
            message = f"{self.what} must be {wanted}, not {quoted(value)}"
            hint = did_you_mean(value, known) if isinstance(value, str) else None
            if isinstance(value, str) and self.what == "`field_type`":
                hint = _type_hint(value) or hint
        elif rule in _LIMITS:
            message = f"{self.what} must be {_LIMITS[rule]} {bound}, not {quoted(value)}"
        elif rule in ("minLength", "minItems"):
            message = f"{self.what} must not be empty"
        else:
            message = f"{self.what}: {self.error.message}"
        self.report.error(self.node.location, "wrong-value", message, hint=hint)


def _type_hint(written: str) -> str | None:
    """The name here for a type of another language or database."""
    found = _REFERENCE.fullmatch(written)
    if found is not None:
        return f"write `{'array' if found[1] else ''}<AxisAtom.{found[2]}>`"
    word = re.sub(r"\(.*", "", written).strip().lower()
    meant = next((name for name, words in _TYPE_WORDS.items() if word in words), None)
    return f"write `{meant}`" if meant else None


def _described(node: Node) -> str:
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node.value, str):
        return f"the text {quoted(node.value)}"
    if isinstance(node.value, bool):
        return f"`{node.text}`"
    return f"the number `{node.text}`" if node.value is not None else "nothing"
