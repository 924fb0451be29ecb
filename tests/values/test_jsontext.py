"""JSON text: what goes in comes back equal, or is refused."""

from __future__ import annotations

import datetime as dt
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given

from framework.values import jsontext
from framework.values.mu import MU
from tests.values.test_mu import JSON


@given(JSON)
@example(10**4000)
@example([-0.0, 5e-324, 1.7976931348623157e308, 2**63, 1.0, 1])
@example({"": "", "a\x00b": "\x00\u2028\U0010ffff"})
def test_what_goes_in_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    back = jsontext.decode(jsontext.encode(value))
    assert repr(back) == repr(value)


def test_the_text_is_compact_and_keeps_order_and_unicode() -> None:
    assert jsontext.encode({"b": [1, 2.0], "a": "ü🚚"}) == '{"b":[1,2.0],"a":"ü🚚"}'


class WithDictionary:
    @property
    def dictionary(self) -> dict[str, Any]:
        return {"of": "an instance", "mu": MU(items=[1])}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MU(items=[1], keys={"values": 2}), '{"items":[1],"keys":{"values":2}}'),
        ([{"deep": MU(items=1)}], '[{"deep":{"items":1}}]'),
        (WithDictionary(), '{"of":"an instance","mu":{"items":[1]}}'),
        ({"x": [WithDictionary()]}, '{"x":[{"of":"an instance","mu":{"items":[1]}}]}'),
        (MappingProxyType({"a": MU(items=1)}), '{"a":{"items":1}}'),
        ((1, (2,)), "[1,[2]]"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), '"2026-01-02T00:00:00+00:00"'),
    ],
)
def test_what_stands_for_other_values(value: Any, text: str) -> None:
    assert jsontext.encode(value) == text


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), [float("-inf")]),
        *("\ud800", ["\udfff"], {"\ud800": 1}, "a" * 100 + "\ud800"),
        *(circle(), deep(), 10**30000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_carry_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it is what callers catch
        jsontext.encode(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {"a": [b"x"]}, 1j, {(1, 2): 3}])
def test_what_json_does_not_know_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        jsontext.encode(value)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", "{'a': 1}", '"\n"', "1 2", "[" * 100_000])
def test_broken_text_is_a_value_error_or_a_recursion_error(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        jsontext.decode(text)


def test_a_key_that_stands_twice_is_refused_at_every_depth() -> None:
    read = json.JSONDecoder(object_pairs_hook=jsontext.unambiguous).decode
    assert read('{"a": {"b": 1}, "b": [{"a": 2}]}') == {"a": {"b": 1}, "b": [{"a": 2}]}
    for text in ('{"a": 1, "a": 1}', '[{"b": {"a": 1, "\\u0061": 2}}]'):
        with pytest.raises(jsontext.RepeatedKey, match="twice"):
            read(text)
