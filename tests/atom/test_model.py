"""What a definition means to the database: tables, columns, constant defaults, indexes."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import select

from framework.atom.classes import Atoms, Models
from framework.definitions import MODULES, Definitions
from framework.errors import CannotOpen, Duplicate, ValidationError
from framework.storage import Storage, open_storage, plan_migration
from framework.transactions.session import Session
from framework.values.mu import MU

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
        ("number", -0.0, 0.0),
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


# ---- other names, columns of other types, and fields without one ----------------------------


ALIASED = "field_name: amount, field_alias: sum, field_type: integer"


async def test_an_alias_is_another_way_to_the_field(started: Any) -> None:
    atoms = await started(order(ALIASED))
    made = await atoms.Order(id=1, sum=7).save()
    assert (made.amount, made.sum) == (7, 7)
    made.sum = 8
    made += {"sum": made.sum + 1}
    await made.save(sum=made.sum + 1)
    assert (await atoms.Order.load(1)).sum == 10
    [found] = await atoms.Order.retrieve(sum=10, order_by="-sum")
    assert found.localfields() == {"id": 1, "amount": 10}
    assert "sum" not in found.dictionary
    assert atoms.Order(**found.dictionary).amount == 10


async def test_a_field_is_given_by_one_of_its_names(started: Any) -> None:
    atoms = await started(order(ALIASED))
    made = atoms.Order(id=1)
    for attempt in (
        lambda: atoms.Order(id=1, sum=1, amount=2),
        lambda: made.__iadd__({"sum": 1, "amount": 2}),
    ):
        with pytest.raises(ValidationError) as caught:
            attempt()
        assert (caught.value.field, caught.value.rule) == ("amount", "twice")
    with pytest.raises(ValidationError) as caught:
        made.sum = "x"
    assert caught.value.field == "amount"
    with pytest.raises(ValidationError) as caught:
        atoms.Order(id=1, sun=1)
    assert caught.value.rule == "unknown"


async def test_metadata_is_at_hand_and_cannot_be_changed(started: Any) -> None:
    atoms = await started(order(f"{ALIASED}, field_metadata: {{label: Sum, tags: [a]}}"))
    metadata = atoms.Order.fieldmetadata("amount")
    assert metadata == {"label": "Sum", "tags": ["a"]}
    metadata["tags"].append("b")
    assert atoms.Order.fieldmetadata("sum") == {"label": "Sum", "tags": ["a"]}
    assert atoms.Order.fieldmetadata("id") == {}
    with pytest.raises(ValidationError, match="did you mean 'amount'"):
        atoms.Order.fieldmetadata("amout")


async def test_a_field_without_a_column_lives_in_the_instance(started: Any, session: Session) -> None:
    atoms = await started(
        order(
            "field_name: note, field_type: string, field_persistence: false",
            "field_name: tries, field_type: integer, field_persistence: false, field_default: 3",
            "field_name: seen, field_type: array, field_persistence: false, field_default: list()",
            "field_name: kept, field_type: string",
        )
    )
    made = await atoms.Order(id=1, note="x", tries=7, kept="k").save()
    assert (made.note, made.tries, made.kept) == ("x", 7, "k")
    assert made.dictionary.keys() >= {"note", "tries", "kept"}
    loaded = await atoms.Order.load(1)
    assert loaded.localfields() == {"id": 1, "note": None, "tries": 3, "seen": [], "kept": "k"}
    [again] = await atoms.Order.retrieve()
    assert again.seen is not loaded.seen
    with pytest.raises(ValidationError):
        loaded.tries = "x"
    assert "note" not in Models(atoms, session).Order.c
    with pytest.raises(ValidationError) as caught:
        await atoms.Order.retrieve(note="x")
    assert caught.value.rule == "filter"
    with pytest.raises(ValidationError) as caught:
        await atoms.Order.retrieve(order_by="-note")
    assert caught.value.rule == "order"


async def test_saving_writes_nothing_for_a_field_without_a_column(
    started: Any, recorder: Any, session: Session
) -> None:
    atoms = await started(order("field_name: note, field_type: string, field_persistence: false"))
    made = await atoms.Order(id=1).save()
    units = len(recorder.units)
    await made.save(note="x")
    assert made.note == "x"
    assert len(recorder.units) == units


async def test_a_column_has_the_type_that_is_asked_for_and_gives_the_same_back(
    started: Any, session: Session, url: str
) -> None:
    values = {
        "string": ("VARCHAR(40)", "x"),
        "integer": ("SMALLINT", -7),
        "number": ("DOUBLE PRECISION", 1.0),
        "boolean": ("BOOL", True),
        "DateTime": ("TIMESTAMP WITH TIME ZONE", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        "object": ("JSON", {"b": 1.0, "a": [1]}),
        "array": ("LONGTEXT", [1.0, "1"]),
        "MU": ("JSON", MU(a=MU(b=1))),
    }
    atoms = await started(
        order(
            *(
                f"field_name: f{type_}, field_type: {type_}, field_dbtype: {dbtype}"
                for type_, (dbtype, _) in values.items()
            )
        )
    )
    await atoms.Order(id=1, **{f"f{type_}": value for type_, (_, value) in values.items()}).save()
    table = Models(atoms, session).Order
    loaded = await atoms.Order.load(1)
    [row] = await session.select(select(table).where(table.c.fDateTime == values["DateTime"][1]))
    for type_ in ("string", "integer", "number", "boolean", "DateTime"):
        [found] = await atoms.Order.retrieve(**{f"f{type_}": values[type_][1]}, order_by=f"-f{type_}")
        assert found.id == 1
    for type_, (_, value) in values.items():
        for kept in (getattr(loaded, f"f{type_}"), row[f"f{type_}"]):
            assert (kept, type(kept)) == (value, type(value))
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        declared = dict(connection.execute("SELECT name, type FROM pragma_table_info('Order')"))
    assert {f"f{type_}": dbtype for type_, (dbtype, _) in values.items()}.items() <= declared.items()


async def test_an_index_is_made_where_it_is_asked_for(started: Any, url: str) -> None:
    await started(
        order(
            "field_name: code, field_type: integer, field_unique: true",
            "field_name: state, field_type: string, field_metadata: {index: true}",
            "field_name: note, field_type: string",
        )
    )
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        found = dict(connection.execute("SELECT name, \"unique\" FROM pragma_index_list('Order')"))
        [plan] = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM \"Order\" WHERE state = 'x'")
    assert found == {"Order.id": 1, "Order.instance": 1, "Order.code": 1, "Order.state": 0}
    assert "Order.state" in plan[3]


@pytest.mark.parametrize(
    ("type_", "keys"),
    [
        ("string", ("a", "b")),
        ("integer", (1, 2)),
        ("number", (1.0, 2.5)),
        ("boolean", (True, False)),
        ("DateTime", (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC))),
    ],
)
async def test_an_identifier_of_each_type_is_found_and_referred_to(
    started: Any, type_: str, keys: tuple[Any, Any]
) -> None:
    identifier = f"attributes:\n  identifier: {{field_name: key, field_type: {type_}}}\n"
    references = (
        "  ref_fields:\n  - {field_name: many, field_type: array<AxisAtom.Slot>}\n"
        "  - {field_name: one, field_type: <AxisAtom.Slot>}\n"
    )
    atoms = await started(f"name: Slot\n{identifier}", f"name: Day\n{identifier}{references}")
    first, second = [await atoms.Slot(key=key).save() for key in keys]
    await atoms.Day(key=keys[0], many=[second, first], one=first).save()
    day = await atoms.Day.load(keys[0])
    assert [slot.key for slot in day.many] == [keys[1], keys[0]]
    assert (day.one.key, type(day.one.key)) == (keys[0], type(keys[0]))
    [found] = await atoms.Day.retrieve(key=keys[0])
    assert [slot.key for slot in found.many] == [keys[1], keys[0]]
    assert await atoms.Slot.load(keys[1]) is not None


async def test_a_field_is_added_while_others_with_the_old_definition_work_on(
    started: Any, define: Define, url: str
) -> None:
    """To the database a second storage is another process: it starts with more, and neither disturbs the other."""
    old = await started(order("field_name: note, field_type: string"))
    first = await old.Order(id=1, note="a").save()
    more = order(
        "field_name: note, field_type: string",
        "field_name: state, field_type: string, field_nullable: false, field_default: new",
        "field_name: code, field_type: integer, field_unique: true",
    )
    session = Session()
    new = Atoms(define(more).atoms, session, {**MODULES})
    async with open_storage(url) as another:
        await another.ensure_tables(new.records)
        session.bind(another)
        await first.save(note="b")
        await old.Order(id=2, note="c").save()
        assert [each.note for each in await old.Order.retrieve()] == ["b", "c"]
        assert [each.localfields() for each in await new.Order.retrieve()] == [
            {"id": 1, "note": "b", "state": "new", "code": None},
            {"id": 2, "note": "c", "state": "new", "code": None},
        ]
        session.stop()


async def test_what_a_class_takes_over_is_migrated_in_its_own_table(
    started: Any, define: Define, url: str
) -> None:
    base = "name: Base\nabstract: true\nattributes:\n  local_fields:\n  - {field_name: %s}\n"
    child = order("field_name: own, field_type: string").replace(
        "name: Order", "name: Order\nextends: [Base]", 1
    )
    atoms = await started(base % "remark, field_type: string", child)
    await atoms.Order(id=1, remark="7", own="x").save()
    after = (base % "note, field_type: integer, renamed_from: remark", child)
    with pytest.raises(CannotOpen, match="renamed from remark"):
        await started(*after)
    tables = Atoms(define(*after).atoms, Session(), {**MODULES}).records
    assert [table.name for table in tables] == ["Order"]
    plan = plan_migration(url, tables)
    assert [(change.sign, change.text) for change in plan.changes] == [
        ("~", "renamed from remark"),
        ("~", "string → integer, 1 row converted"),
    ]
