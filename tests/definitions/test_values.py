"""What each type takes: a value comes out as it went in, or is refused with the rule that it breaks and its place."""

from __future__ import annotations

import datetime as dt
import enum
import math
import sys
from collections import OrderedDict, UserDict
from typing import Any

import pytest

from framework.definitions.values import ACCEPT, MAX_JSON_DEPTH, FieldError, kind, rebuilt
from framework.values.mu import MU


class Text(str):
    """A subclass, as libraries have them."""

    def __str__(self) -> str:
        return "another text"


class Whole(enum.IntEnum):
    SEVEN = 7


class Real(float):
    pass


class Unknown(dt.tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, dt: dt.datetime | None) -> None:
        return None


def refused(type_: str, value: object) -> FieldError:
    with pytest.raises(FieldError) as caught:
        ACCEPT[type_](value)
    assert str(caught.value) == caught.value.message != ""
    return caught.value


# ---- scalars --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "value", "accepted"),
    [
        ("string", Text("é"), "é"),
        ("integer", Whole.SEVEN, 7),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", -(2**63), -(2**63)),
        ("number", Real(1.5), 1.5),
        ("number", Whole.SEVEN, 7.0),
        ("number", -(2**53), -(2.0**53)),
        ("number", sys.float_info.max, sys.float_info.max),
        ("boolean", True, True),
        ("reference", "anything", "anything"),
        ("array<reference>", ("a", 1), ["a", 1]),
    ],
)
def test_a_value_becomes_a_plain_one_of_its_type(type_: str, value: object, accepted: object) -> None:
    found = ACCEPT[type_](value)
    assert (type(found), found) == (type(accepted), accepted)


@pytest.mark.parametrize(
    ("type_", "value", "rule", "named"),
    [
        ("string", 1, "type", "the number 1"),
        ("string", None, "type", "null"),
        ("string", "a\ud800", "text", "surrogate"),
        ("string", Text("\udfff"), "text", "surrogate"),
        ("integer", True, "type", "`true`"),
        ("integer", "1", "type", "the text '1'"),
        ("integer", 1.0, "type", "the number 1.0"),
        ("integer", 2**63, "range", "64 bits"),
        ("integer", -(2**63) - 1, "range", "64 bits"),
        ("number", False, "type", "`false`"),
        ("number", "1", "type", "the text '1'"),
        ("number", 10**400, "range", "double"),
        ("number", 2**53 + 1, "range", str(2**53 + 1)),
        ("number", math.inf, "range", "inf"),
        ("number", math.nan, "range", "nan"),
        ("boolean", 1, "type", "the number 1"),
        ("boolean", None, "type", "null"),
        ("DateTime", 7, "type", "the number 7"),
        ("DateTime", dt.datetime(2026, 1, 1), "offset", "2026-01-01T00:00:00"),
        ("DateTime", dt.datetime(2026, 1, 1, tzinfo=Unknown()), "offset", "2026-01-01T00:00:00"),
        ("object", [], "type", "a list"),
        ("MU", None, "type", "null"),
        ("array", {}, "type", "a mapping"),
        ("array", "ab", "type", "the text 'ab'"),
        ("array<MU>", "ab", "type", "the text 'ab'"),
        ("array<MU>", [{}, 1], "type", "[1] must be a mapping, not the number 1"),
        ("array<reference>", {}, "type", "a mapping"),
    ],
)
def test_a_value_of_another_type_is_refused_and_shown(
    type_: str, value: object, rule: str, named: str
) -> None:
    error = refused(type_, value)
    assert error.rule == rule
    assert named in error.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "`true`"),
        ("a" * 60, f"the text '{'a' * 60}'"),
        ("a" * 61, "a text"),
        (1.5, "the number 1.5"),
        (1e300, "the number 1e+300"),
        (10**30 - 1, f"the number {10**30 - 1}"),
        (1 - 10**30, f"the number {1 - 10**30}"),
        (10**30, "the number a huge one"),
        (-(10**30), "the number a huge one"),
        (UserDict(), "a mapping"),
        ([], "a list"),
        ((), "a list"),
        ({1}, "a set"),
    ],
)
def test_a_message_says_what_a_value_is_and_never_at_length(value: object, words: str) -> None:
    assert kind(value) == words


