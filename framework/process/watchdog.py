"""Names the script that blocks the event loop, because nothing else is served meanwhile.

A task on the loop sends beats. A thread checks them, and if they stop, it finds the line that is running.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

from framework.observing import trace

logger = logging.getLogger("framework.watchdog")

BLOCKED = 1.0  # seconds without a beat until the log says so
_BEAT = 0.25


class Watchdog:
    """Watches the loop that it is made on. ``stop`` ends it."""

    def __init__(self) -> None:
        self._loop_thread = threading.get_ident()
        self._beaten = time.monotonic()
        self._ended = threading.Event()
        self._task = asyncio.create_task(self._beat(), name="watchdog")
        self._thread = threading.Thread(target=self._watch, name="framework-watchdog", daemon=True)
        self._thread.start()

    @property
    def watching(self) -> bool:
        """Does the thread still run?"""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the task and the thread."""
        self._task.cancel()
        self._ended.set()

    async def _beat(self) -> None:
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(_BEAT)

    def _watch(self) -> None:
        while not self._ended.wait(_BEAT):
            since = self._beaten
            if time.monotonic() - since > BLOCKED + _BEAT:
                self._report(since)

    def _report(self, since: float) -> None:
        """Log it when it is noticed, with the line, and again when it is over, with the duration."""
        frame = sys._current_frames().get(self._loop_thread)
        place = trace.running_at(traceback.extract_stack(frame)) if frame is not None else None
        where = place or "no script's line"
        logger.warning(
            "the event loop is blocked at %s: nobody else is served", where, extra={"action": "blocked"}
        )
        while self._beaten == since and not self._ended.wait(0.05):
            pass
        logger.warning(
            "the event loop was blocked for %.1f s at %s",
            time.monotonic() - since,
            where,
            extra={"action": "blocked"},
        )
