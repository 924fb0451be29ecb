"""Claims: who has lost an item changes nothing any more, and effects in the database happen exactly once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import FifoPolicy, Location
from framework.errors import ClaimLost
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies
from framework.storage import Storage, open_storage
from framework.storage.operations import Acknowledge, Bury, Claim, Deliver, Failure, Put, Release
from framework.transactions.session import Session

from .program import Program

pytestmark = pytest.mark.anyio
Start = Callable[..., Program]
POLICY = FifoPolicy("q", Location("q.yaml", 1, 1), timeout=0.2, max_crashes=1_000_000)


async def test_a_task_that_outlives_the_time_out_of_its_block_changes_nothing(
    session: Session, start: Start
) -> None:
    """The item has meanwhile been taken by another process, which works on it undisturbed."""
    fifos = Fifos(session, Policies([replace(POLICY, backoff=replace(POLICY.backoff, initial=0.0))]))
    await fifos("q").put("item")
    over = asyncio.Event()
    errors: list[type[BaseException]] = []
    fifo = fifos("q")

    async def outlive(write: Callable[[], Any]) -> None:
        await over.wait()
        try:
            await write()
        except Exception as error:
            errors.append(type(error))

    async def in_transaction() -> None:
        own = session.connection()
        async with own.begin():
            await fifos("other").put(1, conn=own)

    async def collected() -> None:
        async with session.collected():
            await fifos("other").put(2)

    tasks = []
    with pytest.raises(TimeoutError):
        async with fifo as item:
            assert item == "item"
            claim = Claim("q", fifo.id, fifo.epoch)
            conn = session.connection()
            writes: list[Callable[[], Any]] = [
                lambda: fifos("other").put(3),
                lambda: fifos("other").put_many([4, 5]),
                lambda: fifos("other").put(6, conn=conn),
                lambda: fifos("q").pause(),
                in_transaction,
                collected,
            ]
            tasks = [asyncio.create_task(outlive(write)) for write in writes]
            await asyncio.sleep(30)
    await fifos.settlements.settle()

    other = start(
        """
        fifo = FIFO("q")
        async with fifo as item:
            say(item, fifo.epoch, fifo.attempt)
            await hear()
        await FIFO.settlements.settle()
        say("done")
        """
    )
    taken = await asyncio.to_thread(other.line)
    word, epoch, attempt = taken.split()
    assert (word, int(attempt)) == ("item", 2)
    assert int(epoch) > claim.epoch
    over.set()
    await asyncio.gather(*tasks)
    assert errors == [ClaimLost] * len(writes)
    storage = session.storage
    for late in (Acknowledge(claim), Release(claim), Bury(claim, Failure("late", None, 1.0))):
        with pytest.raises(ClaimLost):
            await storage.write([late])
    assert await storage.fifo_state("other") is None
    state = await storage.fifo_state("q")
    assert state is not None
    assert (state.length, state.dead, state.paused) == (1, 0, False)
    assert state.in_work is not None
    assert state.in_work.pid == other.pid
    other.tell()
    assert await asyncio.to_thread(other.line) == "done"
    assert await fifos("q").length() == 0


async def test_a_connection_made_before_the_block_is_fenced_by_it_as_well(session: Session) -> None:
    fifos = Fifos(session, Policies([POLICY]))
    await fifos("q").put("item")
    conn = session.connection()
    over = asyncio.Event()

    async def outlive() -> None:
        await over.wait()
        async with conn.begin():
            await fifos("other").put(1, conn=conn)

    with pytest.raises(KeyError):
        async with fifos("q"):
            task = asyncio.create_task(outlive())
            raise KeyError
    await fifos.settlements.settle()
    over.set()
    with pytest.raises(ClaimLost):
        await task


async def test_with_the_claim_of_a_killed_process_nobody_can_write(storage: Storage, start: Start) -> None:
    await storage.write([Put("q", '"item"', 1.0)])
    first = start('fifo = FIFO("q")\nasync with fifo:\n    say(fifo.id, fifo.epoch)\n    await hear()')
    item_id, epoch = map(int, (await asyncio.to_thread(first.line)).split())
    claim = Claim("q", item_id, epoch)
    first.kill()
    [taken] = await storage.write([Deliver("q", 10.0)])
    assert taken.claim.item_id == item_id
    assert taken.claim.epoch > epoch
    with pytest.raises(ClaimLost):
        await storage.write([Put("other", "1", 1.0)], fences=[claim])
    with pytest.raises(ClaimLost):
        await storage.write([Acknowledge(claim)])
    await storage.write([Put("other", "2", 1.0), Acknowledge(taken.claim)], fences=[taken.claim])
    assert [item.payload for item in await storage.peek("other", 9)] == ["2"]


COUNT = """
effect = sqlalchemy.Table("effect", sqlalchemy.MetaData(), sqlalchemy.Column("number", sqlalchemy.BigInteger))
await db.ensure_tables([effect])
chance = random.Random(int(sys.argv[2]))
say("ready")
while True:
    fifo = FIFO("q")
    async with fifo as number:
        if number is None:
            break
        conn = session.connection()
        async with conn.begin():
            await conn.execute(sqlalchemy.insert(effect).values(number=number))
            say("row", number)
            await asyncio.sleep(chance.uniform(0, 0.004))
            await fifo.ack(conn=conn)
            await asyncio.sleep(chance.uniform(0, 0.002))
        await asyncio.sleep(chance.uniform(0, 0.002))
"""


@pytest.mark.parametrize(
    "kills", [8, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(600)], id="long")]
)
def test_what_a_block_writes_with_its_acknowledgement_happens_exactly_once_whenever_it_is_killed(
    start: Start, url: str, tmp_path: Path, source: random.Random, kills: int
) -> None:
    count = 25 * kills

    async def put() -> None:
        async with open_storage(url) as storage:
            await storage.write([Put("q", str(number), 1.0) for number in range(count)])

    asyncio.run(put())
    began = time.monotonic()
    for kill in range(kills):
        worker = start(COUNT, source.randrange(2**32))
        assert worker.line() == "ready"
        for _ in range(source.randint(1, 20)):
            assert worker.line().startswith("row ")
        time.sleep(source.uniform(0, 0.004))
        worker.kill()
        if kill % 10 == 9:
            print(f"{kill + 1} kills, {time.monotonic() - began:.0f} s", flush=True)
    worker = start(COUNT, 0)
    worker.end(60)
    connection = sqlite3.connect(tmp_path / "test.db")
    try:
        effects = [number for (number,) in connection.execute("SELECT number FROM effect ORDER BY rowid")]
        left = connection.execute("SELECT count(*) FROM _framework_item").fetchone()
        dead = connection.execute("SELECT count(*) FROM _framework_dead").fetchone()
    finally:
        connection.close()
    assert effects == list(range(count))  # each once, and in order
    assert (left, dead) == ((0,), (0,))
