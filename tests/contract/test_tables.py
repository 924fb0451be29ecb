"""Tables are made and added to by themselves; what could lose data is refused, whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text, select, text

from framework.errors import CannotOpen, Duplicate
from framework.storage import Storage
from framework.storage.operations import Insert
from framework.storage.tables import RowNumber

pytestmark = pytest.mark.anyio


def table(*columns: Any, name: str = "Thing") -> Table:
    return Table(
        name,
        MetaData(),
        Column("seq", RowNumber, primary_key=True, autoincrement=True),
        Column("key", Text, nullable=False),
        *columns,
    )


async def rows(storage: Storage, of: Table) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name != "seq"}
        for row in await storage.select(select(of))
    ]


async def test_making_tables_again_changes_nothing(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": "a"})])
    for _ in range(3):
        await storage.ensure_tables([things])
    assert len(await rows(storage, things)) == 1


async def test_several_tables_at_once_and_by_several_at_once(
    storage: Storage, another: Callable[[], Awaitable[Storage]]
) -> None:
    tables = [table(name=name) for name in ("One", "Two", "select", "with-dash")]
    other = await another()
    await asyncio.gather(*(opened.ensure_tables(tables) for opened in (storage, other) * 3))
    for made in tables:
        await storage.write([Insert(made, {"key": "a"})])
        assert await rows(other, made) == [{"key": "a"}]


async def test_nullable_and_defaulted_columns_are_added(storage: Storage) -> None:
    old = table()
    await storage.ensure_tables([old])
    await storage.write([Insert(old, {"key": "a"})])
    new = table(
        Column("note", Text),
        Column("state", Text, nullable=False, server_default=text("'it''s new'")),
        Column("count", BigInteger, nullable=False, server_default=text("7")),
        Column("flag", Boolean, nullable=False, server_default=text("1")),
        Column("real", Double, server_default=text("1.5")),
    )
    await storage.ensure_tables([new])
    await storage.ensure_tables([new])
    added = {"note": None, "state": "it's new", "count": 7, "flag": True, "real": 1.5}
    assert await rows(storage, new) == [{"key": "a", **added}]
    await storage.write([Insert(new, {"key": "b", "note": "x", "state": "s", "count": 0, "flag": False})])
    assert (await rows(storage, new))[1]["flag"] is False


async def test_an_index_is_added(storage: Storage) -> None:
    await storage.ensure_tables([table()])
    new = table(Index("Thing.key", "key", unique=True))
    await storage.ensure_tables([new])
    await storage.write([Insert(new, {"key": "a"})])
    with pytest.raises(Duplicate):
        await storage.write([Insert(new, {"key": "a"})])


async def test_a_column_that_is_no_longer_defined_keeps_its_data(storage: Storage) -> None:
    old = table(Column("note", Text))
    await storage.ensure_tables([old])
    await storage.write([Insert(old, {"key": "a", "note": "kept"})])
    await storage.ensure_tables([table()])
    await storage.write([Insert(table(), {"key": "b"})])
    assert [row["note"] for row in await rows(storage, old)] == ["kept", None]


async def test_a_table_without_rows_has_nothing_to_lose(storage: Storage) -> None:
    await storage.ensure_tables([table(Column("amount", Text), Column("note", Text))])
    new = table(Column("amount", BigInteger, nullable=False), Column("needed", Text, nullable=False))
    await storage.ensure_tables([new])
    await storage.write([Insert(new, {"key": "a", "amount": 7, "needed": "x"})])
    assert [row["amount"] for row in await rows(storage, new)] == [7]


async def test_all_that_could_lose_data_is_named_and_nothing_is_changed(storage: Storage) -> None:
    there = [
        table(Column("amount", Text), Column("gone", Text, nullable=False), Column("note", Text)),
        table(Column("note", Text, nullable=False), name="Other"),
    ]
    await storage.ensure_tables(there)
    await storage.write(
        [Insert(there[0], {"key": "0", "gone": "x"}), Insert(there[1], {"key": "0", "note": "x"})]
    )
    wanted = [
        table(
            Column("amount", BigInteger),
            Column("note", Text, nullable=False),
            Column("needed", Text, nullable=False),
            Column("addable", Text),
        ),
        table(Column("note", Text), name="Other"),
        table(name="New"),
    ]
    with pytest.raises(CannotOpen) as caught:
        await storage.ensure_tables(wanted)
    message = str(caught.value)
    for place in ("Thing.amount", "Thing.note", "Thing.needed", "Thing.gone", "Other.note"):
        assert place in message, place
    assert "addable" not in message
    with pytest.raises(Exception):  # noqa: B017, PT011 - nothing of it was made, so reading fails somehow
        await storage.select(select(wanted[2]))
    with pytest.raises(Exception):  # noqa: B017, PT011
        await storage.select(select(table(Column("addable", Text))))
    await storage.write([Insert(table(Column("gone", Text)), {"key": "a", "gone": "x"})])
