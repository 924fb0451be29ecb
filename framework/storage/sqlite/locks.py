"""Locks that the system releases when a process dies, and that nobody can take from a live one.

Who owns items, which worker runs where, and who has the database open are locks on the database file itself:
``framework.storage.sqlite.ranges``. **A live owner is never taken for a dead one**, whatever becomes of the folder
beside the database: nothing is decided by a file that is there or not. The fair turns of writers are lock files in
that folder, since each holder leaves its name in them. They are only for fairness: SQLite's own lock decides.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from pathlib import Path

from framework.process import files
from framework.storage.sqlite.ranges import Ranges

# A standby checks this often whether the holder has died. Each check is a system call, far below 0.1 % of a core.
STANDBY_INTERVAL = 0.05

# The bytes: far beyond any content, and beyond the bytes that SQLite locks.
GATE = 1 << 62  # shared by all processes that have the database open, held exclusively to change its tables
_PROCESSES = GATE + (1 << 32)
_NAMES = GATE + (1 << 60)
_NAMES_BYTES = 7  # of a name's hash
PLACES = GATE + (1 << 59)
USERS = GATE + (1 << 61)
RESCUE = GATE + 1


class Lock:
    """An open lock file. Closing it frees the lock. In a forked child its file is closed at once."""

    __slots__ = ("__weakref__", "_fd", "_path")

    def __init__(self, path: Path, access: files.Access) -> None:
        self._path = path
        self._fd = files.open_beside(path, access)
        _open.add(self)

    @property
    def is_lost(self) -> bool:
        """Has its file been deleted or replaced? Then others wait for another one."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return True

    def acquire(self) -> None:
        """Take the lock. Waits for it in order of arrival, as long as it takes."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock. Returns False if another process holds it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock. The file stays open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sign(self, line: bytes) -> None:
        """Leave a line for the waiting processes. Only the holder may write it. It serves a message only, so it never
        raises."""
        with suppress(OSError):
            os.pwrite(self._fd, line.ljust(_SIGNATURE), 0)

    def signature(self) -> bytes:
        """The line of the last holder, stripped, or empty if it cannot be read."""
        try:
            return os.pread(self._fd, _SIGNATURE, 0).strip()
        except OSError:
            return b""

    def close(self) -> None:
        """Release the lock and close the file. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_SIGNATURE = 128  # bytes

_open: weakref.WeakSet[Lock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)


class Locks:
    """The locks of one user of an existing database. ``close`` them after the connections to it."""

    def __init__(self, database: str, *, look_only: bool = False) -> None:
        self._look_only = look_only  # only to see the holders; no lock is taken
        self.database = os.path.realpath(database)  # where the file lies
        self.folder = Path(self.database + ".run")

    @cached_property
    def access(self) -> files.Access:
        """The access of the files beside the database."""
        return files.Access.of(self.database)

    @cached_property
    def ranges(self) -> Ranges:
        """The lockable bytes of the database file."""
        return Ranges(self.database, look_only=self._look_only)

    def lock(self, name: str) -> Lock:
        """A lock file of this name, made if it is missing, not yet acquired. The caller closes it."""
        files.make_folder(self.folder, self.access)
        return Lock(self.folder / f"{name}.lock", self.access)

    def own(self, process: int) -> None:
        """Take the lock of this process's number."""
        if not self.ranges.try_acquire(_PROCESSES + process):
            raise RuntimeError(f"the lock of process {process} is held by another")

    def alive(self, process: int) -> bool:
        """Does the process with this number still run? It holds its lock until it dies."""
        return bool(self.ranges.holders(_PROCESSES + process))

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of this name. Waits until its holder releases it or dies."""
        byte = _NAMES + int.from_bytes(hashlib.sha256(name.encode()).digest()[:_NAMES_BYTES], "big")
        while not self.ranges.try_acquire(byte):  # noqa: ASYNC110 - a file cannot wake a task
            await asyncio.sleep(STANDBY_INTERVAL)
        try:
            yield
        finally:
            self.ranges.release(byte)

    def close(self) -> None:
        """Release all locks. May be called twice."""
        if "ranges" in self.__dict__:
            self.ranges.close()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
