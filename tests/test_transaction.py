"""Transactions of scripts: whole or nothing, whatever is done in them and around them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from framework import transaction as transaction_module
from framework.atoms import Atoms, Models
from framework.definitions import check
from framework.errors import Duplicate, TransactionEnded, TransactionHeld, TransactionTooLong
from framework.fifo import Fifos
from framework.session import Session
from framework.storage import Storage

pytestmark = pytest.mark.anyio

THING = """
name: Thing
attributes:
  identifier: {field_name: thingId, field_type: string}
  local_fields:
  - {field_name: name, field_type: string}
"""


class World:
    """Classes and FIFOs on one storage, as scripts have them."""

    def __init__(self, atoms: Atoms, session: Session) -> None:
        self.session = session
        self.Thing: Any = atoms.Thing
        self.model: Any = Models(atoms, session)
        self.fifo = Fifos(session)

    async def names(self) -> list[str]:
        return [thing.thingId for thing in await self.Thing.retrieve()]


@pytest.fixture
async def world(storage: Storage, tmp_path: Any) -> World:
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "Thing.yaml").write_text(THING)
    session = Session()
    atoms = Atoms(check(folder).definitions.atoms, session, {})
    await storage.ensure_tables(atoms.records)
    session.bind(storage)
    return World(atoms, session)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_module, "TRANSACTION_HOLD", 0.2)


# ---- several tasks in one transaction --------------------------------------------------------


async def test_reads_at_once_after_a_write_share_one_transaction(world: World) -> None:
    async with world.session.collected():
        await world.Thing(thingId="a").save()
        found = await asyncio.gather(*(world.Thing.load("a") for _ in range(4)))
        assert [thing.thingId for thing in found] == ["a"] * 4
    assert await world.names() == ["a"]


async def test_writes_at_once_on_one_connection_share_one_transaction(world: World) -> None:
    async with world.model.aiodb() as conn, conn.begin():
        await asyncio.gather(*(world.Thing(thingId=name).save(conn=conn) for name in "abc"))
    assert sorted(await world.names()) == ["a", "b", "c"]


# ---- what a rollback leaves behind ------------------------------------------------------------


async def _fail_in(context: Any, work: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with context:
            await work()
            raise ZeroDivisionError


async def test_an_instance_knows_that_its_insert_was_rolled_back(world: World) -> None:
    thing = world.Thing(thingId="a")
    for _ in range(2):
        async with world.model.aiodb() as conn:
            await _fail_in(conn.begin(), lambda conn=conn: thing.save(conn=conn))
    await _fail_in(world.session.collected(), thing.save)
    await thing.save()
    assert await world.names() == ["a"]


async def test_an_instance_knows_that_its_update_was_rolled_back(world: World) -> None:
    thing = world.Thing(thingId="a", name="old")
    await thing.save()
    await _fail_in(world.session.collected(), lambda: thing.save(name="new"))
    assert thing.name == "old"
    await thing.save(name="new")
    assert (await world.Thing.load("a")).name == "new"


async def test_an_instance_knows_that_its_end_was_rolled_back(world: World) -> None:
    thing = world.Thing(thingId="a")
    await thing.save()
    await _fail_in(world.session.collected(), thing.destroy)
    await thing.save(name="lives on")
    assert (await world.Thing.load("a")).name == "lives on"


async def test_a_collected_write_that_fails_at_the_end_is_undone_in_the_instance(world: World) -> None:
    await world.Thing(thingId="a").save()
    second = world.Thing(thingId="a")
    with pytest.raises(Duplicate):
        async with world.session.collected():
            await second.save()
    with pytest.raises(Duplicate):
        await second.save()  # an insert again, not an update of the first one's row


async def test_a_failed_write_cannot_be_passed_over(world: World) -> None:
    await world.Thing(thingId="twice").save()
    with pytest.raises(Duplicate):
        async with world.session.collected():
            await world.fifo("audit").put(1)
            await world.Thing(thingId="twice").save()
            with pytest.raises(Duplicate):
                await world.Thing.load("twice")
            with pytest.raises(Duplicate):
                await world.fifo("audit").put(2)
    assert await world.fifo("audit").length() == 0


# ---- who outlives it, and who would wait for himself ------------------------------------------


async def test_a_task_that_outlives_an_explicit_transaction_gets_an_error(world: World) -> None:
    ended = asyncio.Event()

    async def late(conn: Any) -> None:
        await ended.wait()
        await world.Thing(thingId="late").save(conn=conn)

    async with world.model.aiodb() as conn:
        async with conn.begin():
            task = asyncio.create_task(late(conn))
        ended.set()
        with pytest.raises(TransactionEnded):
            await task
        await world.Thing(thingId="by itself").save(conn=conn)
    with pytest.raises(TransactionEnded):
        await world.Thing(thingId="after").save(conn=conn)
    assert await world.names() == ["by itself"]


async def test_a_task_that_outlives_a_collected_transaction_gets_an_error(world: World) -> None:
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        await world.Thing(thingId="late").save()

    async with world.session.collected():
        task = asyncio.create_task(late())
    ended.set()
    with pytest.raises(TransactionEnded):
        await task
    assert await world.names() == []


async def test_nobody_waits_for_the_transaction_that_he_stands_in(world: World) -> None:
    began = time.monotonic()
    async with world.model.aiodb() as conn, world.model.aiodb() as other, conn.begin():
        await world.Thing(thingId="a").save(conn=conn)
        for write in (
            lambda: world.Thing(thingId="b").save(),
            lambda: world.fifo("q").put(1),
            lambda: world.Thing(thingId="b").save(conn=other),
            lambda: other.begin().__aenter__(),
            lambda: conn.begin().__aenter__(),
            lambda: world.fifo("q").__aenter__(),
        ):
            with pytest.raises(TransactionHeld):
                await write()
    async with world.session.collected(), world.model.aiodb() as conn:
        await world.Thing(thingId="c").save()
        assert await world.Thing.load("c") is not None
        with pytest.raises(TransactionHeld):
            await conn.begin().__aenter__()
        with pytest.raises(TransactionHeld):
            await world.Thing(thingId="d").save(conn=conn)
    assert time.monotonic() - began < 1.5
    assert await world.names() == ["a", "c"]


# ---- how long it may hold the writer ----------------------------------------------------------


@pytest.mark.usefixtures("_short")
async def test_who_awaits_something_else_for_too_long_is_rolled_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.model.aiodb() as conn:
        with pytest.raises(TransactionTooLong, match=r"more than 0.2 s"):
            async with conn.begin():
                await world.Thing(thingId="a").save(conn=conn)
                await asyncio.sleep(0.6)
    assert await world.names() == []
    assert any(getattr(record, "action", "") == "transaction_too_long" for record in caplog.records)


@pytest.mark.usefixtures("_short")
async def test_a_loop_that_did_not_turn_is_not_the_transactions_fault(world: World) -> None:
    async with world.model.aiodb() as conn, conn.begin():
        await world.Thing(thingId="a").save(conn=conn)
        time.sleep(0.6)  # somebody else's script blocks the event loop
        await world.Thing(thingId="b").save(conn=conn)
    assert await world.names() == ["a", "b"]


# ---- statements ---------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True])
async def test_columns_of_one_name_both_come_back(world: World, held: bool) -> None:
    from sqlalchemy import select

    await world.Thing(thingId="a", name="x").save()
    await world.Thing(thingId="b", name="x").save()
    one, two = world.model.Thing.alias("one"), world.model.Thing.alias("two")
    statement = select(one.c.thingId, two.c.thingId).where(
        one.c.name == two.c.name, one.c.thingId < two.c.thingId
    )
    async with world.model.aiodb() as conn, conn.begin():
        if held:
            await world.Thing(thingId="c").save(conn=conn)
        result = await conn.execute(statement)
    assert result.fetchall() == [("a", "b")]
