"""A bounded buffer that a thread of its own empties, in order: who puts something in never waits.

The one rule: **what comes out and what is told to be missed is, together, all that was put in.** When it
is full the oldest goes, and how many is told in its place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# What is kept for a reader that does not read: beyond either of these the oldest is dropped.
MOST_ITEMS = 10_000
MOST_CHARACTERS = 16 * 1024 * 1024

# Writing shares the interpreter's lock with the script that prints. A little at a time, with a rest after
# it, leaves the script nearly all of it: 64 KB each 10 ms are still 6 MB a second.
BATCH_ITEMS = 1_000
BATCH_CHARACTERS = 64 * 1024
REST = 0.01


class Outbox(Generic[T]):
    """Hands what is put in to ``write(items, missed)``, some at a time, in order; ``missed`` came before them.

    ``write`` may take as long as it likes. When it raises, ``failed(error)`` is called once, and nothing
    is taken any more.
    """

    def __init__(
        self, write: Callable[[list[T], int], None], *, name: str, failed: Callable[[Exception], None]
    ) -> None:
        self._write = write
        self._failed = failed
        self._items: deque[tuple[T, int]] = deque()
        self._characters = 0
        self._missed = 0
        self._idle = True
        self._hurry = False
        self.over = False
        # Reentrant: the garbage collector may run a script's __del__, which prints, wherever it likes.
        self._changed = threading.Condition(threading.RLock())
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, item: T, characters: int) -> None:
        """Put ``item`` in, which counts as so many characters. From any thread."""
        with self._changed:
            if self.over:
                return
            self._items.append((item, characters))
            self._characters += characters
            while len(self._items) > 1 and (
                self._characters > MOST_CHARACTERS or len(self._items) > MOST_ITEMS
            ):
                self._characters -= self._items.popleft()[1]
                self._missed += 1
            if self._idle:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is written, for ``timeout`` seconds at most, without rests; was it?"""
        with self._changed:
            self._hurry = True
            try:
                return self._changed.wait_for(lambda: self.over or (self._idle and not self._items), timeout)
            finally:
                self._hurry = False

    def close(self) -> None:
        """Take nothing any more, forget what is left, and let the thread end. May be called again."""
        with self._changed:
            self.over = True
            self._items.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            items, missed = self._next()
            if self.over:
                return
            try:
                self._write(items, missed)
            except Exception as error:
                self._failed(error)
                self.close()
                return
            if self._items and not self._hurry:
                time.sleep(REST)

    def _next(self) -> tuple[list[T], int]:
        """What is to be written next; waits for something."""
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._items or self.over)
            self._idle = False
            missed, self._missed = self._missed, 0
            items: list[T] = []
            room = BATCH_CHARACTERS
            while self._items and len(items) < BATCH_ITEMS and (not items or self._items[0][1] <= room):
                item, characters = self._items.popleft()
                self._characters -= characters
                room -= characters
                items.append(item)
            return items, missed
