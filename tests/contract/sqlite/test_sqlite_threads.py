"""The thread that owns a connection: what waits is one batch, in order, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from framework.errors import Unavailable
from framework.storage.sqlite.threads import BATCH, BatchThread, Unit, Waiting

pytestmark = pytest.mark.anyio

LONG = 20.0  # seconds of patience, where none should run out


class Opened:
    """What the thread owns. ``free`` lets its batches run, ``batches`` has the results of each."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()  # a batch waits to be let run
        self.started = threading.Event()
        self.batches: list[list[Any]] = []
        self.closed = 0
        self.threads: set[str] = set()

    def run_batch(self, _: Opened, waiting: Waiting[Opened]) -> list[Unit[Opened]]:
        self.begun.set()
        assert self.free.wait(LONG)
        if not waiting.wanted():
            return []
        batch = waiting.start()
        for unit in batch:
            try:
                unit.result = unit.work(self)
            except Exception as error:
                unit.error = error
        self.batches.append([unit.result for unit in batch])
        return batch

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.current_thread().name)


def late() -> Exception:
    return Unavailable("waited too long")


@pytest.fixture
def opened() -> Opened:
    return Opened()


Make = Callable[..., Awaitable[BatchThread[Opened]]]


@pytest.fixture
async def make(opened: Opened) -> AsyncIterator[Make]:
    """Starts a thread on ``opened``, with the given arguments, that is closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(patience: float = LONG, **given: Any) -> BatchThread[Opened]:
            thread = BatchThread(
                "the-thread",
                connect=lambda: opened,
                run_batch=opened.run_batch,
                patience=patience,
                late=late,
                **given,
            )
            await thread.start()
            stack.push_async_callback(thread.close)
            stack.callback(opened.free.set)
            return thread

        yield make


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.005)


async def hold(thread: BatchThread[Opened], opened: Opened) -> asyncio.Future[Any]:
    """A first unit, whose batch does not start before ``opened.free`` is set."""
    opened.free.clear()
    opened.begun.clear()
    first = asyncio.ensure_future(thread.run(lambda _: "first"))
    await until(opened.begun.is_set)
    return first


async def test_what_waits_is_one_batch_in_its_order(make: Make, opened: Opened) -> None:
    thread = await make()
    first = await hold(thread, opened)
    rest = [asyncio.ensure_future(thread.run(lambda _, n=n: n)) for n in range(5)]
    await asyncio.sleep(0)
    opened.free.set()
    assert await asyncio.gather(first, *rest) == ["first", 0, 1, 2, 3, 4]
    assert opened.batches == [["first"], [0, 1, 2, 3, 4]]


async def test_a_batch_is_not_longer_than_its_limit(make: Make, opened: Opened) -> None:
    thread = await make()
    first = await hold(thread, opened)
    rest = [asyncio.ensure_future(thread.run(lambda _, n=n: n)) for n in range(BATCH + 1)]
    await asyncio.sleep(0)
    opened.free.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in opened.batches] == [1, BATCH, 1]


async def test_an_exclusive_unit_has_a_batch_of_its_own_in_its_place(make: Make, opened: Opened) -> None:
    thread = await make()
    first = await hold(thread, opened)
    rest = [asyncio.ensure_future(thread.run(lambda _, n=n: n, exclusive=n in (2, 3))) for n in range(6)]
    await asyncio.sleep(0)
    opened.free.set()
    await asyncio.gather(first, *rest)
    assert opened.batches == [["first"], [0, 1], [2], [3], [4, 5]]


async def test_a_unit_has_its_own_result_or_error(make: Make) -> None:
    thread = await make()

    def fail(_: Opened) -> None:
        raise KeyError("mine")

    outcomes = await asyncio.gather(
        thread.run(lambda _: 1), thread.run(fail), thread.run(lambda _: None), return_exceptions=True
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], KeyError)
    assert outcomes[2] is None


async def test_changes_are_told_of_units_that_succeeded(make: Make, opened: Opened) -> None:
    told: list[set[str]] = []
    thread = await make(done=told.append)

    def fail(_: Opened) -> None:
        raise KeyError

    first = await hold(thread, opened)
    rest = [
        asyncio.ensure_future(thread.run(fail, ["failed"])),
        asyncio.ensure_future(thread.run(lambda _: 1, ["a", "b"])),
        asyncio.ensure_future(thread.run(lambda _: 1, ["c"])),
    ]
    await asyncio.sleep(0)
    opened.free.set()
    await asyncio.gather(first, *rest, return_exceptions=True)
    assert told == [{"a", "b", "c"}], "nothing is told of the first batch, which changed nothing"
    thread.tell_done({"d"})
    assert told[1:] == [{"d"}]


async def test_without_anybody_to_tell_changes_are_no_error(make: Make) -> None:
    thread = await make()
    assert await thread.run(lambda _: 1, ["a"]) == 1
    thread.tell_done({"a"})


async def test_a_unit_that_waited_too_long_fails_and_is_never_run(make: Make, opened: Opened) -> None:
    thread = await make(patience=0.2)
    first = await hold(thread, opened)
    second = asyncio.ensure_future(thread.run(lambda _: "second"))
    for one in (first, second):
        with pytest.raises(Unavailable, match="waited too long"):
            await one
    opened.free.set()
    assert await thread.run(lambda _: "third") == "third"
    assert opened.batches == [["third"]]


async def test_each_unit_has_the_whole_patience(make: Make, opened: Opened) -> None:
    """The later one is given up later, by a timer of its own, and one that comes after is watched as well."""
    thread = await make(patience=0.4)
    first = await hold(thread, opened)
    await asyncio.sleep(0.2)
    second = asyncio.ensure_future(thread.run(lambda _: "second"))
    with pytest.raises(Unavailable):
        await first
    assert not second.done()
    with pytest.raises(Unavailable):
        await second
    with pytest.raises(Unavailable):
        await thread.run(lambda _: "third")


async def test_a_unit_that_has_started_is_waited_for(make: Make) -> None:
    thread = await make(patience=0.1)

    def slow(_: Opened) -> str:
        time.sleep(0.4)
        return "done"

    slow_one = asyncio.ensure_future(thread.run(slow))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):  # behind it, and not started in time
        await thread.run(lambda _: "late")
    assert await slow_one == "done"
    assert await thread.run(lambda _: "next") == "next"


async def test_answered_units_are_not_kept(make: Make, opened: Opened) -> None:
    """A server that runs for months does not collect what it has answered."""

    class Work:
        def __call__(self, _: Opened) -> int:
            return 1

    thread = await make()
    works = [Work() for _ in range(3)]
    known = [weakref.ref(work) for work in works]
    await asyncio.gather(*map(thread.run, works))
    del works
    opened.batches.clear()
    await thread.run(lambda _: 2)  # the thread lets go of a batch when it takes the next one
    gc.collect()
    assert [ref() for ref in known] == [None] * 3


@pytest.mark.parametrize("fails", [False, True])
async def test_the_outcome_of_a_cancelled_caller_is_told_once(
    make: Make, opened: Opened, fails: bool
) -> None:
    thread = await make()
    told: list[tuple[Any, Any]] = []

    def work(_: Opened) -> str:
        if fails:
            raise KeyError
        return "done"

    first = await hold(thread, opened)
    task = asyncio.ensure_future(thread.run(work, orphaned=lambda *outcome: told.append(outcome)))
    silent = asyncio.ensure_future(thread.run(work))
    await asyncio.sleep(0)
    task.cancel()
    silent.cancel()
    await asyncio.wait([task, silent])
    assert told == []
    opened.free.set()
    await first
    await thread.run(lambda _: None)
    [(result, error)] = told
    assert (result, type(error)) == ((None, KeyError) if fails else ("done", type(None)))


@pytest.mark.parametrize("fails", [False, True])
async def test_an_answer_in_the_turn_of_the_cancellation_is_told_as_well(
    make: Make, opened: Opened, fails: bool
) -> None:
    told: list[tuple[Any, Any]] = []
    tasks: list[asyncio.Future[Any]] = []

    def work(_: Opened) -> str:
        if fails:
            raise KeyError
        return "done"

    # Called in the turn of the loop in which the batch was answered, before any caller runs again.
    thread = await make(done=lambda _: tasks[0].cancel() and None)
    first = await hold(thread, opened)
    tasks.append(asyncio.ensure_future(thread.run(work, orphaned=lambda *outcome: told.append(outcome))))
    tasks.append(asyncio.ensure_future(thread.run(lambda _: 1, ["changed"])))
    await asyncio.sleep(0)
    opened.free.set()
    await asyncio.wait([first, *tasks])
    assert tasks[0].cancelled()
    [(result, error)] = told
    assert (result, type(error)) == ((None, KeyError) if fails else ("done", type(None)))


async def test_what_the_connection_raises_as_it_opens_is_raised_by_the_start() -> None:
    def refuse() -> Opened:
        raise Unavailable("no such file")

    thread = BatchThread("t", connect=refuse, run_batch=Opened().run_batch, patience=LONG, late=late)
    with pytest.raises(Unavailable, match="no such file"):
        await thread.start()
    async with asyncio.timeout(LONG / 2):
        await thread.close()
    assert not thread.is_left_behind


async def test_a_connection_that_does_not_open_in_time_is_late_and_left_behind() -> None:
    free = threading.Event()
    opened = Opened()

    def slow() -> Opened:
        free.wait(LONG)
        return opened

    thread = BatchThread("t", connect=slow, run_batch=opened.run_batch, patience=0.1, late=late)
    with pytest.raises(Unavailable, match="waited too long"):
        await thread.start()
    await thread.close()
    assert thread.is_left_behind
    free.set()
    await until(lambda: not thread.is_left_behind)
    assert opened.closed == 1


async def test_close_finishes_what_was_handed_in_and_closes_the_connection_once(
    make: Make, opened: Opened
) -> None:
    thread = await make()
    first = await hold(thread, opened)
    second = asyncio.ensure_future(thread.run(lambda _: "second"))
    await asyncio.sleep(0)
    closing = [asyncio.ensure_future(thread.close()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed"):
        await thread.run(lambda _: "third")
    opened.free.set()
    assert await asyncio.gather(first, second, *closing) == ["first", "second", None, None]
    assert opened.closed == 1
    assert opened.threads == {"the-thread"}, "it was closed by the thread that opened it"
    assert not thread.is_left_behind
    await thread.close()


async def test_a_thread_that_was_never_started_closes_at_once(opened: Opened) -> None:
    thread = BatchThread("t", connect=lambda: opened, run_batch=opened.run_batch, patience=LONG, late=late)
    async with asyncio.timeout(LONG / 2):
        await thread.close()
    assert not thread.is_left_behind


async def test_a_thread_that_does_not_end_is_left_behind_and_does_not_hold_up_the_process(
    make: Make, opened: Opened
) -> None:
    thread = await make(patience=0.1)
    first = await hold(thread, opened)
    with pytest.raises(Unavailable):
        await first
    await thread.close()
    assert thread.is_left_behind
    assert all(one.daemon for one in threading.enumerate() if one.name == "the-thread")
    opened.free.set()
    await until(lambda: not thread.is_left_behind)


async def test_the_loop_has_no_timer_of_a_thread_that_is_closed(make: Make, opened: Opened) -> None:
    thread = await make(patience=0.3)
    await thread.run(lambda _: 1)
    await thread.close()
    calls: list[Exception] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: calls.append(context["exception"]))
    await asyncio.sleep(0.4)
    assert calls == []


async def test_after_each_batch_and_each_pause_the_thread_looks_after_its_connection(
    make: Make, opened: Opened
) -> None:
    """It is called after an answered batch, and again when nothing has come for as long as it said."""
    calls: list[tuple[Any, bool]] = []
    answers = [0.01, 0.01, None]

    def after(connection: Opened, idle: bool) -> float | None:
        calls.append((connection, idle))
        return answers.pop(0) if answers else None

    thread = await make(after_batch=after)
    await thread.run(lambda _: 1)
    await until(lambda: len(calls) == 3)
    await asyncio.sleep(0.05)
    assert calls == [(opened, False), (opened, True), (opened, True)]
    await thread.run(lambda _: 2)
    await until(lambda: len(calls) == 4)
    assert calls[3] == (opened, False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_the_connection_is_closed_when_a_batch_breaks_the_thread(opened: Opened) -> None:
    """A fault in the engine itself, which ends the thread: nobody who closes waits for it."""

    def broken(_: Opened, waiting: Waiting[Opened]) -> list[Unit[Opened]]:
        raise MemoryError

    thread = BatchThread("t", connect=lambda: opened, run_batch=broken, patience=0.2, late=late)
    await thread.start()
    with pytest.raises(Unavailable):
        await thread.run(lambda _: 1)
    await thread.close()
    assert opened.closed == 1
    assert not thread.is_left_behind


def test_a_thread_whose_loop_is_gone_ends() -> None:
    """A program that leaves its loop without closing: the thread has nobody to tell, and ends in silence."""
    opened = Opened()
    threads: list[BatchThread[Opened]] = []

    async def main() -> None:
        thread = BatchThread(
            "forgotten", connect=lambda: opened, run_batch=opened.run_batch, patience=LONG, late=late
        )
        threads.append(thread)
        await thread.start()
        task = await hold(thread, opened)
        closing = asyncio.ensure_future(thread.close())
        await asyncio.sleep(0)
        task.cancel()
        closing.cancel()
        await asyncio.wait([task, closing])

    asyncio.run(main())
    opened.free.set()
    [thread] = [one for one in threading.enumerate() if one.name == "forgotten"]
    thread.join(LONG)
    assert not thread.is_alive()
    assert opened.closed == 1
