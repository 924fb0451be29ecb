"""What a worker knows of the FIFOs that it reads: which of them may have an item, and when a back-off ends.

The rule: **an empty FIFO never delays another.** A worker that reads several FIFOs in turn does not wait in one
of them while the next one may have an item, nor beyond the end of the next one's back-off. All times are those
of the event loop's clock.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Iterable


class Polls:
    """The polls of FIFOs by one worker, over all calls of its function."""

    def __init__(self) -> None:
        # When an item may be there: at once, at the end of a back-off, or never as far as is known.
        self._due: dict[str, float] = {}
        self._count = 0
        # The number of each task's last poll of each FIFO. Several tasks of a worker may share the work.
        self._entered: weakref.WeakKeyDictionary[asyncio.Task[object], dict[str, int]] = (
            weakref.WeakKeyDictionary()
        )

    def begin(self, fifo: str) -> Poll | None:
        """Begin a poll of a FIFO by the current task. None without a task."""
        task = asyncio.current_task()
        if task is None:
            return None
        entered = self._entered.setdefault(task, {})
        last = entered.get(fifo, -1)
        self._count += 1
        entered[fifo] = self._count
        # FIFOs that the task has polled since its last poll of this one. It is going to poll them again.
        others = tuple(name for name, number in entered.items() if number > last and name != fifo)
        return Poll(self._due, fifo, others)

    def pause(self, fifos: Iterable[str], longest: float) -> float:
        """For how long these FIFOs can have no item, unless a change is signalled."""
        due = min((self._due.get(name, 0.0) for name in fifos), default=math.inf)
        return min(longest, due - asyncio.get_running_loop().time())


class Poll:
    """One poll of a FIFO. ``others`` are the FIFOs that the task polls in turn with it."""

    __slots__ = ("_due", "_fifo", "others")

    def __init__(self, due: dict[str, float], fifo: str, others: tuple[str, ...]) -> None:
        self._due = due
        self._fifo = fifo
        self.others = others

    def found(self) -> None:
        """There was an item, so there may be another one."""
        self._due[self._fifo] = 0.0

    def empty(self, due: float | None) -> float:
        """Note that there is no item before ``due``. Return when another FIFO may have one."""
        self._due[self._fifo] = math.inf if due is None else due
        return min((self._due.get(name, 0.0) for name in self.others), default=math.inf)

    def rung(self) -> None:
        """A change was signalled, perhaps in one of the others."""
        self._due.update(dict.fromkeys(self.others, 0.0))
