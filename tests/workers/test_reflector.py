"""The reflector: workers are called again and again, one's failure is its own, and a stop is a clean one."""

from __future__ import annotations

import asyncio
import itertools
import logging
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from framework.definitions import Definitions
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies
from framework.script.callout import Callout
from framework.script.debug import DebugChannel
from framework.script.settings import Settings
from framework.serving.snapshot import bind
from framework.storage import Storage, open_storage
from framework.transactions.session import Session
from framework.workers.reflector import Reflector
from tests.contract.sessions import Sessions

pytestmark = pytest.mark.anyio

INTERVAL = 0.05


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", INTERVAL)
    monkeypatch.setattr("framework.workers.reflector.WATCH_INTERVAL", INTERVAL)
    monkeypatch.setattr("framework.workers.reflector.ERROR_WAIT_FIRST", 0.02)
    monkeypatch.setattr("framework.workers.reflector.ERROR_WAIT_LAST", 0.16)


def worker(name: str, script: str, mode: str = "multi") -> str:
    return f"name: {name}\nmode: {mode}\nscript: |\n" + textwrap.indent(textwrap.dedent(script), "  ")


class Process:
    """The workers of one process: its session, its FIFOs, and what they printed, with the time."""

    def __init__(self, definitions: Definitions, storage: Storage) -> None:
        self.session = Session()
        self.session.bind(storage)
        self.fifos = Fifos(self.session, Policies(definitions.fifos))
        self.heard: list[str] = []
        self.times: list[float] = []
        self._changed = asyncio.Event()
        debug = DebugChannel()
        debug.listen(self._hear)
        snapshot = bind(
            definitions,
            session=self.session,
            fifos=self.fifos,
            debug=debug,
            callout=Callout(),
            settings=Settings({}),
        )
        self.reflector = Reflector(snapshot.workers, self.session, snapshot.scope)

    def _hear(self, text: str) -> None:
        self.heard.append(text)
        self.times.append(time.monotonic())
        self._changed.set()

    async def until(self, condition: Callable[[list[str]], Any]) -> None:
        """Wait until what was printed fulfils the condition."""
        async with asyncio.timeout(10):
            while not condition(self.heard):
                self._changed.clear()
                await self._changed.wait()

    async def stop(self, grace: float = 5.0) -> None:
        if self.session.running:
            self.session.stop()
            self.session.storage.wake_all()
        await self.reflector.stop(grace)
        await self.fifos.settlements.settle()


@pytest.fixture
async def start(
    define: Callable[..., Definitions], storage: Storage
) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Starts the workers of YAML texts, by default on the test's own storage."""
    started: list[Process] = []

    async def start(*texts: str, storage: Storage = storage) -> Process:
        process = Process(define(*texts), storage)
        started.append(process)
        process.reflector.start()
        return process

    yield start
    for process in started:
        await process.stop(0.1)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The messages of the errors that the reflector has logged so far."""
    with caplog.at_level(logging.ERROR, "framework.reflector"):
        yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


Start = Callable[..., Awaitable[Process]]
Errors = Callable[[], list[str]]


# ---- called again and again -----------------------------------------------------------------


async def test_a_function_that_ends_is_called_again_after_the_interval(start: Start) -> None:
    process = await start(worker("w", "async def consume():\n    qprint('called')\n"))
    await process.until(lambda heard: len(heard) >= 5)
    waits = [later - earlier for earlier, later in itertools.pairwise(process.times)]
    assert all(INTERVAL * 0.8 < wait < INTERVAL + 0.5 for wait in waits), waits


async def test_the_top_level_runs_once_and_its_names_stay(start: Start) -> None:
    process = await start(
        worker(
            "w",
            """
            qprint("top")
            calls = 0
            async def consume():
                global calls
                calls += 1
                qprint(f"{calls} {__name__}")
            """,
        )
    )
    await process.until(lambda heard: len(heard) >= 4)
    assert process.heard[:4] == ["top", "1 w", "2 w", "3 w"]


async def test_items_are_worked_off_in_order_without_a_pause_between_them(start: Start) -> None:
    process = await start(
        worker(
            "w",
            """
            async def consume():
                async with FIFO("q") as item:
                    if item is not None:
                        qprint(str(item))
            """,
        )
    )
    started = time.monotonic()
    for n in range(100):
        await process.fifos("q").put(n)
    await process.until(lambda heard: len(heard) >= 100)
    assert process.heard == [str(n) for n in range(100)]
    assert time.monotonic() - started < 100 * INTERVAL / 2


async def test_an_item_wakes_a_worker_that_found_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.workers.reflector.WATCH_INTERVAL", 30)
    process = await start(
        worker(
            "w",
            """
            async def consume():
                while Runtime.running():
                    async with FIFO("q") as item:
                        if item is None:
                            qprint("none")
                            return
                        qprint("item")
            """,
        )
    )
    for n in range(3):
        await process.until(lambda heard, n=n: heard.count("none") > n)
        await asyncio.sleep(0.02)
        await process.fifos("q").put(1)
        await process.until(lambda heard, n=n: heard.count("item") == n + 1)


async def test_a_top_level_that_fails_stops_the_start(start: Start) -> None:
    with pytest.raises(KeyError):
        await start(worker("w", "raise KeyError('top')\nasync def consume():\n    pass\n"))


# ---- single and multi -----------------------------------------------------------------------

HOLD = """
    async def consume():
        qprint("in")
        while Runtime.running():
            await asyncio.sleep(0.01)
        qprint("out")
