"""However a block ends, its item comes to an end: done, offered again, or dead. Never stuck in work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from typing import Any

import pytest

from framework.definitions import Backoff, FifoPolicy, Location
from framework.errors import Nested, Reject, Retry, Stopping, Unavailable
from framework.observing.request_id import REQUEST_ID
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies
from framework.storage import Storage
from framework.storage.operations import RetryNow
from framework.transactions.context import entered, forget
from framework.transactions.run import Run
from framework.transactions.session import Session

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 0.05)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


async def in_work(storage: Storage) -> Any:
    state = await storage.fifo_state("q")
    assert state is not None
    return state.in_work


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a lone surrogate: \ud800"),
        Reject("\ud800"),
        Unprintable(),
        Retry(after=timedelta(minutes=1)),
        Retry("\udfff", after=0.5),
        BaseExceptionGroup("several", [KeyError("x"), ValueError("\ud800")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_item_leaves_work_whatever_its_block_raises(
    fifos: Fifos, storage: Storage, error: BaseException
) -> None:
    await fifos("q").put("item")
    with pytest.raises(type(error)):
        async with fifos("q") as item:
            assert item == "item"
            raise error
    await asyncio.wait_for(fifos.settlements.settle(), 2)
    assert await in_work(storage) is None
    letters = await storage.dead_letters("q", 10)
    items = await storage.peek("q", 10)
    assert len(letters) + len(items) == 1


@pytest.mark.parametrize("after", [float("nan"), float("inf"), "60", "60 s"])
async def test_a_retry_after_what_is_no_time_is_refused_where_it_is_raised(after: Any) -> None:
    with pytest.raises(ValueError, match="after"):
        Retry(after=after)


async def test_a_block_in_a_generator_that_another_task_closes(fifos: Fifos, storage: Storage) -> None:
    async def items() -> AsyncIterator[Any]:
        async with fifos("q") as item:
            yield item

    await fifos("q").put("item")
    generator = items()
    assert await anext(generator) == "item"
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
    await asyncio.wait_for(fifos.settlements.settle(), 2)
    assert await in_work(storage) is None
    forget()


async def test_two_blocks_of_a_fifo_that_end_in_the_same_turn_of_the_loop(
    fifos: Fifos, storage: Storage
) -> None:
    """The first has acknowledged early, so the second could begin; both are settled."""
    await fifos("q").put_many([1, 2])
    acknowledged, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        fifo = fifos("q")
        async with fifo:
            await fifo.ack()
            acknowledged.set()
            await leave.wait()

    async def second() -> None:
        await acknowledged.wait()
        async with fifos("q") as item:
            assert item == 2
            await leave.wait()

    tasks = [asyncio.create_task(second()), asyncio.create_task(first())]
    await acknowledged.wait()
    await asyncio.sleep(0.1)
    leave.set()
    await asyncio.gather(*tasks)
    await asyncio.wait_for(fifos.settlements.settle(), 2)
    assert await in_work(storage) is None
    assert await fifos("q").length() == 0


async def test_after_an_early_acknowledgement_the_block_is_still_a_block(
    fifos: Fifos, caplog: pytest.LogCaptureFixture
) -> None:
    await fifos("q").put_many([1, 2])
    fifo = fifos("q")
    async with fifo:
        await fifo.ack()
        with pytest.raises(Nested, match="'q'"):
            await fifos("q").__aenter__()
        assert fifo.attempt == 1
    await fifos.settlements.settle()
    assert caplog.records == [], "no claim was lost"


@pytest.mark.parametrize("stopping", [False, True])
@pytest.mark.parametrize("error", [Reject, KeyError, Stopping, Unavailable])
async def test_what_raises_after_an_early_acknowledgement_does_not_bring_the_item_back(
    fifos: Fifos,
    storage: Storage,
    session: Session,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    stopping: bool,
) -> None:
    """Nor is that a lost claim, which the log would have to tell of."""
    await fifos("q").put(1)
    fifo = fifos("q")
    with pytest.raises(error):
        async with fifo:
            await fifo.ack()
            if stopping:
                session.stop()
            raise error("too late")
    await asyncio.wait_for(fifos.settlements.settle(), 2)
    assert await fifos("q").length() == 0
    assert await storage.dead_letters("q", 10) == []
    assert caplog.records == []


@pytest.mark.parametrize("error", [asyncio.CancelledError, Stopping, BrokenProcessPool])
async def test_what_ends_items_at_a_stop_counts_against_them_at_other_times(
    fifos: Fifos, storage: Storage, error: type[BaseException]
) -> None:
    await fifos("q").put(1)
    with pytest.raises(error):
        async with fifos("q"):
            raise error
    await fifos.settlements.settle()
    await storage.write([RetryNow("q")])
    fifo = fifos("q")
    async with fifo:
        assert fifo.attempt == 2


async def test_a_stop_does_not_excuse_an_error_of_the_item_itself(
    fifos: Fifos, storage: Storage, session: Session
) -> None:
    await fifos("q").put(1)
    with pytest.raises(KeyError):
        async with fifos("q"):
            session.stop()
            raise KeyError
    await fifos.settlements.settle()
    [item] = await storage.peek("q", 1)
    assert (item.attempts, item.reason) == (1, "KeyError")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (Reject("no such part\ntwo"), "no such part"),
        (Reject(), "rejected"),
    ],
    ids=["lines", "nothing", "rejected", "rejected without a word"],
)
async def test_the_reason_of_a_dead_letter_is_one_line(
    session: Session, storage: Storage, error: Exception, reason: str
) -> None:
    once = FifoPolicy("q", Location("q.yaml", 1, 1), max_attempts=1)
    fifos = Fifos(session, Policies([once]))
    await fifos("q").put(1)
    with pytest.raises(type(error)):
        async with fifos("q"):
            raise error
    await fifos.settlements.settle()
    [letter] = await storage.dead_letters("q", 10)
    assert letter.reason == reason


@pytest.mark.parametrize(
    ("policy", "error", "fate"),
    [
        ({}, Retry(after=7), "offered again in 7 s"),
        ({"backoff": Backoff(0.0, 1.0, 0.0)}, KeyError(), "offered again$"),
        ({"max_attempts": 1}, KeyError(), "went to the dead letters"),
        ({"max_attempts": 1, "on_exhausted": "hold"}, KeyError(), "is held"),
    ],
    ids=["retry", "at once", "dead", "held"],
)
async def test_the_error_of_a_block_is_charged_to_its_item_with_what_becomes_of_it(
    session: Session, policy: dict[str, Any], error: Exception, fate: str
) -> None:
    """The worker that reads the charge says so in the log, and does not blame itself."""
    fifos = Fifos(session, Policies([FifoPolicy("q", Location("q.yaml", 1, 1), **policy)]))
    run = Run("worker")
    with entered(run=run):
        REQUEST_ID.set("request-1")
        await fifos("q").put(1)
        REQUEST_ID.set(None)
        with pytest.raises(type(error)):
            async with fifos("q"):
                raise error
        await fifos.settlements.settle()
        [charge] = run.charges
        assert charge.error is error
        assert charge.request_id == "request-1"
        assert re.search(fate, charge.fate)
        assert run.fifos == {"q"}
        assert not run.finished


async def test_an_early_acknowledgement_is_named_in_the_fate(fifos: Fifos) -> None:
    run = Run("worker")
    with entered(run=run):
        await fifos("q").put_many([1, 2])
        fifo = fifos("q")
        with pytest.raises(KeyError):
            async with fifo:
                await fifo.ack()
                raise KeyError
        [charge] = run.charges
        assert "acknowledged before" in charge.fate
        async with fifo:
            pass
        assert run.finished


async def test_a_database_that_cannot_be_written_is_not_counted_against_the_item(
    fifos: Fifos, storage: Storage
) -> None:
    await fifos("q").put(1)
    for _ in range(7):  # more than max_attempts
        with pytest.raises(Unavailable):
            async with fifos("q") as item:
                assert item == 1
                raise Unavailable("the disk is full")
        await asyncio.wait_for(fifos.settlements.settle(), 2)
        state = await storage.fifo_state("q")
        assert state is not None
        assert state.head is not None
        assert (state.head.attempts, state.dead) == (0, 0)
        assert 0 < state.head.retry_in <= 0.5, "but it waits a little, so that nothing spins"
        assert await storage.write([RetryNow("q")]) == [True]


async def test_what_a_block_does_is_done_for_the_request_that_put_its_item(
    fifos: Fifos, storage: Storage
) -> None:
    REQUEST_ID.set("request-1")
    await fifos("q").put(1)
    REQUEST_ID.set("outer")
    async with fifos("q"):
        assert REQUEST_ID.get() == "request-1"
        await fifos("next").put(2)
    assert REQUEST_ID.get() == "outer"
    async with fifos("next"):
        assert REQUEST_ID.get() == "request-1"
    assert REQUEST_ID.get() == "outer"


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_time_out_hides_neither_a_cancellation_from_outside_nor_an_error(
    session: Session, cancelled: bool
) -> None:
    fifos = Fifos(session, Policies([FifoPolicy("q", Location("q.yaml", 1, 1), timeout=0.02)]))
    await fifos("q").put(1)

    async def work() -> None:
        async with fifos("q"):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not cancelled:
                    raise KeyError from None
                task.cancel()  # somebody else, in the same turn of the loop
                raise

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled() is cancelled
    if not cancelled:
        assert isinstance(task.exception(), KeyError)


async def test_an_acknowledgement_by_a_task_of_the_block_frees_the_writes_of_the_block(fifos: Fifos) -> None:
    """``asyncio.wait_for(fifo.ack(), 5)`` makes such a task up to Python 3.11."""
    await fifos("q").put(1)
    fifo = fifos("q")
    async with fifo:
        await asyncio.create_task(fifo.ack())
        await fifos("other").put(2)
    assert await fifos("q").length() == 0
    assert await fifos("other").length() == 1
