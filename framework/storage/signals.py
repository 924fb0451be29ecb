"""The watches on FIFOs in this process, which connect commits with sleeping workers.

A watch is made before a read, so a change between the read and the wait is never missed. All of it runs on the event
loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

AUDITED = "\0audit"
"""Watched instead of a FIFO: an operator's verb was recorded. No FIFO can have this name."""


class Signal:
    """The bell of one watcher. A change sets it, and the watcher clears it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def changed(self, timeout: float | None) -> bool:
        """Wait for a change since the last call, or since the watch was made. Returns False on time-out."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True


class Signals:
    """The bells of one process, by FIFO name."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Signal]] = {}
        self._all: set[Signal] = set()

    @contextmanager
    def watch(self, fifos: Iterable[str]) -> Iterator[Signal]:
        """A bell that any of the FIFOs rings, until the block ends."""
        signal = Signal()
        names = tuple(fifos)
        self._all.add(signal)
        for name in names:
            self._watchers.setdefault(name, set()).add(signal)
        try:
            yield signal
        finally:
            self._all.discard(signal)
            for name in names:
                watchers = self._watchers[name]
                watchers.discard(signal)
                if not watchers:
                    del self._watchers[name]

    def ring(self, fifos: Iterable[str] | None) -> None:
        """Ring for all watchers of one of the FIFOs, or with None, for all watchers."""
        if fifos is None:
            self.ring_all()
            return
        for name in fifos:
            for signal in self._watchers.get(name, ()):
                signal.ring()

    def ring_all(self) -> None:
        """Ring for all watchers, also those without a FIFO: at a shutdown, or if it is unknown what changed."""
        for signal in self._all:
            signal.ring()
