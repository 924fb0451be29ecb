"""Transactions of scripts: whole or nothing, whatever is done in them and around them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text

from framework.atom.classes import Atoms, Models
from framework.definitions import check
from framework.errors import (
    ClaimLost,
    Duplicate,
    TransactionEnded,
    TransactionHeld,
    TransactionTooLong,
    Unavailable,
)
from framework.queue.fifo import Fifos
from framework.storage import Storage
from framework.storage.gathering import Chosen, Gathering
from framework.storage.operations import Execute, Put, Release
from framework.transactions import context
from framework.transactions import transaction as transaction_module
from framework.transactions.session import Session
from tests.locking import Locking

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


async def test_a_block_that_raises_stores_nothing(world: World) -> None:
    conn = world.session.connection()
    await _fail_in(conn.begin(), lambda: world.Thing(thingId="a").save(conn=conn))
    assert await world.names() == []
    await _fail_in(world.session.collected(), lambda: world.Thing(thingId="a").save())
    assert await world.names() == []


async def test_a_save_that_fails_is_undone_alone_in_an_explicit_transaction(world: World) -> None:
    await world.Thing(thingId="there").save()
    async with world.model.aiodb() as conn, conn.begin():
        await world.Thing(thingId="a").save(conn=conn)
        with pytest.raises(Duplicate):
            await world.Thing(thingId="there").save(conn=conn)
        await world.Thing(thingId="b").save(conn=conn)
    assert await world.names() == ["there", "a", "b"]


async def test_a_read_that_does_not_say_for_update_holds_nobody_up(world: World) -> None:
    """Also where the transaction itself is asked."""
    table = world.model.Thing
    await world.Thing(thingId="a").save()

    def gathering() -> Gathering[int]:
        rows = yield Chosen(select(table), {})
        return len(rows)

    async def read(place: Any) -> None:
        assert await place.load(table, "thingId", "a") is not None
        assert len(await place.select(select(table))) == 1
        assert await place.gather(gathering()) == 1

    conn = world.session.connection()
    await read(conn)
    async with conn.begin():
        await read(conn)
        await world.session.storage.write([Put("q", "1", 1.0)])
    async with world.session.collected():
        joined = context.current().joined
        assert joined is not None
        await read(joined)
        assert not joined.holding


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


@pytest.mark.parametrize("read", ["load", "select", "gather"])
async def test_for_update_needs_a_transaction(world: World, read: str) -> None:
    conn = world.session.connection()
    for place in (None, conn):
        with pytest.raises(TransactionHeld, match=r"for_update needs (a|the) transaction"):
            await reading(world, read, place, for_update=True)


@pytest.mark.parametrize("read", ["load", "select", "gather"])
async def test_reads_see_what_their_transaction_wrote_and_others_do_not(world: World, read: str) -> None:
    await world.Thing(thingId="a").save()
    session = world.session
    conn = session.connection()
    async with conn.begin():
        assert await reading(world, read, conn) == ["a"]
        await world.Thing(thingId="b", name="b").save(conn=conn)
        assert await reading(world, read, conn) == ["a", "b"]
        assert await reading(world, read, conn, for_update=True) == ["a", "b"]
        assert await reading(world, read, None) == ["a"]
    assert await reading(world, read, None) == ["a", "b"]
    async with session.collected():
        assert await reading(world, read, None) == ["a", "b"]
        await world.Thing(thingId="c").save()
        assert await reading(world, read, None) == ["a", "b", "c"]
        await world.Thing(thingId="d").save()  # the writer is held now
        assert await reading(world, read, None) == ["a", "b", "c", "d"]
    assert await world.names() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("read", ["load", "select", "gather"])
@pytest.mark.parametrize("for_update", [False, True])
async def test_a_read_holds_the_writer_only_for_update(world: World, read: str, for_update: bool) -> None:
    await world.Thing(thingId="a").save()

    async def others_wait() -> bool:
        """Does a write of somebody else have to wait for this transaction?"""
        write = asyncio.create_task(world.session.storage.write([Put("q", "1", 1.0)]))
        done, _ = await asyncio.wait({write}, timeout=0.3)
        waiting.append(write)
        return not done

    waiting: list[asyncio.Task[Any]] = []
    async with world.session.collected():
        assert await reading(world, read, None, for_update=for_update) == ["a"]
        assert await others_wait() is for_update
    conn = world.session.connection()
    async with conn.begin():
        assert await reading(world, read, conn, for_update=for_update) == ["a"]
        assert await others_wait() is for_update
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("read", ["load", "select", "gather"])
async def test_the_database_is_told_what_is_read_for_update(
    world: World, storage: Storage, read: str
) -> None:
    """Where it locks rows and not itself, that is what keeps others from changing them."""
    locking = Locking(storage)
    world.session.bind(locking)  # type: ignore[arg-type]
    conn = world.session.connection()
    async with conn.begin():
        await reading(world, read, conn, for_update=True)
        await reading(world, read, conn)
    assert set(locking.reads) == {(read, True), (read, False)}
    locking.reads.clear()
    async with world.session.collected():
        await reading(world, read, None, for_update=True)
    assert set(locking.reads) == {(read, True)}


async def reading(world: World, read: str, place: Any, *, for_update: bool = False) -> list[str]:
    """The names that a read of this kind finds, in order."""
    session, table = world.session, world.model.Thing
    if read == "select":
        statement = (
            select(table.c.thingId).where(table.c.thingId >= bindparam("first")).order_by(table.c.thingId)
        )
        rows = await session.select(statement, {"first": "a"}, place, for_update=for_update)
        return [row["thingId"] for row in rows]
    if read == "load":
        found = [
            await session.load(table, "thingId", name, place, for_update=for_update)
            for name in ("a", "b", "c", "d")
        ]
        return [row["thingId"] for row in found if row is not None]

    def gathering() -> Gathering[list[str]]:
        rows = yield Chosen(select(table.c.thingId).order_by(table.c.thingId), {})
        return [row["thingId"] for row in rows]

    return await session.gather(gathering(), place, for_update=for_update)


async def test_what_a_transaction_is_refused_for_is_said(world: World) -> None:
    conn, other = world.session.connection(), world.session.connection()
    async with conn.begin():
        await world.Thing(thingId="a").save(conn=conn)
        with pytest.raises(TransactionHeld, match="a second transaction would wait"):
            await other.write([Put("q", "1", 1.0)])
        with pytest.raises(TransactionHeld, match="give it conn=conn"):
            await world.session.write([Put("q", "1", 1.0)])
        with pytest.raises(TransactionHeld, match="callout would wait for the transaction"):
            world.session.require_free("callout")
        with pytest.raises(TransactionHeld, match="a FIFO block inside a transaction"):
            await world.fifo("q").__aenter__()
    world.session.require_free("callout")
    async with world.session.collected():
        world.session.require_free("callout")  # it holds nothing yet
        with pytest.raises(TransactionHeld, match="a FIFO block inside a transaction"):
            await world.fifo("q").__aenter__()
        await world.Thing(thingId="b").save()
        await world.Thing.load("b")
        with pytest.raises(TransactionHeld, match="callout would wait"):
            world.session.require_free("callout")


# ---- a claim that was lost ----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["none", "conn", "begun", "collected", "collected and read"])
async def test_who_has_lost_its_item_writes_nothing_wherever_it_writes(world: World, place: str) -> None:
    await world.Thing(thingId="there").save()
    await world.fifo("q").put(1)
    async with world.fifo("q"):
        [claim] = context.claims()
        await world.session.storage.write([Release(claim)])  # somebody takes it away
        with pytest.raises(ClaimLost):
            await writing(world, place)
    assert await world.names() == ["there"]


async def writing(world: World, place: str) -> None:
    """Save a thing in this way."""
    thing = world.Thing(thingId="late")
    conn = world.session.connection()
    if place == "none":
        await thing.save()
    elif place == "conn":
        await thing.save(conn=conn)
    elif place == "begun":
        async with conn.begin():
            await thing.save(conn=conn)
    else:
        async with world.session.collected():
            await thing.save()
            if place == "collected and read":
                await world.Thing.load("late")


# ---- parts of a transaction ---------------------------------------------------------------------


async def test_a_part_that_fails_is_undone_alone_while_nothing_of_it_is_sent(world: World) -> None:
    first, second, third = (world.Thing(thingId=name) for name in ("first", "second", "third"))
    async with world.session.collected():
        await first.save()
        with pytest.raises(ZeroDivisionError):
            async with world.session.whole():
                await second.save()
                await third.save()
                raise ZeroDivisionError
        with pytest.raises(KeyError):
            async with world.session.whole():
                raise KeyError  # it wrote nothing: nothing has to be undone
    assert await world.names() == ["first"]
    await second.save()  # it knows that it was not stored
    assert await world.names() == ["first", "second"]


async def test_a_part_that_fails_after_a_read_undoes_all(world: World) -> None:
    with pytest.raises(TransactionEnded, match="could not be undone alone"):
        async with world.session.collected():
            await world.Thing(thingId="first").save()
            await world.Thing.load("first")
            with pytest.raises(ZeroDivisionError):
                async with world.session.whole():
                    await world.Thing(thingId="second").save()
                    raise ZeroDivisionError
    assert await world.names() == []


async def test_an_error_of_a_block_reaches_its_end_as_it_was_raised(world: World) -> None:
    for block in (world.session.collected(), world.session.connection().begin()):
        with pytest.raises(ZeroDivisionError) as caught:
            async with block:
                await world.Thing.retrieve()
                raise ZeroDivisionError("by zero")
        assert caught.value.args == ("by zero",)


# ---- how long it may hold the writer ----------------------------------------------------------


@pytest.mark.usefixtures("_short")
async def test_who_awaits_something_else_for_too_long_is_rolled_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    thing = world.Thing(thingId="a")
    async with world.model.aiodb() as conn:
        with pytest.raises(TransactionTooLong, match=r"more than 0.2 s while an unknown line awaited"):
            async with conn.begin():
                await thing.save(conn=conn)
                await asyncio.sleep(0.6)
    assert await world.names() == []
    await thing.save()  # it knows that it was not stored
    assert await world.names() == ["a"]
    [record] = [one for one in caplog.records if getattr(one, "action", "") == "transaction_too_long"]
    assert "a transaction was rolled back: it held the writer for more than 0.2 s" in record.getMessage()


@pytest.mark.usefixtures("_short")
async def test_a_loop_that_did_not_turn_is_not_the_transactions_fault(world: World) -> None:
    async with world.model.aiodb() as conn, conn.begin():
        await world.Thing(thingId="a").save(conn=conn)
        time.sleep(0.6)  # somebody else's script blocks the event loop
        await world.Thing(thingId="b").save(conn=conn)
        await asyncio.sleep(0.1)
        await world.Thing(thingId="c").save(conn=conn)
    assert await world.names() == ["a", "b", "c"]


@pytest.mark.usefixtures("_short")
async def test_the_line_that_awaited_something_else_is_named(world: World) -> None:
    """A script of a definition, as far as the error can tell: code of a YAML file."""
    source = "async def wait(conn, thing):\n    await thing.save(conn=conn)\n    await asyncio.sleep(0.6)\n"
    names: dict[str, Any] = {"asyncio": asyncio}
    exec(compile(source, "orders.yaml", "exec"), names)
    async with world.model.aiodb() as conn:
        with pytest.raises(TransactionTooLong, match=r"orders\.yaml:3 in wait"):
            async with conn.begin():
                await names["wait"](conn, world.Thing(thingId="a"))


# ---- statements ---------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True])
async def test_columns_of_one_name_both_come_back(world: World, held: bool) -> None:
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


async def test_a_result_gives_its_rows_in_each_form(world: World) -> None:
    await world.Thing(thingId="a", name="x").save()
    await world.Thing(thingId="b", name="y").save()
    table = world.model.Thing
    columns = select(table.c.thingId, table.c.name).order_by(table.c.thingId)
    async with world.model.aiodb() as conn:
        found = await conn.execute(columns)
        nothing = await conn.execute(columns.where(table.c.name == "z"))
        changed = await conn.execute(table.update().values(name="new"))
    assert found.fetchall() == list(found) == [("a", "x"), ("b", "y")]
    assert found.columns == ("thingId", "name")
    assert (len(found), found.first(), found.scalar()) == (2, ("a", "x"), "a")
    assert found.mappings() == [{"thingId": "a", "name": "x"}, {"thingId": "b", "name": "y"}]
    assert (len(nothing), nothing.first(), nothing.scalar(), nothing.mappings()) == (0, None, None, [])
    assert changed.rowcount == 2


async def test_a_select_waits_for_the_writer_only_in_a_transaction_that_holds_it(world: World) -> None:
    table = world.model.Thing
    async with world.model.aiodb() as conn, conn.begin():
        assert (await conn.execute(select(table.c.thingId))).fetchall() == []
        await world.Thing(thingId="mine").save(conn=conn)
        assert (await conn.execute(select(table.c.thingId))).fetchall() == [("mine",)]
    async with world.model.aiodb() as conn:
        assert (await conn.execute(select(table.c.thingId))).fetchall() == [("mine",)]


# ---- what the database itself has ended --------------------------------------------------------


async def test_the_error_of_a_block_is_not_hidden_by_a_database_that_had_ended_the_transaction_before(
    world: World,
) -> None:
    await world.Thing(thingId="a").save()
    again = text('INSERT OR ROLLBACK INTO "Thing" SELECT * FROM "Thing"')  # SQLite rolls all of it back
    async with world.model.aiodb() as conn:
        with pytest.raises(ZeroDivisionError, match="by zero") as caught:
            async with conn.begin():
                await world.Thing(thingId="b").save(conn=conn)
                with pytest.raises(Unavailable, match="ended by the database"):
                    await conn.execute(again)
                raise ZeroDivisionError("by zero")
    [note] = caught.value.__notes__
    assert note.startswith("the database had already ended the transaction: ")
    with pytest.raises(ZeroDivisionError) as caught:
        async with world.session.collected():
            await world.Thing(thingId="c").save()
            await world.Thing.retrieve()  # takes the writer
            held = context.current().joined
            assert held is not None
            with pytest.raises(Unavailable):
                await held.write([Execute(again)])
            raise ZeroDivisionError("by zero")
    assert caught.value.__notes__
    assert await world.names() == ["a"]
    await world.Thing(thingId="d").save()
    assert await world.names() == ["a", "d"]


async def test_a_commit_of_what_the_database_had_ended_before_fails(world: World) -> None:
    await world.Thing(thingId="a").save()
    again = text('INSERT OR ROLLBACK INTO "Thing" SELECT * FROM "Thing"')
    async with world.model.aiodb() as conn:
        with pytest.raises((Duplicate, Unavailable)):
            async with conn.begin():
                await world.Thing(thingId="b").save(conn=conn)
                with pytest.raises(Unavailable):
                    await conn.execute(again)
    assert await world.names() == ["a"]