"""


async def test_multi_runs_in_every_process_and_single_in_one(start: Start, url: str) -> None:
    async with open_storage(url) as other:
        texts = (worker("s", HOLD, "single"), worker("m", "async def consume():\n    qprint('m')\n"))
        one, two = await start(*texts), await start(*texts, storage=other)
        for process in (one, two):
            await process.until(lambda heard: heard.count("m") >= 2)
        await one.until(lambda heard: "in" in heard)
        assert "in" not in two.heard
        await one.stop()
        await two.until(lambda heard: "in" in heard)  # it stood by, and takes over
        assert "out" in one.heard
        await two.stop()


async def test_one_who_stands_by_stops_at_once(start: Start, url: str) -> None:
    async with open_storage(url) as other:
        one = await start(worker("s", HOLD, "single"))
        await one.until(lambda heard: "in" in heard)
        two = await start(worker("s", HOLD, "single"), storage=other)
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await two.stop()
        assert time.monotonic() - started < 1
        assert two.heard == []


# ---- a process that loses what it holds -----------------------------------------------------

IN_WORK = """
    async def consume():
        fifo = FIFO("q")
        try:
            async with fifo as item:
                if item is not None:
                    qprint(f"begun {item}, attempt {fifo.attempt}")
                    await asyncio.sleep(item)
        except BaseException as error:
            qprint(type(error).__name__)
            raise
"""

SWALLOWING = """
    async def consume():
        qprint("in")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            qprint("swallowed")
