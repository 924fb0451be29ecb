"""The block of an item in work: its claim, its time-out, and the warning that it takes long."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import weakref
from typing import Any

from framework.errors import ClaimLost
from framework.observing import trace
from framework.observing.request_id import REQUEST_ID
from framework.storage.holds import Hold
from framework.storage.operations import Claim, Delivery

logger = logging.getLogger("framework.fifo")

# What a block has begun beside itself: work in a thread or a process, or a task.
Beside = concurrent.futures.Future[Any] | asyncio.Task[Any]


class Block:
    """A block begins when it is made, in the task that works. The same task must call ``leave``.

    ``disowned`` comes from the storage. It is done when this process has lost its claims, which cancels the
    block.
    """

    def __init__(
        self,
        delivery: Delivery,
        disowned: asyncio.Future[str],
        *,
        slow_after: float,
        timeout: float | None,
    ) -> None:
        self.delivery = delivery
        self.claim: Claim = delivery.claim
        self.acknowledged = False  # once it is, the claim fences nothing any more
        # Each with the line that began it. Weak: what has ended is forgotten, however many there were.
        self.begun: weakref.WeakKeyDictionary[Beside, str | None] = weakref.WeakKeyDictionary()
        self._slow_after = slow_after
        self._timeout = timeout
        self._overdue = False
        self._outer = REQUEST_ID.get()
        REQUEST_ID.set(delivery.request_id)
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._hold = Hold(disowned)
        self._began = loop.time()
        self._slow = loop.call_later(slow_after, self._warn)
        self._limit = loop.call_later(timeout, self._expire) if timeout is not None else None

    @property
    def left_running(self) -> dict[Beside, str | None]:
        """The work that it has begun and that has not ended, each with its line, without the calling task."""
        asking = asyncio.current_task()
        return {work: place for work, place in self.begun.items() if not work.done() and work is not asking}

    @property
    def disowned(self) -> bool:
        """Whether the claim was lost while the block ran."""
        return self._hold.lost is not None

    def leave(self, error: BaseException | None) -> TimeoutError | ClaimLost | None:
        """End the block. Return the error if its own time-out cancelled it, or if its claim was lost."""
        self._slow.cancel()
        if self._limit is not None:
            self._limit.cancel()
        REQUEST_ID.set(self._outer)
        lost = self._hold.leave(error)
        if not self._overdue:
            return lost
        # Take our own cancellation back, as asyncio.timeout does: the task itself is to go on.
        task = self._task
        if task is not None and task.uncancel() == 0 and isinstance(error, asyncio.CancelledError):
            return TimeoutError(f"the block took longer than its time-out of {self._timeout:g} s")
        return None

    def _expire(self) -> None:
        self._overdue = True
        if self._task is not None:
            self._task.cancel()

    def _warn(self) -> None:
        loop = asyncio.get_running_loop()
        place = trace.suspended_at(self._task) if self._task else None
        logger.warning(
            "FIFO %s: item %d is in work for %.0f s now%s",
            self.claim.fifo,
            self.claim.item_id,
            loop.time() - self._began,
            f", at {place}" if place else "",
            extra={"action": "slow", "fifo": self.claim.fifo, "request_id": self.delivery.request_id},
        )
        self._slow = loop.call_later(self._slow_after, self._warn)
