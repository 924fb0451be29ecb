"""The signals that stop a server reach a separate thread, whatever runs on the main one.

The one rule: **a signal is seen, whatever a script does.** Python writes the number of each signal to a pipe when it
arrives. An event loop needs the same pipe, so the signals are passed on to it. A handler that a script installs is
replaced again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger("framework.server")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_HOLD = 0.1  # seconds that the main thread yields to the others at an alarm
_TURN = 0.02  # seconds that it yields to them after another signal
_KEEP = 0.5  # seconds between checks whether the signals are still ours


class SignalPipe:
    """The pipe for signals. Make and take it on the main thread."""

    def __init__(self, stopping: Sequence[signal.Signals]) -> None:
        self._stopping = stopping
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._attached = False
        self._loops = -1  # where the event loop receives signals
        self._ours = False  # do signals reach our pipe directly?
        self._taken: list[signal.Signals] = []
        self.held = False  # the main thread must not continue, because the process is about to end

    # ---- the main thread --------------------------------------------------------------------

    def take(self) -> None:
        """Direct the signals to the pipe, and make an alarm yield the interpreter to other threads."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._ours = True
        for number in self._stopping:
            # A process that was started with `nohup` is meant to live on.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
                signal.siginterrupt(number, False)
                self._taken.append(number)
        signal.signal(signal.SIGALRM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Python runs this between two instructions of the main thread, or when C code asks for it.

        It yields the interpreter to the thread for a moment, which a long search by `re` would not do.
        """
        if number == signal.SIGALRM:
            time.sleep(_HOLD)
        elif not self._ours:
            self.tell(number)
        time.sleep(_TURN)
        while self.held:
            time.sleep(_TURN)

    def attach(self) -> None:
        """An event loop has taken the signals. Pass them on to it."""
        self._attached = True
        self._loops = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._ours = True

    async def keep(self) -> None:
        """Take the signals back from a script or a library. Otherwise nothing could stop this process."""
        while True:
            lost = [number.name for number in self._taken if signal.getsignal(number) != self._on_signal]
            for number in self._taken if lost else ():
                signal.signal(number, self._on_signal)
                signal.siginterrupt(number, False)
            if self._taken and self._ours:
                pipe = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
                lost += ["set_wakeup_fd"] if pipe != self._writer else []
            if lost:
                logger.warning(
                    "a script or a library has set a signal handler of its own (%s); the server has taken it back, "
                    "since nothing could stop it otherwise. `Runtime.running()` tells a script of a stop",
                    ", ".join(lost),
                    extra={"action": "signals_taken_back"},
                )
            await asyncio.sleep(_KEEP)

    def left(self, loop: asyncio.AbstractEventLoop) -> None:
        """An exception of a script has left the loop, which runs again and takes the signals once more."""
        self._ours, self._loops = False, -1
        loop.call_soon(self._retake)

    def _retake(self) -> None:
        if self._attached:
            self._loops = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._ours = True

    def detach(self) -> None:
        """The loop is about to end."""
        if self._attached:
            self._ours = False
            signal.set_wakeup_fd(self._loops)
            self._loops, self._attached = -1, False

    @contextmanager
    def looping(self) -> Iterator[None]:
        """An event loop runs in the block. It has the signals until ``attach``."""
        self._ours = False
        try:
            yield
        finally:
            self._ours = True

    # ---- any thread -------------------------------------------------------------------------

    def tell(self, number: int) -> None:
        """Wake the reading thread, as a signal of this number would. 0 is no signal."""
        try:
            os.write(self._writer, bytes([number]))
        except OSError:
            pass  # it is full, so the thread wakes up anyway

    # ---- the thread that reads --------------------------------------------------------------

    def arrived(self, within: float | None) -> Iterator[signal.Signals]:
        """The stop signals that arrive within so many seconds. None waits for any event."""
        if self._poll.poll(None if within is None else within * 1000):
            numbers = os.read(self._reader, 4096)
            self._pass_on(numbers)
            for number in numbers:
                if number in self._stopping:
                    yield signal.Signals(number)

    def _pass_on(self, numbers: bytes) -> None:
        loops = self._loops
        if loops >= 0:
            try:
                os.write(loops, numbers)
            except OSError:
                pass  # it is full, or the loop has just ended
