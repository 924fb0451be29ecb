"""Fair turns of the writers of several processes, before SQLite is asked at all.

SQLite's own ``busy_timeout`` lets the one who asks at the right moment win, and starves others for
seconds. Here a writer first takes the lock ``next`` and then the lock ``turn``, and gives ``next`` away: so
whoever just wrote stands behind the one who waits. Both are freed by the system when their holder dies.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from framework.errors import Unavailable
from framework.storage.sqlite_locks import Lock, Locks

# A waiting writer looks again after this long, at first and at last (seconds).
_LOOK_FIRST = 0.00005
_LOOK_LAST = 0.002


class Turns:
    """One process's place among the writers. Used by the writer's thread alone."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._next: Lock | None = None
        self._turn: Lock | None = None
        self._signature = f"{os.getpid()} {socket.gethostname()}"

    def take(self, deadline: float) -> None:
        """Wait for this process's turn: from then on no other writes, until ``give``.

        ``Unavailable`` names who held on beyond ``deadline``, a time of ``time.monotonic()``; with one that
        has passed it is tried once.
        """
        if self._next is None or self._turn is None:
            self._next = self._locks.lock("writer-next")
            self._turn = self._locks.lock("writer-turn")
        turn = self._turn
        if not self._acquire(self._next, deadline):
            # Who was stopped while it waited holds up all behind it; else whoever writes does.
            free = turn.try_acquire()
            if free:
                turn.release()
            raise self._late(self._next if free else turn)
        try:
            self._next.sign(self._signature)
            if not self._acquire(turn, deadline):
                raise self._late(turn)
        finally:
            self._next.release()
        turn.sign(self._signature)

    def give(self) -> None:
        """The turn is over. Never raises: what was committed is committed."""
        if self._turn is not None:
            with suppress(OSError):
                self._turn.release()

    def close(self) -> None:
        """Close both files."""
        for lock in (self._next, self._turn):
            if lock is not None:
                lock.close()

    def _acquire(self, lock: Lock, deadline: float) -> bool:
        wait = _LOOK_FIRST
        while not lock.try_acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(wait)
            wait = min(wait * 1.5, _LOOK_LAST)
        return True

    def _late(self, lock: Lock) -> Unavailable:
        pid, _, host = lock.signature().partition(" ")
        return Unavailable(
            f"process {pid or '?'} on {host or 'this machine'} holds the database in a write and does not end it; "
            "nothing was written. It may be stopped or hang: look at it, and continue or end it"
        )
