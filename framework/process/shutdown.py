"""The graceful shutdown of a server: the clock of the shutdown, and the end of the process.

The one rule: **a shutdown depends on nothing that a script can block.** A separate thread reads the signals
(``framework.process.signalpipe``), asks the event loop to stop, names the line that delays the shutdown, and ends the
process when the grace is over or a second signal arrives. C code that keeps the interpreter lock also stops this
thread. Then ``faulthandler``, which does not need the lock, ends the process. It is armed by the first signal, so
before that only SIGKILL ends such a process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn

from framework.observing import trace
from framework.process.children import Children
from framework.process.signalpipe import STOP_SIGNALS, SignalPipe
from framework.values import durations

logger = logging.getLogger("framework.server")

GRACE = 8.0  # seconds for work in progress to end at a shutdown before it is cancelled
LAST_WORD = 2.0  # seconds for cancelled work to end
SETTLING = 8.0  # further seconds to write the outcome of items and to close the database
AT_ONCE = 130  # the exit code of a shutdown by a second signal
FORCED = 1  # the exit code of a forced shutdown

# A process group gets a signal once for each member, and a parent may pass a signal on. Signals within this time
# count as one request.
_BLINK = 0.25
_BLOCKED = 1.0  # seconds without an answer of the event loop until the log says so
_LOOK = 0.1
_GIVE_BACK = 1.0


def longest(environ: Mapping[str, str] = os.environ) -> float | None:
    """The longest duration of a shutdown if only the environment sets it. None means no limit."""
    grace = durations.seconds(environ.get("FRAMEWORK_STOP_TIMEOUT") or f"{GRACE:g}", zero=True)
    return grace + LAST_WORD + SETTLING + LAST_WORD if grace else None


class Shutdown:
    """Make and enter it on the main thread. Leaving the block begins the end of the process.

    If it is not entered, it passes ``ask`` on and ends nothing.

    ``grace`` is None if work in progress may take any time.
    """

    def __init__(self, grace: float | None = GRACE) -> None:
        self.grace = grace
        self.signals = SignalPipe(STOP_SIGNALS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None
        self._give_back: Callable[[float], None] | None = None
        self._asked_at: float | None = None
        self._ended_at: float | None = None
        self._code = 0
        self._watches = False
        self.children = Children(STOP_SIGNALS)
        self._answered_at = 0.0  # when the event loop last answered
        self._named: str | None = None  # the line that was named last

    # ---- the main thread --------------------------------------------------------------------

    def __enter__(self) -> Shutdown:
        self.signals.take()
        self._watches = True
        threading.Thread(target=self._run, name="framework-shutdown", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if error is not None:
            self._code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
        self.ending()

    def attach(self, stop: Callable[[], None]) -> None:
        """From the running event loop: call ``stop`` there when a shutdown is requested, or at once if it already
        was."""
        self._loop = self.children.loop = asyncio.get_running_loop()
        self._answered_at = time.monotonic()
        self.signals.attach()
        self._stop = stop
        if self.asked:
            stop()

    def detach(self) -> None:
        """The loop is about to end."""
        self.signals.detach()
        self._loop = None

    def holds(self, give_back: Callable[[float], None] | None) -> None:
        """How to give back the items in work, from any thread and within so many seconds. None if nothing is held."""
        self._give_back = give_back

    # ---- any thread -------------------------------------------------------------------------

    @property
    def asked(self) -> bool:
        """Was a shutdown requested?"""
        return self._asked_at is not None

    def ask(self, why: str) -> None:
        """Request a shutdown without a signal."""
        if not self.asked:
            self._begin(why)

    def ending(self) -> None:
        """Everything is done. Threads that still run get the rest of the grace, or are named in the log."""
        self._ended_at = self._ended_at or time.monotonic()
        self.children.over()
        self._give_back = None
        self.signals.tell(0)

    def end(self, code: int, why: str) -> NoReturn:
        """End the process now, whatever still runs in it: no ``finally``, no ``atexit``."""
        logger.error("%s", why, extra={"action": "ended_by_force"})
        self._end(code)

    # ---- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            waits = self._asked_at is not None or self._ended_at is not None
            for number in self.signals.arrived(_LOOK if waits else None):
                self._signalled(number)
            self._look(time.monotonic())

    def _signalled(self, number: signal.Signals) -> None:
        if self._asked_at is None:
            self._begin(number.name)
        # The loss of a terminal may be signalled repeatedly.
        elif number != signal.SIGHUP and time.monotonic() - self._asked_at > _BLINK:
            logger.warning(
                "stopped at once by a second signal, %s", number.name, extra={"action": "stopped_at_once"}
            )
            self._end(AT_ONCE)

    def _begin(self, why: str) -> None:
        self._asked_at = time.monotonic()
        self.children.stopping()
        loop, stop = self._loop, self._stop
        if loop is None or stop is None:
            if self._ended_at is None:
                logger.info("%s: stopped before anything was begun", why, extra={"action": "stop"})
                self._end(0)
            return
        may = "may take as long as it likes" if self.grace is None else f"may take {self.grace:g} s"
        logger.info("%s: stopping, work in progress %s", why, may, extra={"action": "stop"})
        self._answered_at = self._asked_at
        if self.grace is not None and self._watches:
            self._arm(self.grace + LAST_WORD)
        self._call(loop, stop)

    def _look(self, now: float) -> None:
        """Is it time to end the process?"""
        if self._ended_at is not None:
            self._look_at_threads(now)
        elif self._asked_at is not None and self._loop is not None:
            self._look_at_loop(now, self._loop)

    def _look_at_loop(self, now: float, loop: asyncio.AbstractEventLoop) -> None:
        assert self._asked_at is not None
        self._call(loop, self._answer)
        blocked = now - self._answered_at > _BLOCKED
        if blocked:
            self._name(f"the stop waits for {self._place()}, which blocks the event loop")
        if self.grace is not None:
            if now > self._asked_at + self.grace:
                self.children.over()
            over = self._asked_at + self.grace + LAST_WORD + (0.0 if blocked else SETTLING)
            if now > over:
                self.signals.held = True  # the main thread must not go on meanwhile
                self.end(FORCED, f"the process is ended by force: {self._place()} does not end by itself")

    def _look_at_threads(self, now: float) -> None:
        assert self._ended_at is not None
        over = self._ended_at + LAST_WORD
        if now > over and self._asked_at is not None:
            if self.grace is None:
                self._name(f"the end of the process waits for {_threads() or 'what is to be closed'}")
                return
            over = max(over, self._asked_at + self.grace)
        if now > over:
            left = _threads() or f"{self._place()} still runs"
            self.end(self._code or FORCED, f"the process is ended by force: {left}")

    def _name(self, text: str) -> None:
        if text != self._named:
            self._named = text
            logger.warning("%s", text, extra={"action": "stop_waits"})

    def _answer(self) -> None:
        self._answered_at = time.monotonic()

    def _call(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:
            pass  # the loop has just been closed

    def _place(self) -> str:
        """The current line of the main thread, or its line in the definitions if it has one."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        return _place(frame) if frame is not None else "the main thread"

    def _arm(self, seconds: float) -> None:
        """For C code that keeps the interpreter lock: an alarm, at which a search by ``re`` gives up the lock.

        The last resort is a C thread, which ends the process even if Python cannot run any more.
        """
        signal.setitimer(signal.ITIMER_REAL, seconds + _LOOK)
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(seconds + SETTLING + LAST_WORD, exit=True, file=2)

    def _end(self, code: int) -> NoReturn:
        self.signals.held = True
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            try:
                give_back(_GIVE_BACK)
            except Exception as error:
                logger.error("what is in work is offered again at the next start: %s", error)
        for child in multiprocessing.active_children():
            child.kill()  # threads of pools, which would wait forever
        logging.shutdown()
        os._exit(code)


def _place(frame: FrameType) -> str:
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
    stack.reverse()
    found = trace.running_at(stack)
    return found or f"{trace.shown(stack[-1].filename)}:{stack[-1].lineno} in {stack[-1].name}"


def _threads() -> str:
    """The threads that Python would wait for at exit, each with its line."""
    frames = sys._current_frames()
    left = [
        f"thread {thread.name} at {_place(frames[thread.ident])}"
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and thread.ident in frames
    ]
    return f"{', '.join(left)} still runs" if left else ""
