"""FIFO as scripts use it: blocks, what may be put, and what leaving a block does to its item."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, Text

from framework.errors import ClaimLost, ItemRefused, Nested, NotInBlock, Retry, Stopping, Unavailable
from framework.queue.fifo import Fifos
from framework.storage import Storage
from framework.storage.contract import Orphaned
from framework.storage.operations import Claim, Insert, Operation, Release, Undelivered
from framework.storage.signals import Signal
from framework.storage.tables import RowNumber
from framework.transactions.context import entered
from framework.transactions.run import Run
from framework.transactions.session import Session
from framework.values.mu import MU
from tests.conftest import Recorder

pytestmark = pytest.mark.anyio

WAIT = 0.05
ROW = Table("Row", MetaData(), Column("seq", RowNumber, primary_key=True), Column("key", Text))


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", WAIT)


@pytest.fixture
async def rows(storage: Storage) -> Table:
    await storage.ensure_tables([ROW])
    return ROW


@pytest.fixture
async def filled(fifos: Fifos) -> Fifos:
    """``q`` with the items 0, 1, 2."""
    for n in range(3):
        await fifos("q").put(n)
    return fifos


async def take(fifos: Fifos, name: str = "q") -> Any:
    """The next item, worked off."""
    async with fifos(name) as item:
        return item


# ---- putting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"a": [1, 2.5, None, True, "ü\x00", {"b": 10**30}]},
        *({}, [], "", "text", 0, False, 1.5, [None], -(2**70), {"": 1}),
        {"big": "x" * (1024 * 1024 - 10)},
    ],
    ids=lambda item: type(item).__name__,
)
async def test_an_item_comes_out_as_it_went_in(fifos: Fifos, item: Any) -> None:
    await fifos("q").put(item)
    taken = await take(fifos)
    assert taken == item
    assert type(taken) in (type(item), MU)


async def test_mappings_come_out_as_mu_also_inside(fifos: Fifos) -> None:
    await fifos("q").put({"items": [{"x": {"y": 1}}]})
    await fifos("q").put([{"x": 1}])
    assert (await take(fifos)).items[0].x.y == 1
    assert (await take(fifos))[0].x == 1


async def test_an_mu_is_put_whatever_its_keys(fifos: Fifos) -> None:
    await fifos("q").put(MU(items=[MU(keys=1)]))
    assert await take(fifos) == {"items": [{"keys": 1}]}


async def test_put_answers_ids_that_rise(fifos: Fifos) -> None:
    first = await fifos("q").put(1)
    second = await fifos("q").put(1)
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert first < second
    async with fifos("q") as item, fifos("other"):
        assert item == 1


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize(
    "item",
    [
        *(None, float("nan"), float("inf"), {"a": [float("-inf")]}),
        *("\ud800", {"a": "\udfff"}, {"\ud800": 1}),
        *({1: 2}, {"a": [{None: 1}]}, {True: 1}, {("a",): 1}, MU({"a": {2.5: 1}})),
        *({1, 2}, b"bytes", object(), {"a": {1}}, [object()], 1j),
        *("x" * (1024 * 1024 - 1), {"a": ["ü" * (512 * 1024)]}),
        *(nested(100_000, list), nested(2_000, dict)),
    ],
    ids=lambda item: type(item).__name__,
)
async def test_what_is_no_item_is_refused_and_nothing_is_put(fifos: Fifos, item: Any) -> None:
    with pytest.raises(ItemRefused, match="'q'") as raised:
        await fifos("q").put(item)
    assert raised.value.refused is item, "by it the gateway finds whether the client has sent it"
    assert await fifos("q").length() == 0


@pytest.mark.parametrize("kind", [dict, list])
async def test_an_item_may_have_200_levels(fifos: Fifos, kind: type) -> None:
    deepest = nested(200, kind)
    await fifos("q").put(deepest)
    assert await take(fifos) == deepest
    with pytest.raises(ItemRefused, match="deeper than 200 levels") as raised:
        await fifos("q").put([deepest])
    assert raised.value.refused == [deepest]


async def test_a_circular_item_is_refused(fifos: Fifos) -> None:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    with pytest.raises(ItemRefused):
        await fifos("q").put(circle)


@pytest.mark.parametrize("kind", [dict, list])
async def test_an_item_is_refused_or_it_comes_out_however_deep_it_is(fifos: Fifos, kind: type) -> None:
    """None may be taken in that cannot be given out again: it would block its FIFO for ever."""
    taken = 0
    for depth in (10, 100, 190, 300, 450, 600, 800, 950):
        try:
            await fifos("q").put(nested(depth, kind))
        except ItemRefused:
            continue
        assert await take(fifos) == nested(depth, kind)
        taken += 1
    assert taken >= 2


@pytest.mark.parametrize("name", ["", "a\nb", "\x00", "x" * 201, None, 7, b"q", "\ud800"])
async def test_a_bad_name_is_refused(fifos: Fifos, name: Any) -> None:
    with pytest.raises(ItemRefused) as raised:
        fifos(name)
    assert raised.value.refused is name


@pytest.mark.parametrize("name", ["q", "Orders 2026/任意", "'; DROP TABLE x; --", "x" * 200, "%s ?"])
async def test_names_are_kept_apart_to_the_letter(fifos: Fifos, name: str) -> None:
    await fifos(name).put(1)
    assert await fifos(name.swapcase() + "x" if len(name) < 200 else "y").length() == 0
    assert await fifos(name).length() == 1
    assert repr(fifos(name)) == f"FIFO({name!r})"


# ---- leaving a block ------------------------------------------------------------------------


async def test_leaving_normally_works_the_item_off(filled: Fifos) -> None:
    for n in range(3):
        async with filled("q") as item:
            assert item == n
    await filled.settlements.settle()
    assert await filled("q").length() == 0


async def test_leaving_by_return_break_and_continue_works_it_off(filled: Fifos) -> None:
    assert await take(filled) == 0
    while True:
        async with filled("q") as item:
            assert item == 1
            break
    for _ in range(2):
        async with filled("q") as item:
            continue
    assert item is None
    assert await filled("q").length() == 0


async def test_leaving_by_an_exception_offers_the_same_item_again_as_the_head(filled: Fifos) -> None:
    fifo = filled("q")
    with pytest.raises(KeyError):
        async with fifo:
            raise KeyError
    assert await fifo.length() == 3
    async with asyncio.timeout(10):
        item = None
        while item is None:  # held back for a while
            async with fifo as item:
                assert item in (None, 0)
                if item is not None:
                    assert fifo.attempt == 2
    assert [await take(filled) for _ in range(2)] == [1, 2]


async def test_a_failed_item_holds_its_fifo_back_and_no_other(filled: Fifos) -> None:
    await filled("p").put("other")
    with pytest.raises(KeyError):
        async with filled("q"):
            raise KeyError
    assert await take(filled) is None
    assert await take(filled, "p") == "other"


async def test_leaving_by_cancellation_gives_the_item_back(filled: Fifos) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with filled("q"):
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await filled.settlements.settle()
    assert await filled("q").length() == 3
    async with asyncio.timeout(10):
        while (item := await take(filled)) is None:
            pass
    assert item == 0


@pytest.mark.parametrize("error", [asyncio.CancelledError, Stopping, BrokenProcessPool])
async def test_at_a_stop_it_is_given_back_without_counting(
    filled: Fifos, session: Session, storage: Storage, error: type[BaseException]
) -> None:
    def stop() -> None:
        session.stop()
        raise error

    with pytest.raises(error):
        async with filled("q"):
            stop()
    await filled.settlements.settle()
    session.bind(storage)
    fifo = filled("q")
    async with fifo as item:
        assert (item, fifo.attempt) == (0, 1)


@pytest.mark.parametrize("block", ["normal", "error"])
async def test_the_error_of_a_block_is_not_swallowed(filled: Fifos, block: str) -> None:
    async def work() -> str:
        async with filled("q"):
            if block == "error":
                raise SystemExit(3)
        return "end"

    if block == "error":
        with pytest.raises(SystemExit):
            await work()
    else:
        assert await work() == "end"


# ---- waiting --------------------------------------------------------------------------------


async def test_an_empty_fifo_gives_none_after_the_wait(fifos: Fifos) -> None:
    started = time.monotonic()
    async with fifos("q") as item:
        assert item is None
    assert WAIT * 0.9 < time.monotonic() - started < WAIT + 0.5
    assert await fifos("q").length() == 0


async def test_at_a_stop_none_comes_at_once(
    filled: Fifos, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 30)
    waiting = asyncio.create_task(take(filled, "empty"))
    await asyncio.sleep(0.02)
    session.stop()
    session.storage.wake_all()
    async with asyncio.timeout(2):
        assert await waiting is None
        assert await take(filled) is None, "a stopped runtime takes no new work"


async def test_a_put_wakes_who_waits(fifos: Fifos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 30)
    for n in range(20):
        waiting = asyncio.create_task(take(fifos))
        await asyncio.sleep(n % 4 * 0.002)
        await fifos("q").put(n)
        async with asyncio.timeout(5):
            assert await waiting == n


async def test_who_waits_for_a_back_off_sleeps_no_longer_than_it(
    filled: Fifos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 30)
    sleeps: list[float | None] = []
    changed = Signal.changed

    async def noted(signal: Signal, timeout: float | None) -> bool:
        sleeps.append(timeout)
        return await changed(signal, timeout)

    monkeypatch.setattr(Signal, "changed", noted)
    with pytest.raises(Retry):
        async with filled("q"):
            raise Retry(after=0.3)
    async with asyncio.timeout(10):
        assert await take(filled) == 0
    assert sleeps
    assert all(sleep is not None and 0 < sleep <= 0.3 for sleep in sleeps), sleeps


async def test_others_wait_while_an_item_is_in_work(filled: Fifos, monkeypatch: pytest.MonkeyPatch) -> None:
    async with filled("q") as item:
        other = asyncio.create_task(take_in_fresh_context(filled))
        assert item == 0
        assert await other is None
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 30)
    inside, most, seen = 0, 0, []

    async def work() -> None:
        nonlocal inside, most
        async with filled("q") as item:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            seen.append(item)

    async with asyncio.timeout(10):
        await asyncio.gather(work(), work())
    assert (most, seen) == (1, [1, 2])


async def take_in_fresh_context(fifos: Fifos) -> Any:
    """As a task of another worker would: without the claims of the block that started it."""
    return await asyncio.get_running_loop().create_task(take(fifos), context=contextvars.Context())


# ---- nesting --------------------------------------------------------------------------------


async def test_a_block_inside_a_block_of_the_same_fifo_is_an_error(filled: Fifos) -> None:
    async with filled("q") as item:
        assert item == 0
        for inner in (filled("q"), filled("q")):
            with pytest.raises(Nested):
                async with inner:
                    raise AssertionError("entered")
    assert await take(filled) == 1


async def test_the_same_object_may_be_entered_again_and_again(filled: Fifos) -> None:
    fifo = filled("q")
    for n in range(3):
        async with fifo as item:
            assert item == n
            with pytest.raises(Nested):
                await fifo.__aenter__()


async def test_blocks_of_other_fifos_may_be_nested(filled: Fifos) -> None:
    await filled("p").put("p")
    async with filled("q") as outer, filled("p") as inner:
        assert (outer, inner) == (0, "p")
    assert await take(filled) == 1
    await filled.settlements.settle()
    assert await filled("p").length() == 0


# ---- in the block ---------------------------------------------------------------------------


async def test_what_a_block_knows_of_its_delivery(fifos: Fifos) -> None:
    before = time.time()
    item_id = await fifos("q").put(1)
    fifo = fifos("q")
    async with fifo:
        assert (fifo.id, fifo.attempt) == (item_id, 1)
        assert before <= fifo.put_at <= time.time()
        epoch = fifo.epoch
    await fifos("q").put(2)
    async with fifo:
        assert fifo.epoch >= epoch


async def test_the_state_names_the_worker_that_has_the_item(filled: Fifos, storage: Storage) -> None:
    async def in_work_by() -> tuple[str | None, bool]:
        before = time.time()
        async with filled("q"):
            state = await storage.fifo_state("q")
            assert state is not None
            assert state.in_work is not None
            return state.in_work.worker, before <= state.in_work.since <= time.time()

    assert await in_work_by() == (None, True), "no worker reads it"
    with entered(run=Run("worker")):
        assert await in_work_by() == ("worker", True)


@pytest.mark.parametrize("name", ["id", "attempt", "put_at", "epoch"])
async def test_outside_a_block_they_raise(filled: Fifos, name: str) -> None:
    fifo = filled("q")
    with pytest.raises(NotInBlock, match="'q'"):
        getattr(fifo, name)
    async with fifo:
        getattr(fifo, name)
    with pytest.raises(NotInBlock):
        getattr(fifo, name)
    async with filled("empty") as item:
        assert item is None
        with pytest.raises(NotInBlock):
            getattr(filled("empty"), name)


# ---- how it is written ----------------------------------------------------------------------


async def test_acknowledging_and_the_next_delivery_are_one_unit(filled: Fifos, recorder: Recorder) -> None:
    recorder.units.clear()
    for _ in range(3):
        async with filled("q"):
            pass
    assert recorder.kinds() == [["Deliver"], ["Acknowledge", "Deliver"], ["Acknowledge", "Deliver"]]
    await filled.settlements.settle()
    assert recorder.kinds()[3:] == [["Acknowledge"]]


async def test_a_task_that_suspends_has_its_acknowledgement_written_at_once(
    filled: Fifos, recorder: Recorder, storage: Storage
) -> None:
    async with filled("q"):
        pass
    recorder.units.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert recorder.kinds() == [["Acknowledge"]]
    async with asyncio.timeout(5):
        while (await storage.fifo_state("q")).length == 3:
            await asyncio.sleep(0.001)
    assert (await storage.fifo_state("q")).in_work is None


async def test_nothing_is_claimed_before_a_block_asks(filled: Fifos, storage: Storage) -> None:
    async with filled("q"):
        pass
    await filled.settlements.settle()
    state = await storage.fifo_state("q")
    assert (state.length, state.in_work) == (2, None)


async def test_an_acknowledgement_survives_a_database_that_cannot_be_written(
    filled: Fifos, recorder: Recorder, storage: Storage
) -> None:
    recorder_failures = [Unavailable("the disk is full") for _ in range(2)]
    async with filled("q") as item:
        assert item == 0
        recorder.failures = recorder_failures
    async with asyncio.timeout(20):
        await filled.settlements.settle()
    assert recorder.failures == []
    assert (await storage.fifo_state("q")).length == 2
    assert await take(filled) == 1


async def test_a_failing_delivery_does_not_lose_the_acknowledgement_with_it(
    filled: Fifos, recorder: Recorder, storage: Storage
) -> None:
    async with filled("q"):
        pass
    recorder.failures = [Unavailable("the disk is full")]
    with pytest.raises(Unavailable):
        async with filled("q"):
            raise AssertionError("entered")
    async with asyncio.timeout(20):
        await filled.settlements.settle()
    assert (await storage.fifo_state("q")).length == 2
    assert await take(filled) == 1


async def test_cancelled_while_it_waits_for_the_head_it_keeps_nothing(
    filled: Fifos, storage: Storage
) -> None:
    """At many moments: nothing stays in work, nothing is lost, nothing counts as an attempt."""
    held = asyncio.Event()

    async def enter() -> None:
        fifo = filled("q")
        item = await fifo.__aenter__()  # as a block, but one that may be left in a way of the test's own
        assert item == 0
        held.set()
        await storage.write([Release(Claim("q", fifo.id, fifo.epoch))])

    for n in range(200):
        held.clear()
        task = asyncio.create_task(enter())
        for _ in range(n % 5):
            await asyncio.sleep(0)
        if n % 2:
            await asyncio.sleep(n % 13 * 0.00005)
        if not held.is_set():
            task.cancel()
        await asyncio.wait([task])
        await storage.write([])  # behind whatever the task had handed in
        await asyncio.sleep(0)
        await filled.settlements.settle()
        assert (await storage.fifo_state("q")).in_work is None, n
    fifo = filled("q")
    async with fifo as item:
        assert (item, fifo.attempt) == (0, 1)
    assert [await take(filled), await take(filled)] == [1, 2]


async def test_an_acknowledgement_that_comes_too_late_is_no_error_of_the_next_look(
    filled: Fifos, storage: Storage
) -> None:
    fifo = filled("q")
    async with fifo as item:
        assert item == 0
        await storage.write([Release(Claim("q", fifo.id, fifo.epoch))])  # it was taken away
    assert await take(filled) == 0


@pytest.mark.parametrize(
    ("answers", "error"), [(None, Unavailable("the disk is full")), ([None, Undelivered("paused")], None)]
)
async def test_cancelled_while_no_head_can_be_had_it_loses_no_acknowledgement(
    filled: Fifos,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: list[Any] | None,
    error: Exception | None,
) -> None:
    """The answer comes after the cancellation: it failed, and the acknowledgement with it, or nothing is there."""
    write, asked = recorder.write, asyncio.Event()

    async def cancelled(operations: Sequence[Operation], *, orphaned: Orphaned, **options: Any) -> list[Any]:
        asked.set()
        try:
            return await asyncio.Future()
        finally:
            monkeypatch.setattr(recorder, "write", write)
            if error is None:
                await write(operations[:1], **options)
            orphaned(answers, error)

    async def work() -> None:
        async with filled("q"):
            monkeypatch.setattr(recorder, "write", cancelled)
        await take(filled)

    task = asyncio.create_task(work())
    await asked.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await filled.settlements.settle()
    assert [await take(filled), await take(filled)] == [1, 2]
    assert not caplog.records, "nor does it acknowledge twice"


# ---- fences ---------------------------------------------------------------------------------


async def test_writes_in_a_block_carry_its_claim(filled: Fifos, session: Session, rows: Table) -> None:
    async with filled("q"):
        await session.write([Insert(rows, {"key": "in"})])
    assert await session.load(rows, "key", "in") is not None


async def test_a_task_that_outlives_its_block_changes_nothing_any_more(
    filled: Fifos, session: Session, rows: Table
) -> None:
    go = asyncio.Event()

    async def late() -> None:
        await go.wait()
        await session.write([Insert(rows, {"key": "late"})])

    async with filled("q"):
        task = asyncio.create_task(late())
    await filled.settlements.settle()
    go.set()
    with pytest.raises(ClaimLost):
        await task
    assert await session.load(rows, "key", "late") is None


async def test_a_block_whose_claim_was_lost_changes_nothing_any_more(
    filled: Fifos, session: Session, storage: Storage, rows: Table
) -> None:
    fifo = filled("q")
    async with fifo as item:
        assert item == 0
        await storage.write([Release(Claim("q", fifo.id, fifo.epoch))])
        with pytest.raises(ClaimLost):
            await session.write([Insert(rows, {"key": "late"})])
        with pytest.raises(ClaimLost):
            await filled("p").put("late")
    await filled.settlements.settle()
    assert await session.load(rows, "key", "late") is None
    assert await filled("p").length() == 0
    assert await take(filled) == 0, "the acknowledgement of a lost claim must not touch the item"


async def test_outside_of_every_block_nothing_is_fenced(filled: Fifos, session: Session, rows: Table) -> None:
    async with filled("q"):
        pass
    await session.write([Insert(rows, {"key": "after"})])
    with pytest.raises(KeyError):
        async with filled("q"):
            raise KeyError
    await session.write([Insert(rows, {"key": "after an error"})])
    assert await session.load(rows, "key", "after an error") is not None


async def test_two_tasks_may_share_the_object_and_the_second_waits_as_for_an_empty_one(fifos: Fifos) -> None:
    shared = fifos("shared")
    await shared.put_many([1, 2])
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def first() -> tuple[Any, int]:
        async with shared as item:
            entered.set()
            await leave.wait()
            return item, shared.attempt

    task = asyncio.create_task(first())
    await entered.wait()
    async with shared as item:
        assert item is None
    leave.set()
    assert await task == (1, 1)
    async with shared as item:
        assert item == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
async def test_of_tasks_that_share_the_object_each_leaves_its_own_block(
    fifos: Fifos, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 0.05)
    shared = fifos("shared")
    await shared.put_many([1, 2])
    entered = [asyncio.Event() for _ in order]
    leave = [asyncio.Event() for _ in order]
    items: dict[int, Any] = {}

    async def block(number: int) -> None:
        async with shared as items[number]:
            entered[number].set()
            await leave[number].wait()

    tasks = []
    for number in range(len(order)):  # one after the other: the first gets the item
        tasks.append(asyncio.create_task(block(number)))
        await entered[number].wait()
    assert items == {0: 1, 1: None, 2: None}
    for number in order:
        before = await shared.length()
        leave[number].set()
        await tasks[number]
        await fifos.settlements.settle()
        assert await shared.length() == before - (number == 0)
    async with shared as item:
        assert item == 2
