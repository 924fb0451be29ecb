"""Runs statements, each as its own task in one context, and stops the running one at Ctrl-C.

The one rule: **no claim and no transaction outlives the statement that began it.** The next statement sees changes to
other context variables. Ctrl-C cancels a waiting statement, and raises ``KeyboardInterrupt`` in a computing one: at
once in the user's code, and a moment later while a write is being handed over.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from framework.repl.statement import Statement, is_input
from framework.transactions import context
from framework.transactions.block import Block

_PATIENCE = 0.1  # seconds that a write may take to reach its next await

Show = Callable[[Any], None]


class Interrupted(Exception):
    """The statement was stopped by Ctrl-C."""


class Execution:
    """Runs one statement at a time, in the namespace, on the loop on which it was made."""

    def __init__(
        self, namespace: dict[str, Any], show: Show, give_back: Callable[[Block], Awaitable[None]]
    ) -> None:
        self._namespace = namespace
        self._show = show
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._asked = 0  # how often Ctrl-C was pressed for the running statement
        self._abandoned = asyncio.Event()

    async def run(self, statement: Statement) -> BaseException | None:
        """Run it to its end. Its values go to ``show``. Return what it raised, ``Interrupted`` after Ctrl-C."""
        failed: list[BaseException] = []
        self._asked = 0
        self._abandoned.clear()
        task = self._loop.create_task(
            self._evaluate(statement, failed), context=self._context, name="statement"
        )
        self._task = task
        try:
            if not await self._ended(task):
                failed.append(
                    Interrupted("it does not end when it is asked to; it goes on in the background")
                )
        finally:
            self._task = None
        await self._tidy()
        if not failed:
            return None
        if self._asked and isinstance(failed[0], KeyboardInterrupt | asyncio.CancelledError):
            return Interrupted()
        return failed[0]

    async def _evaluate(self, statement: Statement, failed: list[BaseException]) -> None:
        displayhook, sys.displayhook = sys.displayhook, self._show
        try:
            value = eval(statement.code, self._namespace)  # noqa: S307 - what the user typed
            if inspect.iscoroutine(value) and statement.code.co_flags & inspect.CO_COROUTINE:
                await value
        except BaseException as error:  # KeyboardInterrupt too: it must not reach the loop
            failed.append(error)
        finally:
            sys.displayhook = displayhook

    async def _ended(self, task: asyncio.Task[None]) -> bool:
        """Wait until it ends or is abandoned."""
        abandoned = self._loop.create_task(self._abandoned.wait())
        try:
            await asyncio.wait({task, abandoned}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the REPL is asked to end
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
            raise
        finally:
            abandoned.cancel()
        return task.done()

    async def _tidy(self) -> None:
        """End what a statement left open: an item in work or a transaction."""
        standing = self._context.run(context.current)
        for block in standing.blocks:
            block.leave(None)
            await self._give_back(block)
        if standing.begun is not None:
            await standing.begun.end(Interrupted("the statement has ended"))
        self._context.run(context.forget)

    # ---- Ctrl-C -----------------------------------------------------------------------------

    def interrupt(self, frame: FrameType | None) -> bool:
        """Stop the running statement. The signal handler calls it with the interrupted frame. Return whether one
        runs.

        May raise ``KeyboardInterrupt``, for the statement or for a background task that computes.
        """
        task: asyncio.Task[Any] | None = self._task
        current = asyncio.current_task(self._loop)
        user, handing_over = _running(frame)
        if current is not None and current is not task and user:
            raise KeyboardInterrupt
        if task is None or task.done():
            return False
        self._asked += 1
        if current is None or task is not current:
            task.cancel()
            if self._asked > 2:
                self._abandoned.set()
            self._loop.call_soon_threadsafe(lambda: None)  # it sleeps, and would not look
            return True
        if user and (not handing_over or self._asked > 1):
            raise KeyboardInterrupt
        task.cancel()
        self._again(task)
        return True

    def _again(self, task: asyncio.Task[None]) -> None:
        """If it has not reached an await by then, raise in it wherever it is."""

        def ask() -> None:
            if self._task is task and not task.done():
                _interrupt_main()

        timer = threading.Timer(_PATIENCE, ask)
        timer.daemon = True
        timer.start()


def _interrupt_main() -> None:
    import _thread

    _thread.interrupt_main()


def _running(frame: FrameType | None) -> tuple[bool, bool]:
    """Is the user's code on this stack? And does it currently call the framework?"""
    handing_over = False
    while frame is not None:
        if is_input(frame.f_code.co_filename):
            return True, handing_over
        name = frame.f_globals.get("__name__", "")
        if name.startswith("framework.") and frame.f_code.co_flags & inspect.CO_COROUTINE:
            handing_over = True
        frame = frame.f_back
    return False, False