# ---- points in time -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("2026-01-31T12:34:56Z", dt.datetime(2026, 1, 31, 12, 34, 56, tzinfo=dt.UTC)),
        ("2026-01-31t12:34:56z", dt.datetime(2026, 1, 31, 12, 34, 56, tzinfo=dt.UTC)),
        ("2026-01-31 12:34:56.1+00:00", dt.datetime(2026, 1, 31, 12, 34, 56, 100000, dt.UTC)),
        ("2026-01-31T12:34:56.123456000Z", dt.datetime(2026, 1, 31, 12, 34, 56, 123456, dt.UTC)),
        ("2026-01-31T12:34:56.000001Z", dt.datetime(2026, 1, 31, 12, 34, 56, 1, dt.UTC)),
        ("2026-01-31T12:34:56-01:30", dt.datetime(2026, 1, 31, 14, 4, 56, tzinfo=dt.UTC)),
        ("2026-01-31T12:34:56+23:59", dt.datetime(2026, 1, 30, 12, 35, 56, tzinfo=dt.UTC)),
        ("2026-01-31T12:34:56-00:00", dt.datetime(2026, 1, 31, 12, 34, 56, tzinfo=dt.UTC)),
    ],
)
def test_text_of_rfc_3339_is_the_point_in_time_that_it_says(text: str, point: dt.datetime) -> None:
    found = ACCEPT["DateTime"](text)
    assert found == point
    assert isinstance(found, dt.datetime)
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2026-01-31T12:34:56", "offset"),
        ("2026-01-31T12:34:56.5", "offset"),
        ("2026-01-31T12:34:56+24:00", "type"),
        ("2026-01-31T12:34:56+00:60", "type"),
        ("2026-01-31T12:34:56-24:00", "type"),
        ("2026-01-31T12:34:60Z", "type"),
        ("2026-01-31T24:00:00Z", "type"),
        ("2026-02-30T12:34:56Z", "type"),
        ("2026-01-31T12:34:56.0000001Z", "range"),
        ("2026-01-31T12:34:56.1234561Z", "range"),
        ("0001-01-01T00:00:00+00:01", "range"),
        ("9999-12-31T23:59:59-00:01", "range"),
        ("٢٠٢٦-01-31T12:34:56Z", "type"),
        ("2026-01-31T12:34:56Z\n", "type"),
        ("2026-01-31", "type"),
        ("", "type"),
    ],
)
def test_text_that_says_no_point_in_time_is_refused(text: str, rule: str) -> None:
    error = refused("DateTime", text)
    assert error.rule == rule
    if rule == "type":
        assert repr(text) in error.message


def test_a_leap_second_is_called_what_it_is() -> None:
    assert "leap second" in refused("DateTime", "2016-12-31T23:59:60Z").message


def test_an_offset_with_too_many_minutes_is_named_as_the_reason() -> None:
    assert "offset" in refused("DateTime", "2026-01-31T12:34:56+01:60").message


def test_a_refused_text_of_a_point_in_time_is_not_shown_at_length() -> None:
    for text in ("x" * 10_000, "2026-01-31T12:34:56." + "1" * 10_000 + "Z"):
        assert len(refused("DateTime", text).message) < 300


