"""Who has a database open, and the one who may change its tables while nobody else has.

Each process that opens it holds a lock on a file of its own, beside the database. A migration holds the gate
and looks at those files. Each takes its own lock first and looks at the other's then, so that of two who come
at once at least one sees the other. The system frees all of it when a process dies.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from framework.errors import CannotOpen
from framework.storage.sqlite.locks import Lock, Locks

_GATE = "migration"
_USER = "user-"


class Users:
    """This process's place among those who have the database open."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._own: tuple[Path, Lock] | None = None

    def enter(self) -> None:
        """Be seen as one who has the database open, until ``leave``. ``CannotOpen`` while tables are changed."""
        name = f"{_USER}{os.getpid()}-{secrets.token_hex(4)}"
        lock = self._locks.lock(name)
        self._own = self._locks.folder / f"{name}.lock", lock
        lock.acquire()
        lock.sign(f"{os.getpid()} {socket.gethostname()}")
        gate = self._locks.lock(_GATE)
        try:
            if not gate.try_share():
                pid = gate.signature().partition(" ")[0] or "?"
                raise CannotOpen(
                    f"process {pid} is changing the tables of the database; start again when it is done"
                )
        finally:
            gate.close()

    def leave(self) -> None:
        """It is closed; may be called twice."""
        own, self._own = self._own, None
        if own is not None:
            with suppress(OSError):
                own[0].unlink(missing_ok=True)
            own[1].close()

    def others(self) -> list[str]:
        """Who else has it open."""
        return sorted(self._others())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody opens the database while this lasts. ``CannotOpen`` names those who have it open."""
        gate = self._locks.lock(_GATE)
        try:
            free = gate.try_acquire()  # also not free for a moment while somebody enters
            others = self.others()
            if not free and not others:
                pid = gate.signature().partition(" ")[0] or "?"
                raise CannotOpen(f"process {pid} is changing the tables already; nothing was changed")
            gate.sign(f"{os.getpid()} {socket.gethostname()}")
            if others:
                raise CannotOpen(
                    f"the database is open in {', '.join(others)}: nothing was changed. Stop what runs on it, then "
                    "apply the migration"
                )
            yield
        finally:
            gate.close()

    def _others(self) -> Iterator[str]:
        """Those who have it open; what dead ones left is taken away."""
        for path in self._locks.folder.glob(f"{_USER}*.lock"):
            if self._own is not None and path == self._own[0]:
                continue
            try:
                probe = Lock(path, create=False)
            except FileNotFoundError:
                continue
            try:
                if probe.try_acquire():
                    path.unlink(missing_ok=True)  # one who is just taking it looks at the gate next
                else:
                    pid, _, host = probe.signature().partition(" ")
                    yield f"process {pid or '?'} on {host or 'this machine'}"
            finally:
                probe.close()
