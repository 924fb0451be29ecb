"""References: what an owner refers to is there, and nothing that is referred to goes."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, select

from framework.errors import StillReferred, ValidationError
from framework.storage import Storage
from framework.storage.operations import (
    OWNER,
    POSITION,
    TARGET,
    Delete,
    Insert,
    Link,
    Referrer,
    Require,
    Unreferred,
)
from framework.storage.tables import UtcDateTime

pytestmark = pytest.mark.anyio

MOMENT = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
async def links(storage: Storage) -> Table:
    table = Table(
        "Team.members",
        MetaData(),
        Column(OWNER, Text, primary_key=True),
        Column(POSITION, Integer, primary_key=True),
        Column(TARGET, Text, nullable=False),
    )
    await storage.ensure_tables([table])
    return table


async def linked(storage: Storage, links: Table) -> list[tuple[Any, ...]]:
    rows = await storage.select(select(links).order_by(links.c.owner, links.c.position))
    return [tuple(row.values()) for row in rows]


async def test_an_owner_refers_to_its_targets_in_their_order(storage: Storage, links: Table) -> None:
    answers = await storage.write([Link(links, "red", ["b", "a", "b"]), Link(links, "blue", ["a"])])
    assert answers == [None, None]
    assert await linked(storage, links) == [
        ("blue", 0, "a"),
        ("red", 0, "b"),
        ("red", 1, "a"),
        ("red", 2, "b"),
    ]


async def test_what_an_owner_refers_to_is_replaced_as_a_whole(storage: Storage, links: Table) -> None:
    await storage.write([Link(links, "red", ["a", "b"]), Link(links, "blue", ["c"])])
    await storage.write([Link(links, "red", ["d"])])
    assert await linked(storage, links) == [("blue", 0, "c"), ("red", 0, "d")]
    await storage.write([Link(links, "red", [])])
    assert await linked(storage, links) == [("blue", 0, "c")]


async def test_keys_of_any_type_are_stored_as_their_own_column_stores_them(storage: Storage) -> None:
    table = Table(
        "Shift.times",
        MetaData(),
        Column(OWNER, UtcDateTime, primary_key=True),
        Column(POSITION, Integer, primary_key=True),
        Column(TARGET, UtcDateTime, nullable=False),
    )
    await storage.ensure_tables([table])
    await storage.write([Link(table, MOMENT, [MOMENT])])
    await storage.write([Link(table, MOMENT, [MOMENT, MOMENT])])
    assert await linked(storage, table) == [(MOMENT, 0, MOMENT), (MOMENT, 1, MOMENT)]


async def test_what_is_referred_to_must_be_there(storage: Storage, things: Table) -> None:
    await storage.write([Insert(things, {"key": "a"}), Insert(things, {"key": "b"})])
    assert await storage.write([Require(things, "key", ["a", "b"], "Team", "members")]) == [None]
    with pytest.raises(ValidationError) as caught:
        await storage.write([Require(things, "key", ["a", "nobody", "b"], "Team", "members")])
    error = caught.value
    assert (error.class_name, error.field, error.value, error.rule) == (
        "Team",
        "members",
        "nobody",
        "reference",
    )
    assert "Thing" in error.problem
    assert "'nobody'" in error.problem


async def test_of_a_reference_and_a_destruction_at_once_one_is_refused(
    storage: Storage, things: Table, links: Table, another: Callable[[], Awaitable[Storage]]
) -> None:
    """What is read to decide stays true until the unit is stored, whoever else writes."""
    other = await another()
    by_link = Referrer(links, OWNER, TARGET, "Team.members")
    for number in range(30):
        key = f"k{number}"
        await storage.write([Insert(things, {"key": key})])
        refers = [Require(things, "key", [key], "Team", "members"), Link(links, key, [key])]
        destroys = [Unreferred(things, key, [(by_link, key)]), Delete(things, "key", key)]
        outcomes = await asyncio.gather(storage.write(refers), other.write(destroys), return_exceptions=True)
        assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1, outcomes
    referred = {target for _, _, target in await linked(storage, links)}
    assert referred == {row["key"] for row in await storage.select(select(things))}


async def test_what_another_refers_to_does_not_go(storage: Storage, things: Table, links: Table) -> None:
    by_link = Referrer(links, OWNER, TARGET, "Team.members")
    by_column = Referrer(things, "key", "text", "Thing.next")
    await storage.write(
        [
            Link(links, "red", ["a"]),
            Insert(things, {"key": "first", "text": "b"}),
            Insert(things, {"key": "second"}),
        ]
    )
    free = Unreferred(things, "c", [(by_link, "c"), (by_column, "c")])
    assert await storage.write([free]) == [None]
    for key, by, by_key in (("a", "Team.members", "red"), ("b", "Thing.next", "first")):
        with pytest.raises(StillReferred) as caught:
            await storage.write([Unreferred(things, key, [(by_link, key), (by_column, key)])])
        error = caught.value
        assert (error.table, error.key, error.by, error.by_key) == ("Thing", key, by, by_key)