# ---- JSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rule", "message"),
    [
        ({"a": [0, {"b": {1}}]}, "type", ".a[1].b must be a JSON value, not a set"),
        ({"a": {1: 2}}, "type", ".a has the key 1"),
        ({Text("a"): 1}, "type", "it has the key"),
        ({"a": math.nan}, "range", ".a must be a finite number, not nan"),
        ({"a": "\ud800"}, "text", ".a must not contain half of a surrogate pair"),
        ({"\ud800": 1}, "text", ".\\ud800 must not contain half of a surrogate pair"),
        ({"a": Real("inf")}, "range", ".a must be a finite number, not inf"),
        ({"é": [None, b"1"]}, "type", ".é[1] must be a JSON value, not a bytes"),
    ],
)
def test_the_place_inside_a_value_is_named(value: object, rule: str, message: str) -> None:
    error = refused("object", value)
    assert error.rule == rule
    assert error.message.startswith(message)


@pytest.mark.parametrize("step", ["a", 0])
def test_a_path_has_ten_steps_at_most(step: str | int) -> None:
    """The inner ones are left out: a message stays short."""
    for depth, shown in ((8, 8), (9, 9), (10, 9), (150, 9)):
        value: object = {1}
        for _ in range(depth):
            value = {"a": value} if step == "a" else [value]
        error = refused("object" if step == "a" else "array", value)
        steps = error.message.count(".a") if step == "a" else error.message.count("[0]")
        assert steps == shown


def nested(depth: int, make: Any) -> Any:
    value = make(0)
    for _ in range(depth - 1):
        value = make(value)
    return value


@pytest.mark.parametrize(
    ("type_", "make"),
    [("object", lambda inner: {"a": inner}), ("array", lambda inner: [inner]), ("array", lambda one: (one,))],
)
def test_values_are_nested_as_deep_as_is_allowed_and_no_deeper(type_: str, make: Any) -> None:
    ACCEPT[type_](nested(MAX_JSON_DEPTH, make))
    assert refused(type_, nested(MAX_JSON_DEPTH + 1, make)).rule == "depth"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": [UserDict(b=Text("é"))]}, {"a": [{"b": "é"}]}),
        ({"a": Whole.SEVEN, "b": Real(1.5), "c": True, "d": None}, {"a": 7, "b": 1.5, "c": True, "d": None}),
        (UserDict(a=UserDict(b=1), c="x"), {"a": {"b": 1}, "c": "x"}),
        ({"a": UserDict(), "b": 1}, {"a": {}, "b": 1}),  # the first of several is not the last word
        ({"a": [(), 1]}, {"a": [[], 1]}),
        ({"a": [Whole.SEVEN, [1]]}, {"a": [7, [1]]}),
    ],
)
def test_what_is_not_plain_json_comes_out_as_a_plain_copy(value: Any, plain: object) -> None:
    def types(one: object) -> object:
        if isinstance(one, dict):
            return {key: types(inner) for key, inner in one.items()}
        return [types(inner) for inner in one] if isinstance(one, list) else type(one)

    found = ACCEPT["object"](value)
    assert found == plain
    assert found is not value
    assert type(found) is dict
    assert types(found) == types(plain)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 1.5, True, None, "é", {}, []]},
        {"a": 2**63, "b": -(2**63) - 1, "c": 10**4000},
        OrderedDict(a=1),
        MU({"items": 1, "keys": [2]}),
    ],
)
def test_plain_json_is_the_very_value(value: object) -> None:
    assert ACCEPT["object"](value) is value
    assert ACCEPT["MU"](value) is value


def test_a_key_of_a_subclass_of_dict_may_be_called_as_its_methods_are() -> None:
    assert rebuilt(MU({"items": (1,), "keys": 2})) == {"items": [1], "keys": 2}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_whole_number_has_as_many_digits_as_python_writes(
    sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(700)
        ACCEPT["array"]([sign * (10**700 - 1)])
        error = refused("array", [0, sign * 10**700])
        assert (error.rule, error.message.startswith("[1] ")) == ("range", True)
        assert "700" in error.message
        sys.set_int_max_str_digits(0)  # no bound
        ACCEPT["array"]([sign * 10**700])
    finally:
        sys.set_int_max_str_digits(before)