"""


@pytest.mark.parametrize(("mode", "seen"), [("multi", "ClaimLost"), ("single", "CancelledError")])
async def test_what_is_in_work_ends_with_its_hold_and_is_taken_up_anew(
    start: Start, url: str, caplog: pytest.LogCaptureFixture, mode: str, seen: str
) -> None:
    async with Sessions.open(url) as sessions:
        one = await start(worker("w", IN_WORK, mode), storage=sessions)
        await one.fifos("q").put(60)
        await one.until(lambda heard: heard == ["begun 60, attempt 1"])
        await sessions.drop(asyncio.create_task(one.until(lambda heard: seen in heard)))
        await one.until(lambda heard: len(heard) > 2)
        # It was not charged, and is taken up anew.
        assert one.heard == ["begun 60, attempt 1", seen, "begun 60, attempt 1"]
        assert any("has lost what it held" in record.getMessage() for record in caplog.records)
        two = await start(worker("w", IN_WORK, mode))
        await one.stop(0.1)
        await two.until(lambda heard: heard == ["begun 60, attempt 1"])
        await two.stop(0.1)


async def test_a_single_worker_that_swallows_its_cancellation_is_not_called_again_without_its_lock(
    start: Start, url: str
) -> None:
    async with Sessions.open(url) as sessions:
        one = await start(worker("w", SWALLOWING, "single"), storage=sessions)
        await one.until(lambda heard: "in" in heard)
        two = await start(worker("w", SWALLOWING, "single"))
        await sessions.drop(asyncio.create_task(one.until(lambda heard: "swallowed" in heard)))
        await two.until(lambda heard: "in" in heard)
        assert one.heard == ["in", "swallowed"]
        await two.stop(0.1)
        await one.until(lambda heard: heard.count("in") == 2)
        await one.stop(0.1)


# ---- failures -------------------------------------------------------------------------------


async def test_an_error_outside_of_a_block_backs_off(start: Start, errors: Errors) -> None:
    process = await start(worker("w", "async def consume():\n    qprint('x')\n    raise KeyError('mine')\n"))
    await process.until(lambda heard: len(heard) >= 6)
    waits = [later - earlier for earlier, later in itertools.pairwise(process.times)]
    for wait, least in zip(waits, [0.02, 0.04, 0.08, 0.16, 0.16], strict=False):
        assert least * 0.9 < wait < least + 0.3, waits
    assert "0.yaml:6" in errors()[0]
    assert "KeyError: 'mine'" in errors()[0]


async def test_an_error_in_a_block_does_not_make_the_worker_wait(
    start: Start, errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.workers.reflector.ERROR_WAIT_FIRST", 60)
    process = await start(
        worker(
            "w",
            """
            async def consume():
                for name in ("a", "b"):
                    async with FIFO(name) as item:
                        if item == "bad":
                            qprint("bad")
                            raise KeyError("in the block")
                        if item is not None:
                            qprint(item)
            """,
        )
    )
    await process.fifos("a").put("bad")
    await process.until(lambda heard: "bad" in heard)
    for n in range(3):
        await process.fifos("b").put(f"good {n}")
        await process.until(lambda heard, n=n: f"good {n}" in heard)
    assert "its item is offered again" in errors()[0]
    await process.until(lambda heard: heard.count("bad") >= 2)


async def test_a_block_that_ends_well_ends_the_back_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far from the first, so that the two differ on a busy machine, too.
    monkeypatch.setattr("framework.workers.reflector.ERROR_WAIT_LAST", 0.64)
    process = await start(
        worker(
            "w",
            """
            async def consume():
                async with FIFO("q") as item:
                    pass
                qprint(f"{item}")
                raise KeyError("outside")
            """,
        )
    )
    await process.until(lambda heard: len(heard) >= 7)  # the back-off is at its longest
    for n in range(4):
        await process.fifos("q").put(n)
    await process.until(lambda heard: "3" in heard)
    first = process.heard.index("0")
    times = process.times[first : first + 4]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(wait < 0.5 for wait in waits), waits


@pytest.mark.parametrize(
    "failure",
    [
        "raise KeyError('x')",
        "raise SystemExit(3)",
        "import sys; sys.exit()",
        "await cancelled()",
        "raise asyncio.CancelledError",
        "return 1 / 0",
        "raise RecursionError",
        "await asyncio.wait_for(asyncio.sleep(10), 0.001)",
        "raise Reject('outside of a block')",
    ],
)
async def test_one_workers_failure_leaves_itself_and_the_others_running(
    start: Start, errors: Errors, failure: str
) -> None:
    process = await start(
        worker(
            "bad",
            f"""
            async def cancelled():
                task = asyncio.ensure_future(asyncio.sleep(10))
                asyncio.get_running_loop().call_soon(task.cancel)
                await task
            async def consume():
                qprint("bad")
                {failure}
            """,
        ),
        worker("good", "async def consume():\n    qprint('good')\n"),
    )
    await process.until(lambda heard: heard.count("bad") >= 3 and heard.count("good") >= 3)
    good = process.heard.count("good")
    await process.until(lambda heard: heard.count("good") >= good + 2)
    assert len(errors()) >= 2
    assert all("worker bad failed" in message for message in errors())
    assert all(".yaml:" in message for message in errors())


async def test_a_database_that_cannot_be_read_is_a_line_and_no_traceback(
    start: Start, errors: Errors, url: str
) -> None:
    async with open_storage(url) as other:
        process = await start(
            worker("w", "async def consume():\n    qprint('x')\n    await FIFO('q').put(1)\n"), storage=other
        )
        await process.until(lambda heard: heard)
        await other.close()
        seen = len(process.heard)
        await process.until(lambda heard: len(heard) >= seen + 3)
        await process.stop()
    message = errors()[-1]
    assert "0.yaml:6" in message
    assert "the database is closed" in message
    assert "Traceback" not in message


# ---- a stop ---------------------------------------------------------------------------------

LONG = """
    async def consume():
        async with FIFO("q") as item:
            if item is None:
                return
            qprint(f"begun {item}")
            try:
                await asyncio.sleep(float(item))
                qprint(f"ended {item} {Runtime.running()}")
            except asyncio.CancelledError:
                qprint("cancelled")
                raise
