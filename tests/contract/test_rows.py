"""Rows: insert, update, delete, load and select, and values that come back as they went in."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Table, bindparam, select

from framework.errors import Changed, Duplicate, Gone
from framework.storage import Storage
from framework.storage.operations import Delete, Execute, Insert, Update

pytestmark = pytest.mark.anyio

UTC = dt.UTC


async def test_insert_answers_none_and_the_row_is_there(storage: Storage, things: Table) -> None:
    assert await storage.write([Insert(things, {"key": "a", "text": "x"})]) == [None]
    row = await storage.load(things, "key", "a")
    assert row is not None
    assert row["text"] == "x"
    assert row["code"] is None


async def test_load_of_nothing_is_none(storage: Storage, things: Table) -> None:
    assert await storage.load(things, "key", "a") is None


async def test_update_changes_the_named_columns_only(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": key, "text": "old", "real": 1.5}) for key in "ab"])
    assert await storage.write([Update(things, "key", "a", {"text": "new", "code": 7})]) == [None]
    changed, other = await storage.select(select(things).order_by(things.c.key))
    assert (changed["text"], changed["code"], changed["real"]) == ("new", 7, 1.5)
    assert (other["text"], other["code"], other["real"]) == ("old", None, 1.5)


async def test_update_may_change_the_key_itself(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": "a"})])
    await storage.write([Update(things, "key", "a", {"key": "b"})])
    assert await storage.load(things, "key", "a") is None
    assert await storage.load(things, "key", "b") is not None


async def test_delete_takes_that_row_only(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": key}) for key in "ab"])
    assert await storage.write([Delete(things, "key", "a")]) == [None]
    assert [row["key"] for row in await storage.select(select(things))] == ["b"]


@pytest.mark.parametrize("values", [{"text": "x"}, {"code": 7}])
async def test_update_of_no_row_is_gone(storage: Storage, things: Table, values: dict[str, Any]) -> None:
    with pytest.raises(Gone) as caught:
        await storage.write([Update(things, "key", "nobody", values)])
    assert (caught.value.table, caught.value.key) == ("Thing", "nobody")


async def test_delete_of_no_row_is_gone(storage: Storage, things: Table) -> None:
    with pytest.raises(Gone) as caught:
        await storage.write([Delete(things, "key", "nobody")])
    assert (caught.value.table, caught.value.key) == ("Thing", "nobody")


async def test_a_duplicate_names_table_and_columns(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": "a", "code": 1}), Insert(things, {"key": "b", "code": 2})])
    with pytest.raises(Duplicate) as caught:
        await storage.write([Insert(things, {"key": "a"})])
    assert (caught.value.table, caught.value.columns) == ("Thing", ("key",))
    with pytest.raises(Duplicate) as caught:
        await storage.write([Update(things, "key", "b", {"code": 1})])
    assert (caught.value.table, caught.value.columns) == ("Thing", ("code",))
    assert [row["code"] for row in await storage.select(select(things))] == [1, 2]


async def test_two_rows_without_a_unique_value_are_no_duplicates(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": key, "code": None}) for key in "ab"])
    assert len(await storage.select(select(things))) == 2


async def test_select_takes_parameters_and_constants(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": str(n), "code": n, "text": "x"}) for n in range(9)])
    statement = (
        select(things.c.code)
        .where(things.c.code >= bindparam("low", required=True), things.c.text == "x", things.c.code < 7)
        .order_by(things.c.code.desc())
    )
    assert [row["code"] for row in await storage.select(statement, {"low": 5})] == [6, 5]
    assert [row["code"] for row in await storage.select(statement, {"low": 6})] == [6]


async def test_a_datetime_filters_and_sorts_by_time(storage: Storage, things: Table) -> None:
    moments = [dt.datetime(2026, 1, 1, 12, tzinfo=UTC) + dt.timedelta(microseconds=n) for n in (0, 1, 10, 2)]
    await storage.write([Insert(things, {"key": str(n), "at": at}) for n, at in enumerate(moments)])
    ordered = await storage.select(select(things).order_by(things.c.at))
    assert [row["at"] for row in ordered] == sorted(moments)
    east = dt.timezone(dt.timedelta(hours=9))
    later = select(things).where(things.c.at > bindparam("at", type_=things.c.at.type, required=True))
    found = await storage.select(later, {"at": moments[1].astimezone(east)})
    assert {row["at"] for row in found} == {moments[2], moments[3]}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", ""),
        ("text", "a\x00b"),
        ("text", "任意の処理 🚚 ' \" \\ % ; --"),
        ("text", "x" * 1_000_000),
        ("code", 2**63 - 1),
        ("code", -(2**63)),
        ("real", 0.1),
        ("real", 5e-324),
        ("real", -1.7976931348623157e308),
        ("flag", True),
        ("flag", False),
        ("json", {"b": 1, "a": [1.5, None, True, "ü", 10**40]}),
        ("json", []),
        ("json", "text"),
        ("json", 0),
        ("json", {"nested": [{"deep": {"x": 1}}]}),
        ("at", dt.datetime(1, 1, 1, tzinfo=UTC)),
        ("at", dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        (
            "at",
            dt.datetime(2026, 3, 29, 1, 30, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
        ),
    ],
)
async def test_a_value_comes_back_as_it_went_in(
    storage: Storage, things: Table, column: str, value: Any
) -> None:
    await storage.write([Insert(things, {"key": "inserted", column: value})])
    loaded = await storage.load(things, "key", "inserted")
    assert loaded is not None
    assert loaded[column] == value
    assert type(loaded[column]) is type(value)
    await storage.write([Delete(things, "key", "inserted"), Insert(things, {"key": "updated"})])
    await storage.write([Update(things, "key", "updated", {column: value})])
    [selected] = await storage.select(select(things))
    assert (selected["key"], selected[column]) == ("updated", value)


async def test_null_comes_back_as_none_in_every_column(storage: Storage, things: Table) -> None:
    columns = [column.name for column in things.columns if column.name not in ("seq", "key")]
    await storage.write([Insert(things, {"key": "a", **dict.fromkeys(columns)})])
    row = await storage.load(things, "key", "a")
    assert row is not None
    assert [row[name] for name in columns] == [None] * len(columns)


async def test_json_keeps_the_order_of_keys(storage: Storage, things: Table) -> None:
    value = {"z": 1, "a": {"y": [{"x": 2}]}}
    await storage.write([Insert(things, {"key": "a", "json": value})])
    row = await storage.load(things, "key", "a")
    assert row is not None
    assert list(row["json"]) == ["z", "a"]


async def test_rows_are_selected_in_the_order_of_insertion_by_their_number(
    storage: Storage, things: Table
) -> None:
    for key in "cab":
        await storage.write([Insert(things, {"key": key})])
    await storage.write([Delete(things, "key", "a"), Insert(things, {"key": "d"})])
    rows = await storage.select(select(things).order_by(things.c.seq))
    assert [row["key"] for row in rows] == ["c", "b", "d"]


# ---- what was expected ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected", [{"text": "x"}, {"code": None}, {"text": "x", "code": None, "real": 1.5}]
)
async def test_a_row_is_written_over_what_was_expected(
    storage: Storage, things: Table, expected: dict[str, Any]
) -> None:
    await storage.write([Insert(things, {"key": "a", "text": "x", "real": 1.5})])
    await storage.write([Update(things, "key", "a", {"text": "y"}, expected)])
    row = await storage.load(things, "key", "a")
    assert row is not None
    assert row["text"] == "y"
    await storage.write([Delete(things, "key", "a", {"text": "y"})])
    assert await storage.load(things, "key", "a") is None


@pytest.mark.parametrize("expected", [{"text": "y"}, {"text": None}, {"code": 0}, {"text": "x", "code": 1}])
async def test_a_row_that_is_not_as_expected_stays_and_is_told(
    storage: Storage, things: Table, expected: dict[str, Any]
) -> None:
    await storage.write([Insert(things, {"key": "a", "text": "x"})])
    for operation in (
        Update(things, "key", "a", {"text": "z"}, expected),
        Delete(things, "key", "a", expected),
    ):
        with pytest.raises(Changed) as caught:
            await storage.write([Insert(things, {"key": "b"}), operation])
        assert caught.value.values == {name: {"text": "x"}.get(name) for name in expected}
        assert (caught.value.table, caught.value.key) == ("Thing", "a")
    rows = await storage.select(select(things))
    assert [(row["key"], row["text"]) for row in rows] == [("a", "x")]


async def test_what_is_not_there_is_gone_whatever_was_expected(storage: Storage, things: Table) -> None:
    for operation in (
        Update(things, "key", "a", {"text": "z"}, {"text": "x"}),
        Delete(things, "key", "a", {"code": 1}),
    ):
        with pytest.raises(Gone):
            await storage.write([operation])


async def test_a_statement_answers_columns_rows_and_how_many_it_touched(
    storage: Storage, things: Table
) -> None:
    moment = dt.datetime(2026, 1, 1, 12, tzinfo=UTC)
    rows = [{"key": "a", "code": 1, "at": moment}, {"key": "b", "code": 2, "at": None}]
    inserted, updated, found, nothing = await storage.write(
        [
            Execute(things.insert().values(rows)),
            Execute(things.update().values(text="x")),
            Execute(select(things.c.at, things.c.key.label("name")).order_by(things.c.key.desc())),
            Execute(things.delete().where(things.c.key == "nobody")),
        ]
    )
    assert (inserted.columns, list(inserted.rows), inserted.rowcount) == ((), [], 2)
    assert updated.rowcount == 2
    assert found.columns == ("at", "name")
    assert list(found.rows) == [(None, "b"), (moment, "a")]
    assert nothing.rowcount == 0
