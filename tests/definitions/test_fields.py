"""A field takes what it can give back as it was, and says which rule anything else breaks."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict, UserDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.definitions import Checked, Field, FieldError, check
from framework.definitions.fields import FieldType
from framework.definitions.location import Location
from framework.values.mu import MU

UTC = dt.UTC
TOKYO = dt.timezone(dt.timedelta(hours=9))


class Color(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


def field(base: Any, **options: Any) -> Field:
    return Field(name="f", type=FieldType(base, base), location=Location("a.yaml", 1, 1), **options)


@pytest.mark.parametrize(
    ("base", "value", "accepted"),
    [
        ("string", "", ""),
        ("string", "注文\0", "注文\0"),
        ("string", Color.RED, "red"),
        ("integer", -(2**63), -(2**63)),
        ("integer", Number.ONE, 1),
        ("number", 1, 1.0),
        ("number", 2**53, float(2**53)),
        ("number", -0.5, -0.5),
        ("boolean", False, False),
        ("object", {"a": [1, None, {"b": 10**100}]}, {"a": [1, None, {"b": 10**100}]}),
        ("object", OrderedDict(a=(1, 2)), {"a": [1, 2]}),
        ("object", UserDict(a=UserDict()), {"a": {}}),
        ("MU", {}, {}),
        ("array", (1, (2,)), [1, [2]]),
        ("array", [Color.RED, Number.ONE], ["red", 1]),
        ("array<MU>", [{}, {"a": 1}], [{}, {"a": 1}]),
        ("DateTime", dt.datetime(2026, 1, 31, 12, tzinfo=TOKYO), dt.datetime(2026, 1, 31, 3, tzinfo=UTC)),
        ("DateTime", "2026-01-31T12:00:00Z", dt.datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("DateTime", "2026-01-31 12:00:00.1234560+09:00", dt.datetime(2026, 1, 31, 3, 0, 0, 123456, UTC)),
    ],
)
def test_a_value_comes_back_as_it_went_in(base: Any, value: object, accepted: object) -> None:
    result = field(base).accept(value)
    assert result == accepted
    assert type(result) is type(accepted)
    if base == "DateTime":
        assert isinstance(result, dt.datetime)
        assert result.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize(
    ("base", "value", "rule"),
    [
        ("string", None, "nullable"),
        ("string", 1, "type"),
        ("string", b"a", "type"),
        ("string", "\ud800", "text"),
        ("integer", True, "type"),
        ("integer", 1.0, "type"),
        ("integer", "1", "type"),
        ("integer", 2**63, "range"),
        ("number", True, "type"),
        ("number", math.nan, "range"),
        ("number", -math.inf, "range"),
        ("number", 2**53 + 1, "range"),
        ("number", 10**400, "range"),
        ("boolean", 1, "type"),
        ("boolean", "true", "type"),
        ("object", [], "type"),
        ("object", {1: 2}, "type"),
        ("object", {"a": {"b": [0, {None: 1}]}}, "type"),
        ("object", {"a": {1, 2}}, "type"),
        ("object", {"a": math.nan}, "range"),
        ("object", {"a\udfff": 1}, "text"),
        ("object", {"a": ["\udfff"]}, "text"),
        ("object", {"a": 10**30000}, "range"),
        ("array", "abc", "type"),
        ("array", {"a": 1}, "type"),
        ("array<MU>", [1], "type"),
        ("array<MU>", {}, "type"),
        ("DateTime", dt.datetime(2026, 1, 31), "offset"),
        ("DateTime", "2026-01-31", "type"),
        ("DateTime", "tomorrow", "type"),
        ("DateTime", dt.date(2026, 1, 31), "type"),
        ("DateTime", "2026-01-31T12:00:00.1234567Z", "range"),
        ("DateTime", dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1))), "range"),
        ("array<reference>", 1, "type"),
    ],
)
def test_what_cannot_come_back_is_refused(base: Any, value: object, rule: str) -> None:
    with pytest.raises(FieldError) as caught:
        field(base, nullable=False).accept(value)
    assert caught.value.rule == rule
    assert caught.value.message.startswith(("must", ".", "a key", "it ", "the ", "[")) or "must" in str(
        caught.value
    )


def test_the_path_into_a_value_is_named() -> None:
    with pytest.raises(FieldError, match=r"\.a\[1\]\.b must be a JSON value, not a set"):
        field("object").accept({"a": [0, {"b": set()}]})
    with pytest.raises(FieldError, match=r"\.a has the key 1: a key must be text"):
        field("object").accept({"a": {1: 2}})


def test_nesting_has_a_bound_and_a_cycle_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(FieldError) as caught:
        field("object").accept(endless)
    assert caught.value.rule == "depth"


def test_a_plain_value_is_not_copied() -> None:
    value = {"a": [1, {"b": "c"}]}
    assert field("object").accept(value) is value


def test_null_is_a_value_of_nullable_fields_only() -> None:
    assert field("integer", enum=(1, 2)).accept(None) is None
    with pytest.raises(FieldError, match="must not be null"):
        field("integer", nullable=False).accept(None)


def test_an_enum_compares_by_value_and_type() -> None:
    assert field("number", enum=(1.0,)).accept(1) == 1.0
    numbers = field("array", enum=([1], [True, {"b": 1, "a": 2}]))
    assert numbers.accept([True, {"a": 2, "b": 1}]) == [True, {"a": 2, "b": 1}]
    for value in ([True], [1.0], [1, {"a": 2, "b": 1}]):
        with pytest.raises(FieldError, match="must be"):
            numbers.accept(value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("email", "a@example.com", "a"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", "::x"),
        ("uuid", "b1969fc4-86bc-11eb-b200-acde48001122", "b1969fc4"),
        ("date", "2026-01-31", "2026-02-30"),
        ("date-time", "2026-01-31T12:00:00.5Z", "2026-01-31T25:00:00Z"),
        ("date-time", "2026-01-31T12:00:00+09:00", "2026-01-31T12:00:00"),
        ("time", "12:00:00Z", "12:00"),
        ("uri", "https://example.com/a?b#c", "example.com"),
        ("hostname", "a-b.example.com", "-a.example.com"),
        ("regex", "a+", "a("),
    ],
)
def test_named_formats(name: str, good: str, bad: str) -> None:
    named = field("string", format=name)
    assert named.accept(good) == good
    with pytest.raises(FieldError, match=f"format {name}") as caught:
        named.accept(bad)
    assert caught.value.rule == "format"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"maximum": 3}}},
        '{"type": "object", "properties": {"a": {"maximum": 3}}}',
    ],
)
def test_a_format_can_be_a_json_schema(schema: object) -> None:
    checked = field("object", format=schema)
    assert checked.accept({"a": 3}) == {"a": 3}
    with pytest.raises(FieldError, match="greater than the maximum of 3"):
        checked.accept({"a": 4})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values))
def test_every_json_value_is_taken_as_it_is(value: dict[str, Any]) -> None:
    accepted = field("object").accept(value)
    assert accepted is value
    assert json.loads(json.dumps(accepted)) == value


def defined(folder: Path, lines: str) -> Checked:
    text = f"name: X\nattributes:\n  local_fields:\n  - field_name: f\n{lines}"
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    return check(folder)


@pytest.mark.parametrize(
    ("type_", "default", "value"),
    [
        ("string", "standby", "standby"),
        ("string", "None", "None"),
        ("string", "a b", "a b"),
        ("string", "waiting-room", "waiting-room"),
        ("string", "status.open", "status.open"),
        ("string", "'\"quoted\"'", "quoted"),
        ("string", "uuid", "uuid"),
        ("string", "uuid.NAMESPACE_DNS.hex", "6ba7b8109dad11d180b400c04fd430c8"),
        ("string", '"10"', None),
        ("integer", "10", 10),
        ("integer", '"2 ** 10"', 1024),
        ("number", "1", 1.0),
        ("boolean", "'not 1'", False),
        ("object", "{a: [1, null]}", {"a": [1, None]}),
        ("object", "dict(a=1)", {"a": 1}),
        ("array", "'[]'", []),
        (
            "DateTime",
            "datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)",
            dt.datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ],
)
def test_defaults(type_: str, default: str, value: object, tmp_path: Path) -> None:
    checked = defined(tmp_path, f"    field_type: {type_}\n    field_default: {default}\n")
    if value is None:
        assert [problem.code for problem in checked.problems] == ["default"]
        return
    assert checked.problems == ()
    found = checked.definitions.atoms[0].fields[0]
    assert found.default is not None
    scope: dict[str, Any] = {"datetime": dt, "uuid": __import__("uuid")}
    made = found.default.make(scope)
    assert found.accept(made) == value
    again = found.default.make(scope)
    assert again == made
    if isinstance(made, dict | list):
        assert again is not made


def test_a_default_with_a_call_is_tried_at_check(tmp_path: Path) -> None:
    checked = defined(tmp_path, "    field_type: integer\n    field_default: 1 // len([])\n")
    [problem] = checked.problems
    assert "ZeroDivisionError" in problem.message


def test_no_default_and_a_null_default_are_the_same(tmp_path: Path) -> None:
    checked = defined(tmp_path, "    field_type: integer\n    field_default: null\n    field_enum: null\n")
    assert checked.problems == ()
    found = checked.definitions.atoms[0].fields[0]
    assert (found.default, found.enum) == (None, None)


def test_all_keys_of_a_field_reach_the_definition(tmp_path: Path) -> None:
    checked = defined(
        tmp_path,
        "    field_type: string\n    field_nullable: false\n    field_immutable: true\n"
        "    field_unique: true\n    field_alias: g\n    field_dbtype: varchar ( 10 )\n    renamed_from: e\n"
        "    field_metadata: {a: [1], index: true}\n"
        "  - {field_name: h, field_type: string, field_persistence: false, field_length: 10}\n",
    )
    assert checked.problems == ()
    found, other = checked.definitions.atoms[0].fields
    assert (found.nullable, found.immutable, found.unique, found.persistent) == (False, True, True, True)
    assert (found.alias, found.dbtype, found.length, found.renamed_from) == ("g", "VARCHAR", 10, "e")
    assert (found.metadata, found.indexed) == ({"a": [1], "index": True}, True)
    assert (other.persistent, other.length) == (False, 10)


def test_a_length_counts_characters() -> None:
    short = field("string", length=3)
    for value in ("", "abc", "注文票", "a\0\U0001f375"):
        assert short.accept(value) == value
    with pytest.raises(FieldError, match="at most 3 characters, not 4") as caught:
        short.accept("abcd")
    assert caught.value.rule == "length"


@pytest.mark.parametrize(
    ("dbtype", "bits"), [("TINYINT", 8), ("SMALLINT", 16), ("INTEGER", 32), ("BIGINT", 64)]
)
def test_a_whole_number_fits_its_column(dbtype: str, bits: int) -> None:
    narrow = field("integer", dbtype=dbtype)
    for value in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
        assert narrow.accept(value) == value
    for value in (-(2 ** (bits - 1)) - 1, 2 ** (bits - 1)):
        with pytest.raises(FieldError, match=f"at most {bits} bits") as caught:
            narrow.accept(value)
        assert caught.value.rule == "range"


def test_a_number_has_no_negative_zero() -> None:
    assert math.copysign(1, field("number").accept(-0.0)) == 1  # type: ignore[arg-type]
    inside = field("array").accept([-0.0])
    assert math.copysign(1, inside[0]) == -1  # type: ignore[index]


def test_a_format_sees_a_value_as_json_has_it() -> None:
    """An MU's own key wins over its methods, and a point in time is text."""
    schema = {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "required": ["items"]}
    checked = field("MU", format=schema)
    assert checked.accept(MU({"items": 1, "x": MU(keys=1).keys})) == {"items": 1, "x": 1}
    with pytest.raises(FieldError, match=r'\.x: the value is not of type "integer"'):
        checked.accept(MU({"items": 1, "x": "a"}))
    new_year = field("DateTime", format={"type": "string", "pattern": "^2026-01-01T"})
    assert new_year.accept("2026-01-01T09:00:00+09:00") == dt.datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(FieldError):
        new_year.accept("2026-01-01T08:59:59+09:00")