"""


@asynccontextmanager
async def again(url: str) -> AsyncIterator[Fifos]:
    """The same database, after a restart."""
    async with open_storage(url) as storage:
        session = Session()
        session.bind(storage)
        fifos = Fifos(session)
        yield fifos
        await fifos.settlements.settle()


async def test_a_block_in_work_may_end_within_the_grace(start: Start, url: str) -> None:
    process = await start(worker("w", LONG))
    await process.fifos("q").put(0.2)
    await process.fifos("q").put(0.1)
    await process.until(lambda heard: "begun 0.2" in heard)
    await process.stop(5)
    assert process.heard == ["begun 0.2", "ended 0.2 False"], "no new item is begun"
    async with again(url) as fifos, fifos("q") as item:
        assert item == 0.1


async def test_what_takes_longer_is_cancelled_and_offered_again_without_counting(
    start: Start, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = await start(worker("w", LONG))
    await process.fifos("q").put(60)
    await process.until(lambda heard: "begun 60" in heard)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await process.stop(0.1)
    assert 0.08 < time.monotonic() - started < 1.5
    assert process.heard == ["begun 60", "cancelled"]
    assert any("worker w is still at work" in record.getMessage() for record in caplog.records)
    async with again(url) as fifos:
        fifo = fifos("q")
        async with fifo as item:
            assert (item, fifo.attempt) == (60, 1)


async def test_runtime_running_is_false_at_once(start: Start) -> None:
    process = await start(
        worker(
            "w",
            """
            async def consume():
                qprint("in")
                while Runtime.running():
                    await asyncio.sleep(0)
                qprint("out")
            """,
        )
    )
    await process.until(lambda heard: "in" in heard)
    started = time.monotonic()
    await process.stop()
    assert time.monotonic() - started < 1
    assert process.heard == ["in", "out"]


@pytest.mark.parametrize(
    "body", ["pass", "async with FIFO('empty'):\n        pass", "raise KeyError", "await FIFO('q').length()"]
)
async def test_an_idle_worker_stops_at_once(start: Start, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    for name in (
        "queue.fifo.FIFO_WAIT",
        "workers.reflector.WATCH_INTERVAL",
        "workers.reflector.ERROR_WAIT_FIRST",
    ):
        monkeypatch.setattr(f"framework.{name}", 30)
    process = await start(worker("w", f"async def consume():\n    qprint('in')\n    {body}\n"))
    await process.until(lambda heard: "in" in heard)
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await process.stop(20)
    assert time.monotonic() - started < 1


async def test_a_worker_that_swallows_its_cancellation_does_not_hold_the_stop(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = await start(
        worker(
            "deaf",
            """
            async def consume():
                qprint("in")
                for _ in range(5):
                    try:
                        await asyncio.sleep(2)
                    except asyncio.CancelledError:
                        qprint("ignored")
                        await asyncio.sleep(2.5)
                        return
            """,
        )
    )
    await process.until(lambda heard: "in" in heard)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await process.stop(0.05)
    assert time.monotonic() - started < 4
    assert process.heard == ["in", "ignored"]
    assert any("worker deaf" in record.getMessage() for record in caplog.records)
    await asyncio.sleep(0.6)  # so that it does not outlive the test


# ---- a wait that ends -------------------------------------------------------------------------

FAILING = "fifo: failing\nbackoff: {initial: 0.3, factor: 1, max: 0.3}\n"
NEVER = "fifo: failing\nbackoff: {initial: 600, max: 600}\n"


@pytest.fixture
def _long_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not woken comes too late for any test."""
    monkeypatch.setattr("framework.workers.reflector.WATCH_INTERVAL", 600)


