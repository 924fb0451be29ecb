"""A thread that owns a connection and takes all waiting work at once: one hop for many callers.

Waking a thread and waking the event loop again cost more than a small statement. So the thread takes
all the work there is, runs it as one batch, and answers the batch with one call into the loop.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from framework.errors import Unavailable

# Enough to share one commit among all waiting callers, and few enough that none of them waits long.
BATCH = 256


# A unit waits until its batch starts. Whether it starts or is given up is decided under the thread's lock.
WAITING, STARTED, EXPIRED = range(3)


class Closable(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=Closable)
Orphaned = Callable[[Any, BaseException | None], None]


class Unit(Generic[C]):
    """Work on the connection, the future of its caller, and the FIFOs that it changes."""

    __slots__ = ("deadline", "error", "exclusive", "future", "orphaned", "result", "state", "wakes", "work")

    def __init__(
        self,
        work: Callable[[C], Any],
        future: asyncio.Future[Any],
        wakes: Iterable[str],
        orphaned: Orphaned | None,
        exclusive: bool,
    ) -> None:
        self.work = work
        self.future = future
        self.wakes = wakes
        self.orphaned = orphaned
        self.exclusive = exclusive  # a batch of its own: it may take long
        self.deadline = 0.0  # on the loop's clock
        self.state = WAITING
        self.result: Any = None
        self.error: BaseException | None = None


class Waiting(Generic[C]):
    """The units of a batch before it starts. Each of them may still be abandoned."""

    def __init__(self, units: list[Unit[C]], deciding: threading.Lock) -> None:
        self._units = units
        self._deciding = deciding

    def wanted(self) -> bool:
        """Is any of them still wanted?"""
        return any(unit.state == WAITING for unit in self._units)

    def start(self) -> list[Unit[C]]:
        """Those that were not abandoned. From now on none can be."""
        with self._deciding:
            wanted = [unit for unit in self._units if unit.state == WAITING]
            for unit in wanted:
                unit.state = STARTED
        return wanted


class BatchThread(Generic[C]):
    """Runs units in its own thread. Make and close it on the event loop's thread.

    ``run_batch`` waits for whatever it has to, as long as any unit is ``wanted``, calls ``start`` for those that
    are, leaves a ``result`` or an ``error`` on each, and returns them. A unit that has not started ``patience`` seconds
    after it was handed in fails with ``late()``, and is never run. ``done`` is told which FIFOs changed;
    ``after_batch(connection, idle)`` runs in the thread when the batch was answered, and must not raise. If it
    answers a number, it is called again when nothing has come for so many seconds, with ``idle``.
    """

    def __init__(
        self,
        name: str,
        *,
        connect: Callable[[], C],
        run_batch: Callable[[C, Waiting[C]], list[Unit[C]]],
        patience: float,
        late: Callable[[], Exception],
        done: Callable[[set[str]], None] | None = None,
        after_batch: Callable[[C, bool], float | None] | None = None,
    ) -> None:
        self._connect = connect
        self._run_batch = run_batch
        self._patience = patience
        self._late = late
        self._deciding = threading.Lock()
        self._handed_in: deque[Unit[C]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._done = done
        self._after_batch = after_batch
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Unit[C] | None] = queue.SimpleQueue()
        self._kept: Unit[C] | None = None  # taken from the queue, for the next batch
        self._closed = False
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def start(self) -> None:
        """Open the connection in the thread; raises what opening it raised, or ``late()``."""
        self._thread.start()
        await asyncio.wait({self._opened}, timeout=self._patience)
        if not self._opened.done():
            raise self._late()
        self._opened.result()

    async def run(
        self,
        work: Callable[[C], Any],
        wakes: Iterable[str] = (),
        orphaned: Orphaned | None = None,
        *,
        exclusive: bool = False,
    ) -> Any:
        """Hand in a unit and wait for its outcome.

        Cancelling the wait does not cancel the unit: ``orphaned`` is then called with its result and
        error, on the event loop's thread.
        """
        if self._closed:
            raise Unavailable("the database is closed")
        future = self._loop.create_future()
        unit = Unit(work, future, wakes, orphaned, exclusive)
        self._watch(unit)
        self._queue.put(unit)
        try:
            return await future
        except asyncio.CancelledError:
            if orphaned and not future.cancelled():
                # The answer came in the same turn of the loop as the cancellation, which wins.
                orphaned(unit.result, unit.error)
            raise

    async def close(self) -> None:
        """Finish what was handed in, then close the connection. May be called twice.

        A thread that still waits for its turn after ``patience`` is abandoned. It ends with the process.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._thread.ident is not None:
            await asyncio.wait({self._ended}, timeout=self._patience)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def is_left_behind(self) -> bool:
        """Has the thread not ended, although it was closed? Then its connection is open as well."""
        return self._thread.ident is not None and not self._ended.done()

    def tell_done(self, wakes: set[str]) -> None:
        """Report changes that no unit named beforehand."""
        if self._done:
            self._done(wakes)

    # ---- patience ---------------------------------------------------------------------------

    def _watch(self, unit: Unit[C]) -> None:
        unit.deadline = self._loop.time() + self._patience
        self._handed_in.append(unit)
        if self._timer is None:
            self._timer = self._loop.call_at(unit.deadline, self._expire)

    def _expire(self) -> None:
        """Abandon the units that have waited too long. The timer is for the oldest one that may still start."""
        self._timer = None
        now = self._loop.time()
        error: Exception | None = None
        while self._handed_in and (self._handed_in[0].deadline <= now or self._handed_in[0].state != WAITING):
            unit = self._handed_in.popleft()
            with self._deciding:
                if unit.state != WAITING:
                    continue  # it runs or has run, so its own outcome is its answer
                unit.state = EXPIRED
            error = error or self._late()
            unit.error = error
            self._answer_one(unit)
        if self._handed_in:
            self._timer = self._loop.call_at(self._handed_in[0].deadline, self._expire)

    # ---- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._tell(_set_exception, self._opened, error)
            self._tell(_set_result, self._ended)
            return
        self._tell(_set_result, self._opened)
        try:
            pause: float | None = None
            while True:
                try:
                    batch = self._take(pause)
                except queue.Empty:
                    assert self._after_batch is not None
                    pause = self._after_batch(connection, True)
                    continue
                if batch is None:
                    break
                ran = self._run_batch(connection, Waiting(batch, self._deciding))
                self._tell(self._answer, ran)
                if self._after_batch is not None:
                    pause = self._after_batch(connection, False)
        finally:
            connection.close()
            self._tell(_set_result, self._ended)

    def _take(self, pause: float | None) -> list[Unit[C]] | None:
        """All waiting units, at least one, or None if it was closed and nothing is left.

        ``queue.Empty`` when nothing has come for ``pause`` seconds.
        """
        first = self._kept or self._queue.get(timeout=pause)
        self._kept = None
        if first is None:
            return None
        batch = [first]
        try:
            while len(batch) < BATCH and not first.exclusive:
                unit = self._queue.get_nowait()
                if unit is None:
                    self._queue.put(None)  # for the next take
                    break
                if unit.exclusive:
                    self._kept = unit
                    break
                batch.append(unit)
        except queue.Empty:
            pass
        return batch

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass  # the loop was closed without closing the storage, so no caller is left

    def _answer(self, batch: list[Unit[C]]) -> None:
        wakes: set[str] = set()
        for unit in batch:
            if unit.error is None:
                wakes.update(unit.wakes)
            self._answer_one(unit)
        while self._handed_in and self._handed_in[0].state != WAITING:
            self._handed_in.popleft()
        if wakes and self._done:
            self._done(wakes)

    def _answer_one(self, unit: Unit[C]) -> None:
        future = unit.future
        if future.done():  # the caller was cancelled
            if unit.orphaned:
                unit.orphaned(unit.result, unit.error)
        elif unit.error is None:
            future.set_result(unit.result)
        else:
            future.set_exception(unit.error)


def _set_result(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _set_exception(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
