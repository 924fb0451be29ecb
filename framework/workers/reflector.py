"""The reflector runs the workers: it calls the coroutine function of each again and again.

``single`` workers hold a lock of the whole installation while they run. The others stand by and take over when
the holder dies. A failure of one worker never affects another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any

from framework.definitions import WorkerDefinition
from framework.errors import Reject, Retry, StorageError
from framework.observing import trace
from framework.observing.request_id import REQUEST_ID
from framework.process.shutdown import GRACE, LAST_WORD
from framework.process.supervision import Supervised
from framework.storage.holds import Hold
from framework.storage.operations import RecordProblem
from framework.transactions import context
from framework.transactions.polls import Polls
from framework.transactions.run import Charge, Run
from framework.transactions.session import Session

logger = logging.getLogger("framework.reflector")

WATCH_INTERVAL = 1.0  # seconds until a function without work is called again

# An error outside of any FIFO block: the worker waits this long, doubling up to the last.
ERROR_WAIT_FIRST = 0.1
ERROR_WAIT_LAST = 30.0


class Reflector:
    """The tasks of one process's workers. ``stop`` ends them. The owner of the reflector must call it."""

    def __init__(
        self, workers: Sequence[WorkerDefinition], session: Session, scope: Mapping[str, Any]
    ) -> None:
        self._workers = workers
        self._session = session
        self._scope = scope
        self._running: list[Supervised] = []
        self._telling: set[asyncio.Task[None]] = set()
        self.stuck = False  # some script did not end when it was cancelled: the process has to be ended

    def start(self) -> None:
        """Run each worker's top level once, then its function in a task of its own.

        Raises the error of a top level, since a worker that cannot begin must stop the start.
        """
        prepared = [(worker, self._prepare(worker)) for worker in self._workers]
        for worker, function in prepared:
            running = Supervised(
                f"worker {worker.name}",
                partial(self._run, worker, function),
                wanted=lambda: self._session.running,
                told=partial(self._tell, worker),
            )
            self._running.append(running)
            running.start()

    @property
    def problems(self) -> dict[str, str]:
        """Why workers cannot run at the moment, by their tasks' names. A worker whose items fail counts as running."""
        return {task.name: task.problem for task in self._running if task.problem is not None}

    async def stop(self, grace: float | None = GRACE) -> None:
        """Wait for the blocks in work, then cancel the rest. The session must have been stopped.

        With ``grace`` None it waits as long as it takes.
        """
        tasks = [task for task in (running.release() for running in self._running) if task is not None]
        self._running.clear()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            logger.warning("%s is still at work after %g s and is cancelled", task.get_name(), grace)
            task.cancel()
        if late:
            _, stuck = await asyncio.wait(late, timeout=LAST_WORD)
            for task in stuck:
                logger.error("%s does not end; its item is offered again at the next start", task.get_name())
                self.stuck = True

    def _prepare(self, worker: WorkerDefinition) -> Callable[[], Awaitable[Any]]:
        namespace = {
            **self._scope,
            "__name__": worker.name,
            "logger": logging.getLogger(f"framework.script.{worker.name}"),
        }
        with context.entered(script=worker.name):
            worker.script.run(namespace)
        function: Callable[[], Awaitable[Any]] = namespace[worker.function]
        return function

    async def _run(self, worker: WorkerDefinition, function: Callable[[], Awaitable[Any]]) -> None:
        async with self._place(worker) as hold:
            record = {"action": "worker_start", "worker": worker.name}
            logger.info("worker %s runs", worker.name, extra=record)
            await self._repeat(worker, function, hold)

    def _tell(self, worker: WorkerDefinition, problem: str | None) -> None:
        """Record in the database that a worker cannot run, or can run again, so that other processes see it."""
        task = asyncio.create_task(self._record(worker.name, problem), name=f"problem of {worker.name}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _record(self, worker: str, problem: str | None) -> None:
        try:
            await self._session.storage.write([RecordProblem(worker, problem, time.time())])
        except StorageError as error:
            logger.warning("it cannot be recorded how worker %s does: %s", worker, error)

    def _place(self, worker: WorkerDefinition) -> AbstractAsyncContextManager[Hold | None]:
        if worker.mode == "single":
            return _UntilStopped(self._session, self._session.storage.alone(f"worker {worker.name}"))
        return nullcontext()

    async def _repeat(
        self, worker: WorkerDefinition, function: Callable[[], Awaitable[Any]], hold: Hold | None
    ) -> None:
        known: set[str] = set()
        polls = Polls()
        wait = ERROR_WAIT_FIRST
        while self._session.running and (hold is None or hold.lost is None):
            run = Run(worker.name, polls)
            # Nothing of the last call is carried over, not even of a block that was left in another context.
            context.forget()
            REQUEST_ID.set(None)
            # Watched from before the call: what changes between its last poll and our wait is not missed.
            with self._session.storage.watch(known) as signal:
                try:
                    with context.entered(script=worker.name, run=run):
                        await function()
                except BaseException as error:
                    if _from_outside(error):
                        raise
                    charge = run.charge(error)
                    self._report(worker, charge, error)
                    if run.finished:
                        wait = ERROR_WAIT_FIRST
                    if charge is None:
                        await self._session.sleep(wait)
                        wait = min(wait * 2, ERROR_WAIT_LAST)
                        continue
                if run.finished:
                    wait = ERROR_WAIT_FIRST
                if run.fifos <= known and self._session.running:
                    pause = polls.pause(run.fifos, WATCH_INTERVAL)
                    if pause > 0:
                        await signal.changed(pause)
            known = run.fifos

    def _report(self, worker: WorkerDefinition, charge: Charge | None, error: BaseException) -> None:
        """One log record per error, with the line of the definition, and a traceback if it was unexpected."""
        record: dict[str, object] = {"action": "worker_error", "worker": worker.name}
        if charge is not None:
            record["request_id"] = charge.request_id
        place = trace.place(error) or str(worker.location)
        if charge is not None and isinstance(error, Reject | Retry):
            told = (worker.name, place, trace.message(error), charge.fate)
            logger.warning("worker %s at %s: %s: %s", *told, extra=record)
        elif charge is not None:
            record["traceback"] = trace.text(error)
            told = (worker.name, place, trace.summary(error), charge.fate)
            logger.error("worker %s failed at %s: %s: %s", *told, extra=record)
        elif isinstance(error, StorageError):
            logger.error("worker %s: %s: %s", worker.name, place, trace.message(error), extra=record)
        else:
            record["traceback"], what = trace.text(error), trace.summary(error)
            logger.error("worker %s failed at %s: %s", worker.name, place, what, extra=record)


def _from_outside(error: BaseException) -> bool:
    """Whether the task was cancelled or its coroutine closed. Otherwise the script itself has raised the error."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs: nobody is left to go on for
        return True
    return task is None or (isinstance(error, asyncio.CancelledError) and task.cancelling() > 0)


class _UntilStopped:
    """Enters a lock. It may wait for the lock, but not beyond a stop of the session.

    If the lock is lost, the block is cancelled and ends with ``ClaimLost``.
    """

    def __init__(self, session: Session, lock: AbstractAsyncContextManager[None]) -> None:
        self._session = session
        self._lock = lock
        self._held = False
        self._hold: Hold | None = None

    async def __aenter__(self) -> Hold | None:
        entering = asyncio.ensure_future(self._lock.__aenter__())
        stopped = asyncio.ensure_future(self._session.stopped())
        try:
            await asyncio.wait({entering, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if entering.done():
                entering.result()
                self._held = True
                self._hold = Hold(self._session.storage.disowned)
        finally:
            stopped.cancel()
            entering.cancel()
        return self._hold

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost = None if self._hold is None else self._hold.leave(error)
        if self._held:
            await self._lock.__aexit__(kind, error, trace)
        if lost is not None:
            raise lost from error
