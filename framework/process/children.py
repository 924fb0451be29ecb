"""What a process that a script has forked inherits from the server, and what it must give up.

The one rule: **a signal to a child is never a signal to the server.** A child does not touch the server's signal
pipe, and a signal that is meant for it ends it. A signal to the whole process group or control group also reaches the
server, which then stops. In that case the child works on until the grace is over, so that code which waits for it can
finish. A shared memory page tells the two cases apart.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import struct
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

_WAIT = 0.2  # seconds that a child waits to see whether the server got the signal as well
_TOGETHER = 0.5  # the longest time in seconds between the arrivals of one signal at two members of a group
_LOOK = 0.05
_RETURNED = b"""a child of os.fork() came back to the server's event loop and was ended: end it by os._exit()
"""
_ASKED_AT = struct.Struct("d")
_OVER = _ASKED_AT.size


class Children:
    """The forked children of this process, as far as its shutdown concerns them."""

    def __init__(self, signals: Sequence[signal.Signals]) -> None:
        self._signals = signals
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._parent = os.getpid()
        self._watched = False
        self._ports: set[int] = set()
        self.loop: asyncio.AbstractEventLoop | None = None  # the server's
        _all.add(self)

    # ---- in the server ----------------------------------------------------------------------

    def stopping(self) -> None:
        """The server has just been asked to stop."""
        _ASKED_AT.pack_into(self._page, 0, time.monotonic())

    def over(self) -> None:
        """The grace is over, or no longer needed."""
        self._page[_OVER] = 1

    def listens(self, port: int) -> None:
        """Set the server's address. A child that kept a connection would make its client wait for the end of it."""
        self._ports.add(port)

    # ---- in a child -------------------------------------------------------------------------

    def forked(self) -> None:
        """Set up a new child: it handles its own signals, and closes the server's connections."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, self._on_signal)
            signal.siginterrupt(number, False)
        for port in self._ports:
            _close_connections(port)
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon(_end_on_return)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._for_the_group():
            self._watch()
            return
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _for_the_group(self) -> bool:
        """Did the same signal tell the server to stop, and may work in progress still end?"""
        came = time.monotonic()
        while True:
            if self._page[_OVER] or os.getppid() != self._parent:
                return False
            [asked_at] = _ASKED_AT.unpack_from(self._page)
            if asked_at:
                return bool(abs(came - asked_at) < _TOGETHER)
            if time.monotonic() - came > _WAIT:
                return False
            time.sleep(_LOOK / 5)

    def _watch(self) -> None:
        """End this process when the grace is over or the server ends."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._until_over, name="framework-child", daemon=True).start()

    def _until_over(self) -> None:
        while not self._page[_OVER] and os.getppid() == self._parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), signal.SIGKILL)


def _end_on_return() -> None:
    """This child runs the server's event loop: its script went on after `os.fork` as if nothing had happened."""
    with suppress(OSError):
        os.write(2, _RETURNED)
    os._exit(1)


def _close_connections(port: int) -> None:
    """Close the listening socket and each accepted connection, recognized by the local port."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError, ValueError):
            if _port(int(name)) == port:
                os.close(int(name))


def _port(number: int) -> int | None:
    """The local port of an IP socket. Raises ``OSError`` if the file is not a socket."""
    found = socket.socket(fileno=number)
    try:
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        own: int = found.getsockname()[1]
        return own
    finally:
        found.detach()


_all: weakref.WeakSet[Children] = weakref.WeakSet()


def _forked() -> None:
    for children in list(_all):
        children.forked()


os.register_at_fork(after_in_child=_forked)
