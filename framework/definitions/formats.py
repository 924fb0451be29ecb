"""What a field's `field_format` requires of a value: a named format or a JSON Schema.

The rule: it is checked like the schemas of a route, by the same library and in the same dialect (see `validation`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .nodes import ListNode, MapNode, Node, ScalarNode
from .problem import Report, did_you_mean, quoted
from .source import Source
from .validation import FORMATS, checked_schema, compiled
from .values import FieldError


def parse_format(node: Node, report: Report) -> object | None:
    """The format, a name or a schema, or None, with every mistake in the report, if it is invalid."""
    if isinstance(node, MapNode):
        return checked_schema(node, report)
    if not (isinstance(node, ScalarNode) and isinstance(node.value, str)):
        return None
    written = node.value
    if written.lstrip().startswith("{"):
        try:
            found = _located(json.loads(written), node)
        except (ValueError, RecursionError) as error:
            report.error(node.location, "field-format", f"the format is not JSON: {error}")
            return None
        return checked_schema(found, report) if isinstance(found, MapNode) else None
    if written in FORMATS:
        return written
    hint = did_you_mean(written, FORMATS) or f"the formats are {', '.join(FORMATS)}, or a JSON Schema"
    report.error(node.location, "field-format", f"there is no format {quoted(written)}", hint=hint)
    return None


def _located(value: object, node: ScalarNode) -> Node:
    """A JSON value as nodes, all with the location of the text."""
    source, start = node.source, node.start
    if isinstance(value, dict):
        entries = {key: (_scalar(key, source, node), _located(item, node)) for key, item in value.items()}
        return MapNode(source, start, entries)
    if isinstance(value, list):
        return ListNode(source, start, tuple(_located(item, node) for item in value))
    return _scalar(value, source, node)


def _scalar(value: Any, source: Source, node: ScalarNode) -> ScalarNode:
    style = '"' if isinstance(value, str) else ""
    return ScalarNode(source, node.start, node.end, value, style, value if style else json.dumps(value))


def format_check(format: object) -> Callable[[object], None]:
    """A check that raises `FieldError` for a value that does not match a format which `parse_format` has accepted."""
    from jsonschema_rs import ValidationError

    if isinstance(format, str) and format.lstrip().startswith("{"):
        format = json.loads(format)
    named = isinstance(format, str)
    validator = compiled({"format": format} if named else format)  # type: ignore[arg-type]

    def check(value: object) -> None:
        try:
            validator.validate(value)
        except ValidationError as error:
            if named:
                raise FieldError("format", f"must have the format {format}") from None
            place = "".join(
                f".{step}" if isinstance(step, str) else f"[{step}]" for step in error.instance_path
            )
            raise FieldError(
                "format", f"does not fit its format: {place and place + ': '}{error.message}"
            ) from None

    return check
