"""What a definition means to the database: tables, columns, constant defaults, indexes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from framework.atoms import Atoms, Models
from framework.definitions import MODULES, Definitions
from framework.errors import CannotOpen, Duplicate
from framework.mu import MU
from framework.session import Session
from framework.storage import Storage

pytestmark = pytest.mark.anyio

Define = Callable[..., Definitions]


@pytest.fixture
def started(define: Define, session: Session, storage: Storage) -> Callable[..., Any]:
    """The classes of YAML texts with their tables made, as a start does it."""

    async def started(*texts: str) -> Atoms:
        atoms = Atoms(define(*texts).atoms, session, {**MODULES})
        await storage.ensure_tables(atoms.records)
        return atoms

    return started


def order(*fields: str) -> str:
    listed = "".join(f"\n  - {{{field}}}" for field in fields)
    return (
        "name: Order\nattributes:\n  identifier: {field_name: id, field_type: integer}\n"
        f"  local_fields:{listed or ' []'}\n"
    )


async def test_a_table_has_the_fields_and_the_identity(started: Any, session: Session) -> None:
    atoms = await started(order("field_name: note, field_type: string"))
    table = Models(atoms, session).Order
    assert table.name == "Order"
    assert {"id", "note", "instance", "xid", "xname"} <= set(table.c.keys())
    assert not table.c.id.nullable
    assert not table.c.instance.nullable
    assert table.c.note.nullable


async def test_scripts_select_values_from_the_table(started: Any, session: Session) -> None:
    atoms = await started(
        order(
            "field_name: thing, field_type: object",
            "field_name: mu, field_type: MU",
            "field_name: at, field_type: DateTime",
            "field_name: flag, field_type: boolean",
        )
    )
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    await atoms.Order(id=1, thing={"a": [1]}, mu={"b": {"c": 2}}, at=at, flag=True).save()
    table = Models(atoms, session).Order
    [row] = await session.select(select(table).where(table.c.at == at, table.c.flag))
    assert (row["thing"], row["at"], row["flag"]) == ({"a": [1]}, at, True)
    assert type(row["mu"]) is MU
    assert row["mu"].b.c == 2


async def test_a_class_may_be_added_and_a_nullable_field(started: Any) -> None:
    atoms = await started(order())
    await atoms.Order(id=1).save()
    atoms = await started(order("field_name: note, field_type: string"), order().replace("Order", "Other"))
    old = await atoms.Order.load(1)
    assert old.note is None
    await old.save(note="x")
    await atoms.Other(id=1).save()
    assert [each.note for each in await atoms.Order.retrieve()] == ["x"]


@pytest.mark.parametrize(
    ("type_", "default", "value"),
    [
        ("string", "new", "new"),
        ("string", "it's; DROP TABLE x; --", "it's; DROP TABLE x; --"),
        ("string", "a:b ::c \\:d 100% ? ü", "a:b ::c \\:d 100% ? ü"),
        ("string", "", ""),
        ("integer", -7, -7),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("number", 1.5, 1.5),
        ("number", -0.00125, -0.00125),
        ("boolean", True, True),
        ("boolean", False, False),
        ("object", {"a": ["it's :x", 1]}, {"a": ["it's :x", 1]}),
        ("array", [], []),
        ("MU", {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
async def test_a_field_with_a_constant_default_is_added_to_rows_that_are_there(
    started: Any, type_: str, default: Any, value: Any
) -> None:
    """The rows that are there have the default, as a new instance has."""
    atoms = await started(order())
    await atoms.Order(id=1).save()
    atoms = await started(
        order(
            f"field_name: added, field_type: {type_}, field_nullable: false, field_default: {json.dumps(default)}"
        )
    )
    old = await atoms.Order.load(1)
    new = await atoms.Order(id=2).save()
    assert (old.added, new.added) == (value, value)
    assert type(old.added) is type((await atoms.Order.load(2)).added)


async def test_what_could_lose_data_stops_the_start_with_every_field_named(started: Any) -> None:
    atoms = await started(
        order("field_name: amount, field_type: string", "field_name: note, field_type: string")
    )
    await atoms.Order(id=1, amount="7").save()
    with pytest.raises(CannotOpen) as caught:
        await started(
            order(
                "field_name: amount, field_type: integer",
                "field_name: note, field_type: string, field_nullable: false",
                "field_name: needed, field_type: string, field_nullable: false",
            )
        )
    for place in ("Order.amount", "Order.note", "Order.needed"):
        assert place in str(caught.value)
    atoms = await started(order("field_name: amount, field_type: string"))
    assert (await atoms.Order.load(1)).amount == "7"


async def test_a_field_that_is_taken_away_keeps_its_data(started: Any) -> None:
    with_note = order("field_name: note, field_type: string")
    atoms = await started(with_note)
    await atoms.Order(id=1, note="kept").save()
    atoms = await started(order())
    await atoms.Order(id=2).save()
    assert (await atoms.Order.load(1)).localfields() == {"id": 1}
    atoms = await started(with_note)
    assert [each.note for each in await atoms.Order.retrieve()] == ["kept", None]


async def test_a_field_may_become_unique_if_its_values_are(started: Any) -> None:
    plain, unique = "field_name: code, field_type: integer", "field_unique: true"
    atoms = await started(order(plain))
    await atoms.Order(id=1, code=1).save()
    second = await atoms.Order(id=2, code=1).save()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of which kind is not promised
        await started(order(f"{plain}, {unique}"))
    assert "code" in str(caught.value)
    await second.save(code=2)
    atoms = await started(order(f"{plain}, {unique}"))
    with pytest.raises(Duplicate):
        await atoms.Order(id=3, code=2).save()


async def test_a_class_without_persistence_has_no_table(define: Define, session: Session) -> None:
    atoms = Atoms(define(order() + "persistence: false\n").atoms, session, {**MODULES})
    assert atoms.records == []
    assert atoms.Order(id=1).localfields() == {"id": 1}
