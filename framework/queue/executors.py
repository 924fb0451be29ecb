"""What a FIFO block begins beside itself: tasks, and work in a thread or a process.

The one rule: **a block that failed is not over before what it has begun is.** A thread cannot be stopped, and
``asyncio.gather`` does not stop the other calls when one fails: they still call the back end, and the next
attempt must not do so beside them. A task counts if a script's own line has made it, with any function of
asyncio. A library's background tasks do not count. A block does not know the work that a script starts without
the event loop (``threading.Thread``, ``pool.submit``).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import uvloop

from framework.observing import trace
from framework.transactions import context

_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep


class HandsOver:
    """A part of an event loop that tells each block what it has begun."""

    _pool: Executor | None = None

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        blocks = context.current().blocks
        if not blocks:
            return super().run_in_executor(executor, func, *args)  # type: ignore[misc]
        submitting = _Noting(executor or self._default())
        future = super().run_in_executor(submitting, func, *args)  # type: ignore[misc]
        for work in submitting.futures:
            for block in blocks:
                block.begun[work] = _place()
        return future

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **options)  # type: ignore[misc]
        blocks = context.current().blocks
        if blocks:
            place = _own_place()
            if place is not None:
                for block in blocks:
                    block.begun[task] = place
        return task

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:
        self._pool = executor
        super().set_default_executor(executor)  # type: ignore[misc]

    def _default(self) -> Executor:
        if self._pool is None:
            self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
        assert self._pool is not None
        return self._pool


class _Noting(Executor):
    """Passes work on to an executor, and keeps the future that tells its end."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._executor.submit(fn, *args, **kwargs)
        self.futures.append(future)
        return future


def _place() -> str | None:
    """The definitions' line that submits the work. Walking the frames is cheaper than a whole stack."""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.endswith(trace.ENDINGS):
        frame = frame.f_back  # type: ignore[assignment]
    return f"{trace.shown(frame.f_code.co_filename)}:{frame.f_lineno}" if frame is not None else None


def _own_place() -> str | None:
    """The definitions' line that asks asyncio for a task; None when a library or the framework does."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_ASYNCIO):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or not frame.f_code.co_filename.endswith(trace.ENDINGS):
        return None
    return f"{trace.shown(frame.f_code.co_filename)}:{frame.f_lineno}"


class ServerLoop(HandsOver, uvloop.Loop):  # type: ignore[misc]
    """The event loop of a server."""


class StandardLoop(HandsOver, asyncio.SelectorEventLoop):  # type: ignore[misc]
    """The event loop of a REPL: Python's own."""
