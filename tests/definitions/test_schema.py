"""The JSON Schemas are what editors complete from: valid, closed, and every key described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from framework.definitions import KINDS, schema_of
from framework.definitions.kinds import Kind

BOOKKEEPING = {"version", "created_at", "update", "workspace", "id", "category"}


def parts(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its place."""
    yield where, schema
    for name in ("properties", "patternProperties"):
        for key, part in schema.get(name, {}).items():
            yield from parts(part, f"{where}.{key}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from parts(schema[name], f"{where}.{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_every_key_is_described(kind: Kind) -> None:
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/{kind}.json")
    for where, part in parts(schema, kind):
        assert part.get("description"), where
        if "properties" in part:
            assert part["additionalProperties"] is False, where
            assert list(part["patternProperties"]) == ["^x-"], where
            assert set(part.get("required", ())) <= set(part["properties"]), where


@pytest.mark.parametrize("kind", KINDS)
def test_the_bookkeeping_keys_of_exports_are_known(kind: Kind) -> None:
    assert set(schema_of(kind)["properties"]) >= BOOKKEEPING
