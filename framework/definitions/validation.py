"""What a route requires of a request: JSON Schemas (draft 2020-12) for body, parameters, headers and variables.

The rule: a schema is examined once, by the check. It may refer only to itself, so nothing is ever fetched. Whatever
JSON Schema would silently ignore, such as a misspelt keyword or an unknown format, is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .nodes import ListNode, MapNode, Node, ScalarNode, plain
from .problem import Report, did_you_mean, listed, quoted
from .schema import descend, tell

if TYPE_CHECKING:
    from jsonschema_rs import Validator

Schema = Mapping[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

FORMATS = (
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
)

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

# Where schemas stand inside a schema.
_ONE = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_BY_NAME = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_KEYWORDS = (
    *_ONE,
    *_SEVERAL,
    *_BY_NAME,
    *("$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary"),
    *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *(
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
    ),
    *("maxProperties", "minProperties", "required", "dependentRequired", "format"),
    *("contentEncoding", "contentMediaType", "title", "description", "default", "deprecated"),
    *("readOnly", "writeOnly", "examples"),
)
_OF_OTHERS = {
    "example": "write `examples: [...]`",
    "nullable": 'write `type: [string, "null"]`',
    "dependencies": "write `dependentRequired` or `dependentSchemas`",
    "additionalItems": "write `items`, beside `prefixItems`",
}

# Steps that a pattern with look-around or back-references may take on one text, before the text counts as
# not matching. Plain patterns take a time that grows with the text alone.
_BACKTRACK_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class RequestSchemas:
    """The schemas of a route, or None. The names of headers are in lower case."""

    body: Schema | None = None
    parameters: Schema | None = None
    headers: Schema | None = None
    resources: Schema | None = None


def compiled(schema: Schema) -> Validator:
    """The validator of a schema that the check has accepted. It fetches nothing and enforces formats."""
    from jsonschema_rs import Draft202012Validator, FancyRegexOptions

    return Draft202012Validator(
        dict(schema),
        validate_formats=True,
        ignore_unknown_formats=False,
        offline=True,
        mask="the value",  # a message never repeats what a client has sent
        pattern_options=FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT),
    )


def parse_validation(
    node: MapNode | None, variables: tuple[str, ...], report: Report
) -> RequestSchemas | None:
    """The schemas of a route with these variables in its path."""
    if node is None:
        return None
    body, parameters = _schema(node, "body", report), _schema(node, "parameters", report)
    headers, resources = _schema(node, "headers", report), _schema(node, "resources", report)
    if resources is not None:
        _check_names(node, variables, report)
    if headers is not None:
        headers = _in_lower_case(headers)
    return RequestSchemas(body, parameters, headers, resources)


def _schema(node: MapNode, key: str, report: Report) -> Schema | None:
    """The schema under a key, or None if there is no usable one. Every mistake in it is reported."""
    found = node.map(key)
    if found is None:
        return None
    return checked_schema(found, report)


def checked_schema(found: MapNode, report: Report) -> Schema | None:
    """The JSON Schema of a mapping, or None if it is not usable. Every mistake in it is reported."""
    schema = plain(found)
    assert isinstance(schema, dict)
    own = Report()
    _check_form(found, schema, own)
    if not own.problems():
        parts = list(_schemas(found))
        anchors = (part.text(key) for part in parts for key in ("$anchor", "$dynamicAnchor"))
        names = {name for name in anchors if name is not None}
        there = [*(f"#/$defs/{name}" for name in schema.get("$defs", ())), *(f"#{name}" for name in names)]
        for part in parts:
            _check_words(part, own)
            _check_patterns(part, own)
            _check_references(part, schema, names, there, own)
        if not own.errors():
            _try(found, schema, own)
    report.extend(own)
    return None if own.errors() else schema


def _check_form(node: MapNode, schema: Schema, report: Report) -> None:
    """Report what the meta-schema does not allow."""
    from jsonschema import Draft202012Validator

    named = [item for part in _schemas(node) for item in part.items("required")]
    if _report_no_text(named, report):
        return  # the library compares each pair
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        if error.validator == "anyOf":  # of `type` alone: one name or a list of them
            place = descend(node, list(error.absolute_path))
            value = plain(place)
            message = f"`type` must be {listed(_TYPES)}, or a list of these, not {quoted(value)}"
            hint = did_you_mean(value, _TYPES) if isinstance(value, str) else None
            report.error(place.location, "wrong-value", message, hint=hint)
        else:
            tell(error, node, report)


def _report_no_text(named: Iterable[Node], report: Report) -> bool:
    """Report names in `required` that are not text. Return whether there was any."""
    wrong = [item for item in named if not (isinstance(item, ScalarNode) and isinstance(item.value, str))]
    for item in wrong:
        message = f"a name in `required` must be text, not {quoted(plain(item))}"
        hint = f'quote it: "{item.text}"' if isinstance(item, ScalarNode) and item.text else None
        report.error(item.location, "wrong-type", message, hint=hint)
    return bool(wrong)


def _schemas(node: Node) -> Iterator[MapNode]:
    """A schema and all those inside it."""
    if not isinstance(node, MapNode):
        return  # `true` and `false` are schemas too
    yield node
    for key in (*_ONE, *_SEVERAL, *_BY_NAME):
        below = node.get(key)
        if below is None:
            continue
        if key in _SEVERAL and isinstance(below, ListNode):
            for item in below.items:
                yield from _schemas(item)
        elif key in _BY_NAME and isinstance(below, MapNode):
            for _, value in below.entries.values():
                yield from _schemas(value)
        elif key in _ONE:
            yield from _schemas(below)


def _check_words(node: MapNode, report: Report) -> None:
    """Report keywords of this schema that have no effect, or an unintended one."""
    for key in node.entries:
        if key not in _KEYWORDS and not key.startswith("x-"):
            meant = None if key in _OF_OTHERS else did_you_mean(key, _KEYWORDS)
            message = f"{quoted(key)} is not a keyword of JSON Schema (draft 2020-12), and has no effect"
            tell = report.warning if meant is None else report.error
            tell(node.key_location(key), "schema-keyword", message, hint=meant or _OF_OTHERS.get(key))
    draft = node.text("$schema")
    if draft is not None and draft.rstrip("#") != DRAFT:
        message = f"the schema is of another draft than 2020-12: {quoted(draft)}"
        report.error(
            node.value_location("$schema"), "json-schema", message, hint=f"write {DRAFT}, or nothing"
        )
    name = node.text("format")
    if name is not None and name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f"the formats are {', '.join(FORMATS)}"
        message = f"there is no format {quoted(name)}"
        report.error(node.value_location("format"), "json-schema", message, hint=hint)


def _check_patterns(node: MapNode, report: Report) -> None:
    """Report invalid regular expressions."""
    patterns = node.map("patternProperties")
    found = [(key, patterns.key_location(key)) for key in patterns.entries] if patterns else []
    text = node.text("pattern")
    if text is not None:
        found.append((text, node.value_location("pattern")))
    for pattern, place in found:
        try:
            compiled({"pattern": pattern})
        except ValueError:
            report.error(place, "json-schema", f"{quoted(pattern)} is not a regular expression")


def _check_references(
    node: MapNode, whole: Schema, names: Collection[str], there: Collection[str], report: Report
) -> None:
    """Report references that leave the schema, or that lead to nothing in it.

    ``names`` are its anchors, and ``there`` is what was probably meant.
    """
    for key in ("$ref", "$dynamicRef"):
        reference = node.text(key)
        if reference is None:
            continue
        place = node.value_location(key)
        if not reference.startswith("#"):
            message = f"the schema refers to {quoted(reference)}, outside itself: nothing is ever fetched"
            hint = "put it under `$defs`, and refer to `#/$defs/NAME`"
            report.error(place, "json-schema", message, hint=hint)
        elif reference != "#" and reference[1:] not in names and resolve(whole, reference) is None:
            message = f"the schema refers to {quoted(reference)}, which it does not have"
            report.error(place, "json-schema", message, hint=report.did_you_mean(reference, there))


def resolve(schema: Any, reference: str) -> Any:
    """The target of a reference ``#/...`` in this schema, or None if it is missing or of another form."""
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, Mapping) and key in schema:
            schema = schema[key]
        elif isinstance(schema, list) and key.isdecimal() and int(key) < len(schema):
            schema = schema[int(key)]
        else:
            return None
    return schema


