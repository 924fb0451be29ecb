"""Formats of fields and schemas of routes are judged alike: one library, one dialect."""

from __future__ import annotations

from typing import Any

import pytest

from framework.definitions.fields import Field, FieldType
from framework.definitions.location import Location
from framework.definitions.validation import FORMATS, compiled
from framework.definitions.values import FieldError

VALUES: tuple[object, ...] = (
    *(
        "AB123",
        "AB123\n",
        "AB\u0663",
        "\u00e9",
        "",
        "@",
        "a@b.c",
        "a@b",
        "a b",
        "http://a/b",
        "1.2.3.4",
        "::1",
        "01:02:03Z",
    ),
    *(
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00.5+01:00",
        "2026-01-31",
        "P1D",
        "a-b.c",
        "-a",
        "/a/b",
        "[",
        "{a}",
    ),
    *("123e4567-e89b-12d3-a456-426614174000", "x" * 300),
)
SCHEMAS: tuple[dict[str, Any], ...] = (
    *({"format": name} for name in FORMATS),
    *({"pattern": pattern} for pattern in (r"^AB\d+$", r"^\p{L}+$", r"^\w+$", "^[^ ]*$", "(?=A)A")),
    *({"minLength": 3}, {"maxLength": 3}, {"enum": ["AB123"]}, {"type": "string"}, {"not": {"const": "@"}}),
)


def accepts(format_: object, value: object) -> bool:
    location = Location("a.yaml", 1, 1)
    try:
        Field("f", FieldType("string", "string"), location, format=format_).accept(value)
    except FieldError as error:
        return error.rule != "format"
    return True


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_field_takes_what_a_route_takes(schema: dict[str, Any]) -> None:
    route = compiled(schema)
    for value in VALUES:
        assert accepts(schema, value) == route.is_valid(value), value
        if [*schema] == ["format"]:
            assert accepts(schema["format"], value) == route.is_valid(value), value


def test_patterns_are_those_of_json_schema() -> None:
    assert not accepts({"pattern": r"^AB\d+$"}, "AB123\n")
    assert not accepts({"pattern": r"^AB\d+$"}, "AB\u0663")
    assert accepts({"pattern": r"^\p{L}+$"}, "\u00e9")
    assert not accepts("email", "@")


@pytest.mark.timeout(20)
def test_no_pattern_holds_a_save_up() -> None:
    assert not accepts({"pattern": "^(a+)+$"}, "a" * 60 + "b")
    accepts({"pattern": "^(?=(a+)+$)b"}, "a" * 60 + "b")
