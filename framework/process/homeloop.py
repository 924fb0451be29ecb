"""The event loop to which an object belongs. The object works only there.

A call from a loop of another thread or of a forked child would fail when it is half done, or never end. So it is
refused before it begins. The thread identifies the loop, because it runs no other one meanwhile, and asking asyncio
for the running loop costs a system call.
"""

from __future__ import annotations

import os
import threading
import weakref

from framework.errors import WrongLoop

_NOBODY = -1  # no thread has this number


class HomeLoop:
    """The event loop of the thread in which this is made."""

    __slots__ = ("__weakref__", "_thread")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        _all.add(self)

    def require(self) -> None:
        """``WrongLoop`` for a caller on another event loop."""
        if threading.get_ident() != self._thread:
            raise WrongLoop(_in_child() if self._thread == _NOBODY else _in_thread())

    def leave(self) -> None:
        """We are in a forked child: the loop and the threads behind it have stayed in the parent."""
        self._thread = _NOBODY


def _in_thread() -> str:
    return (
        f"called on another event loop, in the thread {threading.current_thread().name!r}: the database, its FIFOs "
        "and callouts belong to the server's event loop; nothing was done. Take `loop = asyncio.get_running_loop()` "
        "in the script, and in the thread call `asyncio.run_coroutine_threadsafe(CALL, loop).result()`"
    )


def _in_child() -> str:
    return (
        f"called in the forked process {os.getpid()}: the database, its FIFOs and callouts stay with the server's "
        "process; nothing was done. Return the result to the script that started the process, and call there"
    )


_all: weakref.WeakSet[HomeLoop] = weakref.WeakSet()


def _leave_in_child() -> None:
    for home in list(_all):
        home.leave()


os.register_at_fork(after_in_child=_leave_in_child)