def _try(node: MapNode, schema: Schema, report: Report) -> None:
    """Compile it as a start does. This finds numbers and sizes beyond all bounds."""
    from jsonschema_rs import ValidationError

    try:
        compiled(schema)
    except ValidationError as error:
        place = descend(node, list(error.instance_path))
        report.error(place.location, "json-schema", f"the schema cannot be used: {error.message}")
    except (ValueError, OverflowError) as error:
        report.error(node.location, "json-schema", f"the schema cannot be used: {error}")


def _check_names(node: MapNode, variables: tuple[str, ...], report: Report) -> None:
    """Report names that are not variables of the path, because such a value never exists."""
    schema = node.map("resources")
    properties = schema.map("properties") if schema else None
    named = [(key, properties.key_location(key)) for key in properties.entries] if properties else []
    named += [(str(item.value), item.location) for item in schema.texts("required")] if schema else []
    for name, place in named:
        if name not in variables:
            message = f"{quoted(name)} is not a variable of the route's path"
            report.error(place, "json-schema", message, hint=did_you_mean(name, variables))


def _in_lower_case(schema: Any) -> Any:
    """A schema of headers with names in lower case, since they are compared in lower case."""
    if isinstance(schema, list):
        return [_in_lower_case(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    lowered = {key: _in_lower_case(value) for key, value in schema.items()}
    for key in ("properties", "dependentSchemas", "dependentRequired"):
        if isinstance(lowered.get(key), dict):
            lowered[key] = {name.lower(): value for name, value in lowered[key].items()}
    for key, value in (("required", lowered.get("required")), *lowered.get("dependentRequired", {}).items()):
        if isinstance(value, list):
            names = [name.lower() for name in value if isinstance(name, str)]
            (lowered if key == "required" else lowered["dependentRequired"])[key] = names
    return lowered
