"""Fair turns of the writers of several processes, before they ask SQLite at all.

With SQLite's own ``busy_timeout``, the process that asks at the right moment wins, and others starve for seconds.
Here a writer waits in the system's queue for the lock ``writer-next``, and then, holding it, for the lock
``writer-turn``. So the last writer queues behind the waiting one. The system releases both when their holder dies. A
wait in the system has no time limit. The callers of the units have one.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from framework.errors import CannotOpen, Unavailable
from framework.storage.sqlite import holders
from framework.storage.sqlite.locks import Lock, Locks

_LOOK_EVERY = 1.0  # seconds
_NEXT, _TURN = "writer-next", "writer-turn"
# Ends the signature of a process that has the turn but is itself blocked by another program. The next process
# inherits this mark with the turn, until SQLite lets it write.
_BLOCKED = b" blocked"


class Turns:
    """The turns of one process. Only the writer's thread calls ``take`` and ``give``."""

    def __init__(self, locks: Locks, database: str) -> None:
        self._locks = locks
        self._database = database
        self._next: Lock | None = None
        self._turn: Lock | None = None
        self._looked_at = 0.0
        self._blocked = False  # as far as we know
        host = socket.gethostname().encode(errors="replace")[:100]
        self._signature = b"%d %s" % (os.getpid(), host)

    def take(self) -> None:
        """Wait for this process's turn. From then on no other process writes until ``give``."""
        if self._next is None or self._turn is None or self._are_lost():
            self.close()
            self._next = self._locks.lock(_NEXT)
            self._turn = self._locks.lock(_TURN)
        self._next.acquire()
        try:
            if not self._turn.try_acquire():
                self._next.sign(self._signature)
                self._turn.acquire()
        finally:
            self._next.release()
        # Usually it is still our own, and reading costs less than writing.
        before = self._turn.signature()
        self._blocked = before.endswith(_BLOCKED)
        if before != self._signature:
            self._sign()

    def _are_lost(self) -> bool:
        """Are the files gone? Then others wait for new ones. Checked once a second, because only fairness is at
        stake."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at = now
        return any(lock is not None and lock.is_lost for lock in (self._next, self._turn))

    def give(self) -> None:
        """End the turn. Never raises, because what was committed stays committed."""
        if self._turn is not None:
            with suppress(OSError):
                self._turn.release()

    def late(self) -> Unavailable:
        """The error of a unit that has waited too long. It names the process that blocks all others."""
        try:
            holder = self._holder()
        except (OSError, CannotOpen):
            holder = b""
        pid, _, host = holder.decode(errors="replace").partition(" ")
        if holder.endswith(_BLOCKED):
            return self._held_by_another_program()
        if holder == self._signature:
            return Unavailable(
                "an earlier write of this same process takes too long, so this one was not written. "
                "The disk may be slow, or the machine busy"
            )
        return Unavailable(
            f"process {pid or '?'} on {host or 'this machine'} holds the database in a write and does not end it; "
            "nothing was written. It may be stopped or hang: look at it, and continue or end it"
        )

    def blocked(self) -> None:
        """We have the turn, and a program that takes no turns holds SQLite. Tell the waiting processes."""
        if not self._blocked:
            self._blocked = True
            self._sign()

    def free(self) -> None:
        """SQLite is no longer held."""
        if self._blocked:
            self._blocked = False
            self._sign()

    def _sign(self) -> None:
        if self._turn is not None:
            self._turn.sign(self._signature + (_BLOCKED if self._blocked else b""))

    def _held_by_another_program(self) -> Unavailable:
        who = [holders.named(pid) for pid in holders.writers(self._database)]
        find = f"`lsof {self._database}-shm` lists the processes that have it open"
        return Unavailable(
            f"another program than the framework holds a write transaction on the database, and does not end it: "
            f"{who[0] if who else find}; nothing was written. "
            "Let it commit or roll back (an sqlite3 shell, a script, a backup tool), or end it"
        )

    def close(self) -> None:
        """Close both files."""
        for lock in (self._next, self._turn):
            if lock is not None:
                lock.close()

    def _holder(self) -> bytes:
        """The signature of the process that has the turn, or of the next one, which does not take it.

        A signature that says "blocked" comes before both.
        """
        signature = b""
        for name in (_TURN, _NEXT):
            probe = self._locks.lock(name)  # new files, because the thread is waiting with the others
            try:
                signature = signature or probe.signature()
                if signature.endswith(_BLOCKED):
                    return signature
                if not probe.try_acquire():
                    return probe.signature()
            finally:
                probe.close()
        return signature