@pytest.mark.usefixtures("_long_intervals")
@pytest.mark.parametrize("error", ["ValueError('no')", "Retry(after=0.3)"])
async def test_the_end_of_a_back_off_wakes_the_worker(start: Start, storage: Storage, error: str) -> None:
    script = f"""
        async def consume():
            async with FIFO("failing") as item:
                if item is not None:
                    qprint("attempt")
                    raise {error}
        """
    process = await start(worker("w", script), FAILING)
    await process.fifos("failing").put(1)
    await process.until(lambda heard: len(heard) == 3)


@pytest.mark.usefixtures("_long_intervals")
async def test_the_end_of_a_back_off_wakes_a_worker_that_was_started_meanwhile(start: Start) -> None:
    script = """
        async def consume():
            async with FIFO("failing") as item:
                if item is not None:
                    qprint("attempt")
                    raise ValueError
        """
    first = await start(worker("w", script), FAILING)
    await first.fifos("failing").put(1)
    await first.until(lambda heard: heard == ["attempt"])
    await first.stop()
    second = await start(worker("w", script), FAILING)
    await second.until(lambda heard: heard == ["attempt"] * 2)


@pytest.mark.usefixtures("_long_intervals")
async def test_the_end_of_a_back_off_wakes_a_worker_that_waits_in_another_fifo(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 600)
    script = """
        async def consume():
            async with FIFO("other") as item:
                qprint(f"other {item}")
            async with FIFO("failing") as item:
                qprint(f"failing {item}")
                raise ValueError
        """
    process = await start(worker("w", script), FAILING)
    await process.fifos("failing").put(1)
    await process.fifos("other").put(2)
    await process.until(lambda heard: heard.count("failing 1") == 3)
    await process.fifos("other").put(3)
    await process.until(lambda heard: "other 3" in heard)


async def test_a_fifo_whose_head_waits_or_that_is_empty_costs_another_no_pace(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 1)
    monkeypatch.setattr("framework.workers.reflector.WATCH_INTERVAL", 1)
    script = """
        async def consume():
            for name in ("failing", "empty", "other"):
                async with FIFO(name) as item:
                    if name == "failing" and item is not None:
                        raise ValueError
                    if item is not None:
                        qprint(item)
        """
    process = await start(worker("w", script), NEVER)
    await process.fifos("failing").put(1)
    await process.fifos("other").put_many([str(number) for number in range(30)])
    await process.until(lambda heard: len(heard) == 30)  # a second each would be too late
    assert process.heard == [str(number) for number in range(30)]


async def test_a_worker_that_reads_several_empty_fifos_in_a_loop_does_not_spin(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 0.2)
    script = """
        async def consume():
            while Runtime.running():
                for name in ("first", "second"):
                    async with FIFO(name) as item:
                        qprint(f"{name} {item}")
        """
    process = await start(worker("w", script))
    await process.fifos("first").put_many([1, 2])
    await process.until(lambda heard: "first 2" in heard)
    seen = len(process.heard)
    await process.until(lambda heard: len(heard) >= seen + 8)
    assert process.times[seen + 7] - process.times[seen] > 0.2 * 4


@pytest.mark.usefixtures("_long_intervals")
@pytest.mark.parametrize(
    "how",
    [
        "async with asyncio.TaskGroup() as group:\n        [group.create_task(work(n)) for n in names]",
        "await asyncio.gather(*map(work, names))",
        "try:\n        await work('failing')\n    except ValueError as error:\n        raise KeyError from error",
    ],
)
async def test_errors_of_items_that_leave_the_function_together_make_the_worker_wait_no_longer(
    start: Start, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.workers.reflector.ERROR_WAIT_FIRST", 600)
    script = f"""
names = ("failing", "other")
async def work(name):
    async with FIFO(name) as item:
        if item is not None:
            qprint(name)
            raise ValueError(name)
async def consume():
    {how}
"""
    process = await start(worker("w", script), FAILING, FAILING.replace("failing", "other"))
    await process.fifos("failing").put(1)
    await process.fifos("other").put(1)
    await process.until(lambda heard: heard.count("failing") == 3)
