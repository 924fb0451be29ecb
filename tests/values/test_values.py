"""What is saved comes back equal, by every way out of the real database, on the edges of each type."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from framework.atom.classes import Atoms, Models
from framework.definitions import MODULES, check
from framework.definitions.values import MAX_JSON_DEPTH
from framework.errors import Duplicate, ValidationError
from framework.storage import open_storage
from framework.transactions.session import Session
from framework.values.mu import MU

TYPES = ("string", "integer", "number", "boolean", "DateTime", "object", "array", "MU", "array<MU>")
COMPARED = ("string", "integer", "number", "boolean", "DateTime")
UTC = dt.UTC

YAML = (
    "name: Thing\nattributes:\n  identifier: {field_name: id, field_type: integer}\n  local_fields:\n"
    + "".join(f"  - {{field_name: f{number}, field_type: {type_}}}\n" for number, type_ in enumerate(TYPES))
)


class Database:
    """A real SQLite file with one class of a field of each type, used from tests that are not coroutines."""

    def __init__(self, folder: Path) -> None:
        (folder / "thing.yaml").write_text(YAML, encoding="utf-8")
        self._loop = asyncio.new_event_loop()
        self._opened = open_storage(f"sqlite:///{folder}/values.db")
        storage = self.run(self._opened.__aenter__())
        self._session = Session()
        self._session.bind(storage)
        self.atoms = Atoms(check(folder).definitions.atoms, self._session, {**MODULES})
        self.run(storage.ensure_tables(self.atoms.records))
        self.table = Models(self.atoms, self._session).Thing
        self._next = 0

    def run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def kept(self, type_: str, value: Any) -> list[Any]:
        """Save a value, and fetch it by each way that there is."""
        return self.run(self._kept(f"f{TYPES.index(type_)}", type_ in COMPARED, value))  # type: ignore[no-any-return]

    async def _kept(self, name: str, compared: bool, value: Any) -> list[Any]:
        self._next += 1
        key = self._next
        thing = await self.atoms.Thing(id=key, **{name: value}).save()
        loaded = await self.atoms.Thing.load(key)
        [found] = await self.atoms.Thing.retrieve(id=key)
        statement = select(self.table.c[name]).where(self.table.c.id == key)
        [row] = await self._session.select(statement)
        ways = [getattr(thing, name), getattr(loaded, name), getattr(found, name), row[name]]
        if compared:
            same = await self.atoms.Thing.retrieve(**{name: value})
            ways += [getattr(each, name) for each in same]
            assert key in [each.id for each in same]
        assert not [n for n, v in loaded._stored.items() if v != thing._stored.get(n)]
        await loaded.destroy()
        return ways

    def close(self) -> None:
        self._session.stop()
        self.run(self._opened.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("values"))
    yield database
    database.close()


def exactly(value: Any) -> Any:
    """A form in which values are equal only if they are so by type and by order, too."""
    if isinstance(value, dict):
        return [(key, exactly(inner)) for key, inner in dict.items(value)]
    if isinstance(value, list):
        return [exactly(inner) for inner in value]
    return (type(value), repr(value))


properties = settings(max_examples=40, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=25
)
mappings = st.dictionaries(texts, json_values)
AWKWARD = {
    "": 0,
    "items": {"keys": 1, "get": [None]},
    "b": 1.0,
    "a": 1,
    "big": 10**400,
    "small": 5e-324,
    "zero": -0.0,
    "true": True,
    "nul": "\0",
    "日本": ["\u2028", "\U0001f375", '"\\'],
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@properties
@given(texts)
@example("")
@example("\0")
@example("a\0b")
@example("a\0")
@example("x" * 1_000_000)
@example("\U0001f375" * 250_000)
@example("\ufeff\uffff\u2028\r\n\t'\";--\\")
@example("e\u0301")  # two characters that look like one stay two
@example("true")
@example("007")
def test_a_text(database: Database, value: str) -> None:
    assert set(map(exactly, database.kept("string", value))) == {exactly(value)}


@properties
@given(st.integers(-(2**63), 2**63 - 1))
@example(-(2**63))
@example(2**63 - 1)
@example(0)
def test_a_whole_number(database: Database, value: int) -> None:
    assert set(map(exactly, database.kept("integer", value))) == {exactly(value)}


@properties
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.1)
@example(2.0**53)
@example(-0.0)
def test_a_number(database: Database, value: float) -> None:
    """It stays a float, also a whole one; 0.0 has no sign."""
    assert set(map(exactly, database.kept("number", value))) == {exactly(value + 0.0)}


@pytest.mark.parametrize("value", [True, False])
def test_true_and_false(database: Database, value: bool) -> None:
    assert all(kept is value for kept in database.kept("boolean", value))


offsets = st.timedeltas(dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59))


@properties
@given(
    st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29)),
    offsets.map(lambda offset: dt.timezone(offset)),
)
@example(dt.datetime(1, 1, 1), UTC)
@example(dt.datetime(9999, 12, 31, 23, 59, 59, 999999), UTC)
@example(dt.datetime(1, 1, 1, 5), dt.timezone(dt.timedelta(hours=5)))
@example(dt.datetime(9999, 12, 31, 20), dt.timezone(dt.timedelta(hours=-3)))
@example(dt.datetime(1969, 12, 31, 23, 59, 59, 1), UTC)
def test_a_point_in_time(database: Database, value: dt.datetime, zone: dt.timezone) -> None:
    value = value.replace(tzinfo=zone)
    kept = database.kept("DateTime", value)
    assert set(kept) == {value}
    assert all(each.tzinfo is UTC for each in kept)
    offset = value.utcoffset()
    if offset is not None and not offset % dt.timedelta(minutes=1):  # RFC 3339 writes no finer ones
        assert set(database.kept("DateTime", value.isoformat())) == {value}


@properties
@given(mappings)
@example({})
@example(AWKWARD)
@example(nested(MAX_JSON_DEPTH))
@example({"text": "x" * 1_000_000})
def test_a_mapping(database: Database, value: dict[str, Any]) -> None:
    """Keys in their order; 1 and 1.0 and true stay what they are; integers of any size."""
    for type_, class_ in (("object", dict), ("MU", MU)):
        saved, *kept = database.kept(type_, value)
        assert [exactly(each) for each in (saved, *kept)] == [exactly(value)] * (len(kept) + 1)
        assert {type(each) for each in kept} == {class_}


@properties
@given(st.lists(json_values), st.lists(mappings))
@example([], [])
@example([nested(MAX_JSON_DEPTH - 1)], [nested(MAX_JSON_DEPTH - 1)])
@example([-0.0, 1, 1.0, True, None], [AWKWARD])
def test_a_list(database: Database, values: list[Any], objects: list[dict[str, Any]]) -> None:
    assert {str(exactly(each)) for each in database.kept("array", values)} == {str(exactly(values))}
    _, *kept = database.kept("array<MU>", objects)
    assert [exactly(each) for each in kept] == [exactly(objects)] * len(kept)
    assert {type(inner) for each in kept for inner in each} <= {MU}


@pytest.mark.parametrize("type_", TYPES)
def test_nothing(database: Database, type_: str) -> None:
    assert {str(value) for value in database.kept(type_, None)} == {"None"}


SURROGATE = "a\ud800"
RANGE, TYPE, TEXT, DEPTH, OFFSET = "range", "type", "text", "depth", "offset"
WEST, EAST = dt.timezone(dt.timedelta(hours=-1)), dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("type_", "value", "rule"),
    [
        ("integer", 2**63, RANGE),
        ("integer", -(2**63) - 1, RANGE),
        ("integer", 1.0, TYPE),
        ("integer", True, TYPE),
        ("number", math.nan, RANGE),
        ("number", math.inf, RANGE),
        ("number", -math.inf, RANGE),
        ("number", 2**53 + 1, RANGE),
        ("string", SURROGATE, TEXT),
        ("object", {SURROGATE: 1}, TEXT),
        ("array", [[SURROGATE]], TEXT),
        ("MU", {"a": math.nan}, RANGE),
        ("array<MU>", [{"a": math.inf}], RANGE),
        ("object", {"a": 10**30000}, RANGE),
        ("object", nested(MAX_JSON_DEPTH + 1), DEPTH),
        ("array", [nested(MAX_JSON_DEPTH)], DEPTH),
        ("object", {1: "a"}, TYPE),
        ("DateTime", "2016-12-31T23:59:60Z", TYPE),  # a leap second
        ("DateTime", dt.datetime(2026, 1, 1), OFFSET),
        ("DateTime", "2026-01-01T00:00:00", OFFSET),
        ("DateTime", dt.datetime(1, 1, 1, tzinfo=EAST), RANGE),
        ("DateTime", dt.datetime(9999, 12, 31, 23, 30, tzinfo=WEST), RANGE),
        ("DateTime", "0001-01-01T00:00:00+01:00", RANGE),
        ("DateTime", "2026-01-01T00:00:00.0000001Z", RANGE),
    ],
)
def test_what_could_not_come_back_is_refused_where_it_is_given(
    database: Database, type_: str, value: Any, rule: str
) -> None:
    name = f"f{TYPES.index(type_)}"
    with pytest.raises(ValidationError) as caught:
        database.atoms.Thing(id=0, **{name: value})
    assert (caught.value.field, caught.value.rule) == (name, rule)


def test_json_of_a_request_keeps_the_order_of_its_keys_and_its_last_of_two(database: Database) -> None:
    """A mapping has a key once: of a key that stands twice in JSON text, Python's reader takes the last."""
    value = json.loads('{"b": 1, "a": 2, "b": 3}')
    assert exactly(database.kept("object", value)[-1]) == exactly({"b": 3, "a": 2})


def test_texts_that_differ_behind_a_nul_are_two(tmp_path: Path) -> None:
    folder = tmp_path / "unique"
    folder.mkdir()
    text = "name: Word\nattributes:\n  identifier: {field_name: word, field_type: string}\n"
    (folder / "word.yaml").write_text(text, encoding="utf-8")

    async def run() -> None:
        async with open_storage(f"sqlite:///{folder}/w.db") as storage:
            session = Session()
            session.bind(storage)
            atoms = Atoms(check(folder).definitions.atoms, session, {**MODULES})
            await storage.ensure_tables(atoms.records)
            for word in ("a\0b", "a\0c", "a", "a\0", "A"):
                await atoms.Word(word=word).save()
            with pytest.raises(Duplicate):
                await atoms.Word(word="a\0c").save()
            assert [each.word for each in await atoms.Word.retrieve(word="a\0")] == ["a\0"]
            assert [each.word for each in await atoms.Word.retrieve(order_by="word")] == [
                "A",
                "a",
                "a\0",
                "a\0b",
                "a\0c",
            ]
            session.stop()

    asyncio.run(run())
