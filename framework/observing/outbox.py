"""A bounded buffer with any number of readers, each in its own thread. Putting something in never waits.

The one rule: **the items that a reader gets, and the items that it is told it missed, add up to all items.** When the
buffer is full, the oldest item is dropped. A reader that had not read it yet is told how many it missed, at that
position. Putting an item in costs the same for many readers as for one.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# What is kept for a reader that does not read. Beyond either limit, the oldest item is dropped.
MOST_ITEMS = 10_000
MOST_CHARACTERS = 16 * 1024 * 1024

# A reader shares the interpreter lock with the script that writes. Small portions with pauses leave nearly all of the
# time to the script: 128 KB every 20 ms are still 6 MB a second.
BATCH_ITEMS = 2_000
BATCH_CHARACTERS = 128 * 1024
REST = 0.02


class Outbox(Generic[T]):
    """See the module. In a forked child it has no readers."""

    def __init__(self) -> None:
        self._renew()
        _all.add(self)

    def _renew(self) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._characters = 0
        self._begin = 0  # the number of the first item that is there
        self._readers: list[Reader[T]] = []
        self._waiting = 0
        # Reentrant: the garbage collector may run a script's __del__, which prints, at any point.
        self._changed = threading.Condition(threading.RLock())

    @property
    def read(self) -> bool:
        """Does anybody read?"""
        return bool(self._readers)

    def put(self, item: T, characters: int, *, lazy: bool = False) -> None:
        """Put ``item`` in. It counts as so many characters. From any thread. Without readers it is dropped.

        A ``lazy`` item wakes no reader. It is delivered with the next item that is not lazy, or after a ``nudge``.
        """
        with self._changed:
            if not self._readers:
                return
            items = self._items
            items.append((item, characters))
            self._characters += characters
            while (self._characters > MOST_CHARACTERS or len(items) > MOST_ITEMS) and len(items) > 1:
                self._drop()
            if self._waiting and not lazy:
                self._changed.notify_all()

    def nudge(self) -> None:
        """Deliver what is in the buffer."""
        with self._changed:
            if self._waiting and self._items:
                self._changed.notify_all()

    def reader(
        self,
        write: Callable[[list[T], int], None],
        *,
        name: str,
        failed: Callable[[Exception], None],
        first: Sequence[T] = (),
    ) -> Reader[T]:
        """Pass everything that is put in from now on to ``write(items, missed)``, in portions and in order.

        ``missed`` items came before these. ``write`` may take any time. It gets ``first`` before anything else. If it
        raises, ``failed(error)`` is called and the reader ends.
        """
        reader = Reader(self, write, failed, first)
        with self._changed:
            reader.place = self._begin + len(self._items)
            self._readers.append(reader)
        reader.start(name)
        return reader

    def _drop(self) -> None:
        self._characters -= self._items.popleft()[1]
        self._begin += 1

    def _take(self, reader: Reader[T]) -> tuple[list[T], int]:
        """The next portion for the reader. Waits for one, or for the reader's end."""
        with self._changed:
            reader.idle = True
            if reader.flushing:
                self._changed.notify_all()
            self._waiting += 1
            self._changed.wait_for(lambda: reader.over or self._is_behind(reader))
            self._waiting -= 1
            reader.idle = False
            missed = max(0, self._begin - reader.place)
            reader.place += missed
            items: list[T] = []
            room = BATCH_CHARACTERS
            for item, characters in islice(self._items, reader.place - self._begin, None):
                if items and (len(items) == BATCH_ITEMS or characters > room):
                    break
                items.append(item)
                room -= characters
            reader.place += len(items)
            self._forget_what_all_have_read()
            return items, missed

    def _is_behind(self, reader: Reader[T]) -> bool:
        return reader.place < self._begin + len(self._items)

    def _forget_what_all_have_read(self) -> None:
        behind = min((reader.place for reader in self._readers), default=None)
        while self._items and (behind is None or self._begin < behind):
            self._drop()

    def _end(self, reader: Reader[T]) -> None:
        with self._changed:
            reader.over = True
            if reader in self._readers:
                self._readers.remove(reader)
            self._forget_what_all_have_read()
            self._changed.notify_all()

    def _flush(self, reader: Reader[T], timeout: float) -> bool:
        with self._changed:
            reader.flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(
                    lambda: reader.over or (reader.idle and not self._is_behind(reader)), timeout
                )
            finally:
                reader.flushing -= 1


class Reader(Generic[T]):
    """Made by :meth:`Outbox.reader`. The caller closes it."""

    def __init__(
        self,
        outbox: Outbox[T],
        write: Callable[[list[T], int], None],
        failed: Callable[[Exception], None],
        first: Sequence[T],
    ) -> None:
        self._outbox = outbox
        self._write = write
        self._failed = failed
        self._first = list(first)
        self.place = 0  # the number of the next item for it
        self.idle = False
        self.flushing = 0
        self.over = False

    def start(self, name: str) -> None:
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def flush(self, timeout: float) -> bool:
        """Wait without pauses until it has got everything, for ``timeout`` seconds at most. Return whether it has."""
        return self._outbox._flush(self, timeout)

    def close(self) -> None:
        """Stop delivering, and let its thread end. May be called again."""
        self._outbox._end(self)

    def _run(self) -> None:
        try:
            if self._first:
                self._write(self._first, 0)
            while True:
                items, missed = self._outbox._take(self)
                if self.over:
                    return
                self._write(items, missed)
                if self._outbox._is_behind(self) and not self.flushing:
                    time.sleep(REST)
        except Exception as error:
            self._failed(error)
            self.close()


_all: weakref.WeakSet[Outbox[Any]] = weakref.WeakSet()


def _renew_in_child() -> None:
    for outbox in list(_all):
        outbox._renew()


os.register_at_fork(after_in_child=_renew_in_child)
