"""What a process that a script has forked off keeps of the server, and what it must not keep.

The one rule: **a signal to a child is never a signal to the server.** A child leaves the server's pipe of signals
alone and dies by a signal that is meant for it. A signal to the whole process group or control group reaches the
server too, which then stops: the child goes on with its work until the grace is over, so that what waits for it can
end. Which of both it is tells a page of memory that a fork shares.
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

_WAIT = 0.2  # seconds that a child waits to see whether the server was told as well
_TOGETHER = 0.5  # seconds between the arrivals of one signal at two members of a group, at most
_LOOK = 0.05
_RETURNED = b"""a child of os.fork() came back to the server's event loop and was ended: end it by os._exit()
"""
_ASKED_AT = struct.Struct("d")
_OVER = _ASKED_AT.size


class Children:
    """The forked children of this process, as far as its stop concerns them."""

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
        """The server was asked to stop just now."""
        _ASKED_AT.pack_into(self._page, 0, time.monotonic())

    def over(self) -> None:
        """The grace is over, or nothing needs it any more."""
        self._page[_OVER] = 1

    def listens(self, port: int) -> None:
        """The server's address: a child that kept a connection would keep its client waiting for the end."""
        self._ports.add(port)

    # ---- in a child -------------------------------------------------------------------------

    def forked(self) -> None:
        """This process is a new child: its signals are its own, and the server's connections are not."""
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
        """Was the server told to stop by the same signal, and may its work in progress still end?"""
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
        """End this process with the grace, or with the server."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._until_over, name="framework-child", daemon=True).start()

    def _until_over(self) -> None:
        while not self._page[_OVER] and os.getppid() == self._parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), signal.SIGKILL)


def _end_on_return() -> None:
    """This child runs the server's event loop: its script has gone on after `os.fork` as if nothing had been."""
    with suppress(OSError):
        os.write(2, _RETURNED)
    os._exit(1)


def _close_connections(port: int) -> None:
    """Close the listening socket and each connection that it has taken, by the port on our side."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError, ValueError):
            if _port(int(name)) == port:
                os.close(int(name))


def _port(number: int) -> int | None:
    """Our port of an IP socket; ``OSError`` when the file is no socket."""
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
