"""Tasks that must not end while the server runs. If one ends, that is logged, and it is restarted after a pause.

The pause doubles with each end, and is short again after a while without one. Until then the task counts as *ailing*.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from framework.observing import trace

logger = logging.getLogger("framework.supervision")

RESTART_FIRST = 0.1  # seconds
RESTART_LAST = 10.0
RECOVERED = 1.0  # seconds that a task must run to be well again


class Supervised:
    """One such task. ``start`` it, and ``release`` it when it is to end. It may end once it is not ``wanted``.

    ``told`` is called once with what is wrong, and with None when it is well again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        wanted: Callable[[], bool],
        told: Callable[[str | None], None],
    ) -> None:
        self.name = name
        self._work = work
        self._wanted = wanted
        self._told = told
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wait = RESTART_FIRST
        self.problem: str | None = None  # why it cannot currently work

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work(), name=self.name)
        self._task.add_done_callback(self._ended)
        self._timer = asyncio.get_running_loop().call_later(RECOVERED, self._recovered)

    def release(self) -> asyncio.Task[None] | None:
        """Let it end. Return the task to wait for, or None if it does not run."""
        if self._timer is not None:
            self._timer.cancel()
        return None if self._task is None or self._task.done() else self._task

    def _recovered(self) -> None:
        self._wait = RESTART_FIRST
        if self.problem is not None:
            self.problem = None
            self._told(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._timer is not None:
            self._timer.cancel()
        if not self._wanted():
            return
        wait, self._wait = self._wait, min(self._wait * 2, RESTART_LAST)
        what = _what(task, error)
        logger.error(
            "%s has ended: %s; it starts again in %g s%s",
            self.name,
            what,
            wait,
            "" if error is None else "\n" + trace.text(error),
            extra={"action": "restart", "task": self.name},
        )
        known, self.problem = self.problem, what
        if known is None:
            self._told(what)
        self._timer = asyncio.get_running_loop().call_later(wait, self.start)


def _what(task: asyncio.Task[None], error: BaseException | None) -> str:
    if task.cancelled():
        return "its task was cancelled, by its own script perhaps"
    if error is None:
        return "its task has returned"
    return f"{type(error).__name__}: {trace.message(error)}".rstrip(": ")
