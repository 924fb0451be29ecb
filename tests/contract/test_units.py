"""A unit of work is whole or nothing, answered by its own outcome, durable and visible when answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from framework.errors import ClaimLost, Duplicate, Gone, Unavailable
from framework.storage import Storage, open_storage
from framework.storage.operations import Deliver, Delivery, FifoState, Insert, Put, Release, Update

pytestmark = pytest.mark.anyio


async def keys(storage: Storage, table: Table) -> list[str]:
    return [row["key"] for row in await storage.select(select(table).order_by(table.c.key))]


async def test_an_empty_unit_is_answered(storage: Storage) -> None:
    assert await storage.write([]) == []


async def test_answers_come_in_the_order_of_the_operations(storage: Storage, things: Table) -> None:
    answers = await storage.write([Insert(things, {"key": "a"}), Put("q", "1", 1.0), Put("q", "2", 1.0)])
    assert answers[0] is None
    assert answers[1] < answers[2]


async def state(storage: Storage) -> FifoState:
    found = await storage.fifo_state("q")
    assert found is not None
    return found


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_failing_operation_undoes_the_whole_unit(storage: Storage, things: Table, place: int) -> None:
    await storage.write([Insert(things, {"key": "there"})])
    unit: list[Any] = [Insert(things, {"key": "new"}), Put("q", "1", 1.0)]
    unit.insert(place, Update(things, "key", "nobody", {"text": "x"}))
    with pytest.raises(Gone):
        await storage.write(unit)
    assert await keys(storage, things) == ["there"]
    assert await storage.fifo_state("q") is None


async def test_a_unit_is_not_run_when_one_of_its_claims_was_lost(storage: Storage, things: Table) -> None:
    await storage.write([Put("q", "1", 1.0), Put("r", "1", 1.0)])
    first, second = await storage.write([Deliver("q", 10.0), Deliver("r", 10.0)])
    fences = [first.claim, second.claim]
    await storage.write([Insert(things, {"key": "a"})], fences=fences)
    await storage.write([Release(second.claim)])
    with pytest.raises(ClaimLost):
        await storage.write([Insert(things, {"key": "b"})], fences=fences)
    await storage.write([Insert(things, {"key": "c"})], fences=[first.claim])
    assert await keys(storage, things) == ["a", "c"]


async def test_units_that_share_a_commit_fail_alone(storage: Storage, things: Table) -> None:
    """100 units at once, a third of which fail in their middle, each in another way."""
    await storage.write([Insert(things, {"key": "there"})])
    units: list[list[Any]] = []
    for n in range(100):
        middle: list[Any] = {
            0: [Insert(things, {"key": "there"})],
            3: [Update(things, "key", "nobody", {"text": "x"})],
        }.get(n % 6, [])
        units.append([Insert(things, {"key": f"{n:02}"}), *middle, Put("q", str(n), 1.0)])
    outcomes = await asyncio.gather(*map(storage.write, units), return_exceptions=True)
    for n, outcome in enumerate(outcomes):
        expected = {0: Duplicate, 3: Gone}.get(n % 6, list)
        assert type(outcome) is expected, (n, outcome)
    stored = [f"{n:02}" for n in range(100) if n % 3]
    assert await keys(storage, things) == [*stored, "there"]
    assert (await state(storage)).length == len(stored)


async def test_an_operation_that_is_none_fails_its_unit_alone(storage: Storage, things: Table) -> None:
    bad, good = await asyncio.gather(
        storage.write([Insert(things, {"key": "bad"}), "no operation"]),  # type: ignore[list-item]
        storage.write([Insert(things, {"key": "good"})]),
        return_exceptions=True,
    )
    assert isinstance(bad, Exception)
    assert good == [None]
    assert await keys(storage, things) == ["good"]


async def test_a_unit_is_visible_to_every_reader_when_it_is_answered(
    storage: Storage, things: Table, another: Callable[[], Awaitable[Storage]]
) -> None:
    other = await another()
    count = select(func.count().label("n")).select_from(things)

    async def write_and_look(n: int) -> None:
        key = str(n)
        await storage.write([Insert(things, {"key": key})])
        for reader in (storage, other):
            assert await reader.load(things, "key", key) is not None
            assert await reader.select(select(things).where(things.c.key == key)) != []

    await asyncio.gather(*map(write_and_look, range(100)))
    for reader in (storage, other) * 3:
        assert (await reader.select(count))[0]["n"] == 100


async def test_what_is_not_answered_well_is_not_visible(storage: Storage, things: Table) -> None:
    with pytest.raises(Duplicate):
        await storage.write([Insert(things, {"key": "a"}), Insert(things, {"key": "a"})])
    for _ in range(4):  # whichever reader's turn it is
        assert await storage.load(things, "key", "a") is None
        assert await storage.select(select(things)) == []


async def test_a_cancelled_caller_leaves_a_whole_unit_or_none_and_no_lock(
    storage: Storage, things: Table
) -> None:
    for n in range(200):
        unit = [Insert(things, {"key": f"{n}a"}), Insert(things, {"key": f"{n}b"})]
        task = asyncio.create_task(storage.write(unit))
        for _ in range(n % 4):
            await asyncio.sleep(0)
        if n % 3 == 0:
            await asyncio.sleep(n % 7 * 0.0001)
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(2):
        await storage.write([Insert(things, {"key": "end"})])
    stored = set(await keys(storage, things)) - {"end"}
    for n in range(200):
        assert (f"{n}a" in stored) == (f"{n}b" in stored), n


async def test_orphaned_is_told_once_what_became_of_a_cancelled_unit(storage: Storage) -> None:
    """Cancelled at many moments: nothing that was delivered to nobody stays in work."""
    _, delivery = await storage.write([Put("q", "1", 1.0), Deliver("q", 10.0)])
    await storage.write([Release(delivery.claim)])
    told: list[str] = []
    releases: list[asyncio.Future[Any]] = []

    def orphaned(answers: list[Any] | None, error: BaseException | None) -> None:
        assert error is None
        assert answers is not None
        told.append("told")
        if isinstance(answers[0], Delivery):
            release = Release(answers[0].claim)
            releases.append(asyncio.ensure_future(storage.write([release])))

    tellings = cancelled = 0
    for n in range(200):
        told.clear()
        releases.clear()
        task = asyncio.create_task(storage.write([Deliver("q", 10.0)], orphaned=orphaned))
        for _ in range(n % 3):
            await asyncio.sleep(0)
        if n % 2:
            await asyncio.sleep(n % 11 * 0.00005)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            cancelled += 1
            await storage.write([])  # behind it in the queue: when this is answered, that is as well
            await asyncio.sleep(0)
            assert len(told) <= 1, n
            tellings += len(told)
            await asyncio.gather(*releases)
        else:
            assert told == [], n
            await storage.write([Release(task.result()[0].claim)])
        assert (await state(storage)).in_work is None, n
    assert cancelled > 20
    assert tellings > 20, "the cancelled units hardly ever ran: the moments were not well chosen"


async def test_close_finishes_what_was_handed_in(url: str, thing: Table) -> None:
    async with open_storage(url) as storage:
        await storage.ensure_tables([thing])
        tasks = [asyncio.create_task(storage.write([Insert(thing, {"key": str(n)})])) for n in range(300)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [[None]] * 300
    async with open_storage(url) as storage:
        assert len(await storage.select(select(thing))) == 300


async def test_a_closed_storage_is_unavailable(url: str, thing: Table) -> None:
    async with open_storage(url) as storage:
        await storage.ensure_tables([thing])
    with pytest.raises(Unavailable):
        await storage.write([Insert(thing, {"key": "a"})])
    with pytest.raises(Unavailable):
        await storage.load(thing, "key", "a")
    with pytest.raises(Unavailable):
        await storage.select(select(thing))
    with pytest.raises(Unavailable):
        await storage.fifo_state("q")


async def test_close_may_be_called_twice(storage: Storage) -> None:
    await storage.close()
    await storage.close()
