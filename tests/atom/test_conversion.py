"""A value is converted only if it says the same afterwards, and is kept in the form in which it is stored."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from framework.atom.conversion import content, decoded, encoded, rules
from framework.definitions import Field, check
from framework.values import jsontext

ANY_REASON = "."


def field(folder: Path, type_: str, more: str = "") -> Field:
    """A field of a class in a folder of definitions."""
    keys = f"field_name: f, field_type: {type_}" + (f", {more}" if more else "")
    text = f"name: Thing\nattributes:\n  local_fields:\n  - {{{keys}}}\n"
    (folder / "thing.yaml").write_text(text, encoding="utf-8")
    checked = check(folder)
    assert not checked.errors, checked.errors
    [found] = [each for each in checked.definitions.atoms[0].fields if each.name == "f"]
    return found


def converted(folder: Path, from_: str, to: str, stored: Any, more: str = "") -> Any:
    """A stored value of one type as it is stored as another."""
    convert = content(field(folder, to, more)).convert(from_)
    assert convert is not None
    return convert(stored)


# ---- from one type to another ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_", "to", "stored", "after"),
    [
        ("integer", "number", 7, 7.0),
        ("integer", "string", -12, "-12"),
        ("integer", "boolean", 0, False),
        ("integer", "boolean", 1, True),
        ("number", "integer", -2.0, -2),
        ("number", "string", 0.1, "0.1"),
        ("number", "boolean", 1.0, True),
        ("boolean", "integer", 1, 1),
        ("boolean", "number", 0, 0.0),
        ("boolean", "string", 1, "true"),
        ("boolean", "string", 0, "false"),
        ("DateTime", "string", "2026-03-01 12:00:00.000000", "2026-03-01T12:00:00+00:00"),
        ("string", "DateTime", "2026-03-01T12:00:00+02:00", "2026-03-01 10:00:00.000000"),
        ("string", "integer", "0", 0),
        ("string", "integer", "-70", -70),
        ("string", "integer", str(2**63 - 1), 2**63 - 1),
        ("string", "integer", str(-(2**63)), -(2**63)),
        ("string", "number", "-0.5", -0.5),
        ("string", "number", "10", 10.0),
        ("string", "number", "2.5E+3", 2500.0),
        ("string", "number", "0.10", 0.1),
        ("string", "boolean", "true", True),
        ("string", "boolean", "false", False),
        ("object", "string", '{"b":1,"a":[]}', '{"b":1,"a":[]}'),
        ("array<MU>", "string", '[{"a":"ü"}]', '[{"a":"ü"}]'),
        ("string", "object", ' {"b": 1, "a": 2.0}', '{"b":1,"a":2.0}'),
        ("string", "array", "[1, null]", "[1,null]"),
        ("string", "MU", "{}", "{}"),
        ("string", "array<MU>", "[]", "[]"),
    ],
)
def test_a_value_says_the_same_afterwards(
    tmp_path: Path, from_: str, to: str, stored: Any, after: Any
) -> None:
    found = converted(tmp_path, from_, to, stored)
    assert (type(found), found) == (type(after), after)


@pytest.mark.parametrize(
    ("from_", "to", "stored"),
    [
        ("integer", "boolean", 2),
        ("integer", "boolean", -1),
        ("number", "integer", 1.5),
        ("number", "boolean", 0.5),
        *(
            ("string", "integer", text)
            for text in ("007", "+7", "-0", " 7", "7 ", "", "1.0", "1_0", "٣", "7\n")
        ),
        *(("string", "integer", text) for text in (str(2**63), str(-(2**63) - 1), "9" * 5000)),
        *(("string", "number", text) for text in ("007", ".5", "1.", "+1", "nan", "inf", "1 ", "1e", "")),
        *(
            ("string", "number", text)
            for text in ("1e400", "1e-400", "0.10000000000000001", "9007199254740993")
        ),
        *(("string", "number", text) for text in ("1e99999999999999999999", "1e-99999999999999999999")),
        *(("string", "boolean", text) for text in ("True", "1", "", "yes", "false ")),
        *(("string", "object", text) for text in ("[]", "", "{", "{'a': 1}", '{"a":1,"a":2}', '{"a":NaN}')),
        ("string", "array", "[" * 100_000 + "]" * 100_000),
        ("string", "array", '[{"a":1,"a":1}]'),
        ("string", "array<MU>", "[1]"),
        ("string", "DateTime", "2026-03-01T12:00:00"),
        ("string", "DateTime", "yesterday"),
        ("boolean", "string", 2),  # a row that another program has written
    ],
)
def test_a_value_that_would_say_something_else_is_refused(
    tmp_path: Path, from_: str, to: str, stored: Any
) -> None:
    with pytest.raises(ValueError, match=ANY_REASON):
        converted(tmp_path, from_, to, stored)


def test_the_rules_of_the_new_field_hold_for_what_is_converted(tmp_path: Path) -> None:
    assert converted(tmp_path, "integer", "string", 123, "field_length: 3") == "123"
    with pytest.raises(ValueError, match="3"):
        converted(tmp_path, "integer", "string", 1234, "field_length: 3")


def test_nothing_stays_nothing_and_is_refused_where_a_value_is_needed(tmp_path: Path) -> None:
    assert encoded(field(tmp_path, "object"), None) is None
    with pytest.raises(ValueError, match=ANY_REASON):
        encoded(field(tmp_path, "object", "field_nullable: false"), None)


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("integer", "DateTime"),
        ("DateTime", "integer"),
        ("DateTime", "number"),
        ("boolean", "DateTime"),
        ("object", "integer"),
        ("integer", "object"),
        ("number", "array"),
        ("array", "boolean"),
        ("DateTime", "object"),
        ("object", "array"),
        ("string", "string"),
    ],
)
def test_between_other_types_there_is_no_way(tmp_path: Path, from_: str, to: str) -> None:
    assert content(field(tmp_path, to)).convert(from_) is None


@pytest.mark.parametrize("type_", ["object", "array", "MU", "array<MU>"])
def test_types_with_the_same_stored_form_need_no_way(tmp_path: Path, type_: str) -> None:
    alike = {"object": {"object", "MU"}, "array": {"array", "array<MU>"}}
    expected = next(kinds for kinds in alike.values() if type_ in kinds)
    assert content(field(tmp_path, type_)).alike == expected
    assert content(field(tmp_path, "string")).alike == frozenset()


def test_a_refusal_shows_a_short_text_whole_and_the_beginning_of_a_long_one(tmp_path: Path) -> None:
    for type_ in ("integer", "number", "boolean", "object"):
        for text, shown in (("x" * 40, f"'{'x' * 40}'"), ("x" * 41, f"'{'x' * 37}'..."), ("", "''")):
            with pytest.raises(ValueError, match=ANY_REASON) as refused:
                converted(tmp_path, "string", type_, text)
            assert str(refused.value).endswith(shown)


@pytest.mark.parametrize(
    ("from_", "to", "stored", "shown"),
    [("number", "integer", 1.5, "1.5"), ("integer", "boolean", 2, "2"), ("boolean", "integer", 3, "3")],
)
def test_a_refusal_shows_the_value(tmp_path: Path, from_: str, to: str, stored: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=ANY_REASON) as refused:
        converted(tmp_path, from_, to, stored)
    assert str(refused.value).endswith(f"not {shown}")


@pytest.mark.parametrize(
    ("to", "text"), [("integer", "9" * 5000), ("number", "0.10000000000000001"), ("object", '{"a":1,"a":2}')]
)
def test_each_refusal_says_why(tmp_path: Path, to: str, text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        converted(tmp_path, "string", to, text)


# ---- the stored form ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "value", "stored"),
    [
        ("string", "a", "a"),
        ("integer", 7, 7),
        ("boolean", True, True),
        ("DateTime", dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), "2026-03-01 12:00:00.000000"),
        ("object", {"a": [1]}, '{"a":[1]}'),
        ("array", [1, "ü"], '[1,"ü"]'),
        ("MU", {"a": 1}, '{"a":1}'),
        ("array<MU>", [{"a": 1}], '[{"a":1}]'),
    ],
)
def test_a_value_and_its_stored_form(tmp_path: Path, type_: str, value: Any, stored: Any) -> None:
    assert encoded(field(tmp_path, type_), value) == stored
    back = decoded(type_, stored)
    assert (type(back), back) == (type(value), value)


def test_what_a_field_does_not_take_is_refused_with_the_reason_of_the_field(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole number"):
        encoded(field(tmp_path, "integer"), "7")


@pytest.mark.parametrize(
    ("type_", "more", "fits", "misfits"),
    [
        ("string", "field_length: 2", "ab", "abc"),
        ("integer", "field_dbtype: SMALLINT", 32767, 32768),
        ("string", "field_enum: [a, b]", "a", "c"),
        ("boolean", "", 1, 2),
        ("object", "", "{}", "[]"),
        ("object", "", "{}", "{"),
        ("DateTime", "", "2026-03-01 12:00:00.000000", "soon"),
        ("string", "", None, b"\xff"),
    ],
)
def test_a_stored_value_fits_or_does_not(
    tmp_path: Path, type_: str, more: str, fits: Any, misfits: Any
) -> None:
    told = content(field(tmp_path, type_, more))
    told.fits(fits)  # does not raise
    with pytest.raises(ValueError, match=ANY_REASON):
        told.fits(misfits)


# ---- what is told to the storage ------------------------------------------------------------


def test_the_rules_are_the_text_that_databases_have_of_earlier_versions(tmp_path: Path) -> None:
    """Another text would have each row looked at again at the next start, and references forgotten."""
    assert json.loads(rules(field(tmp_path, "string", "field_length: 5"))) == {"type": "string", "length": 5}
    assert json.loads(rules(field(tmp_path, "integer", "field_dbtype: SMALLINT"))) == {
        "type": "integer",
        "bits": 16,
    }
    assert json.loads(rules(field(tmp_path, "string", "field_enum: [a, b]"))) == {
        "type": "string",
        "enum": ["a", "b"],
    }
    pattern = "field_format: {pattern: '^a$'}"
    assert json.loads(rules(field(tmp_path, "string", pattern))) == {
        "type": "string",
        "format": {"pattern": "^a$"},
    }
    assert json.loads(rules(field(tmp_path, "integer"), ("Order.id", "Task.id"))) == {
        "type": "integer",
        "refers": "Order.id",
    }


def test_the_rules_of_points_in_time_have_a_text(tmp_path: Path) -> None:
    enum = "field_enum: ['2026-03-01T12:00:00Z']"
    assert "2026-03-01" in rules(field(tmp_path, "DateTime", enum))


def test_what_does_not_decide_whether_a_value_fits_leaves_the_rules_as_they_are(tmp_path: Path) -> None:
    plain = rules(field(tmp_path, "string"))
    for more in ("field_default: a", "field_unique: true", "field_dbtype: TEXT", "field_immutable: true"):
        assert rules(field(tmp_path, "string", more)) == plain


def test_the_content_of_a_column_has_the_type_the_rules_and_the_former_name(tmp_path: Path) -> None:
    told = content(field(tmp_path, "integer", "renamed_from: before"), ("Order.id",))
    assert (told.kind, told.renamed_from) == ("integer", "before")
    assert json.loads(told.rules)["refers"] == "Order.id"


def test_keys_of_what_is_no_longer_referred_to_mean_something_else(tmp_path: Path) -> None:
    told = content(field(tmp_path, "integer"), ("Order.id", "Task.id"))
    for before in (
        "{}",  # there were no references
        '{"refers": "Order.id"}',
        '{"refers": "Task.id"}',  # the name that the class had
    ):
        assert told.moved(before) is None
    reason = told.moved('{"refers": "Customer.id"}')
    assert reason is not None
    assert "Customer.id" in reason
    assert "Order.id" in reason
    assert content(field(tmp_path, "integer")).moved('{"refers": "Customer.id"}') is None


def test_a_new_column_is_filled_with_the_default_in_its_stored_form(tmp_path: Path) -> None:
    assert content(field(tmp_path, "string")).fill is None
    for type_, default, stored in (
        ("string", "a", "a"),
        ("object", "{a: 1}", '{"a":1}'),
        ("boolean", "false", False),
        ("string", "\"base64.b64encode(b'a').decode()\"", "YQ=="),
    ):
        fill = content(field(tmp_path, type_, f"field_default: {default}")).fill
        assert fill is not None
        assert fill() == stored


def test_each_row_gets_a_default_of_its_own(tmp_path: Path) -> None:
    fill = content(field(tmp_path, "object", 'field_default: "dict(id=uuid.uuid4().hex)"')).fill
    assert fill is not None
    first, second = (jsontext.decode(fill()) for _ in range(2))
    assert first["id"] != second["id"]
