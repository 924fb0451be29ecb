"""Locks that the system frees when a process dies: files beside the database, held by ``flock``.

Each process that takes items has a file named by its number; whoever can lock that file knows that
its owner is dead. Nothing is ever taken from a live owner because time has passed. A lock is not
carried into a forked child: there its file is closed at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

# A standby looks this often whether the holder has died: a syscall each, far below 0.1 % of a core.
STANDBY_INTERVAL = 0.05


class Lock:
    """An open lock file. Closing it frees the lock."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, path: Path, *, create: bool) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        _open.add(self)

    def acquire(self) -> None:
        """Take the lock; waits for it in the order of coming, for as long as it takes."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock; False if another holds it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def try_share(self) -> bool:
        """Take the lock beside others who share it; False if one holds it alone."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give the lock away; the file stays open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sign(self, text: str) -> None:
        """Leave a line for those who wait; the holder's to write. It serves a message only: it never raises."""
        with suppress(OSError):
            os.pwrite(self._fd, text.encode()[:_SIGNATURE].ljust(_SIGNATURE), 0)

    def signature(self) -> str:
        """What the last holder left."""
        return os.pread(self._fd, _SIGNATURE, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """Free the lock and close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_SIGNATURE = 128  # bytes

_open: weakref.WeakSet[Lock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)


def _try_lock(path: Path, *, create: bool) -> Lock | None:
    """The locked file, or None if another holds it. ``FileNotFoundError`` when it must exist and does not."""
    lock = Lock(path, create=create)
    if lock.try_acquire():
        return lock
    lock.close()
    return None


class Locks:
    """The lock files of one database, in the folder ``DATABASE.run`` beside its real path."""

    def __init__(self, database: str) -> None:
        self.folder = Path(os.path.realpath(database) + ".run")
        self._own: dict[int, Lock] = {}

    def lock(self, name: str) -> Lock:
        """A lock file of this name, made if it is missing; not yet acquired. The caller closes it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return Lock(self.folder / f"{name}.lock", create=True)

    def own(self, process: int) -> None:
        """Take the lock of this process's number."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        held = _try_lock(self._process_file(process), create=True)
        if held is None:
            raise RuntimeError(f"the lock of process {process} is held by another")
        self._own[process] = held

    def alive(self, process: int) -> bool:
        """Does the process with this number still run? It holds its lock until it dies."""
        if process in self._own:
            return True
        try:
            held = _try_lock(self._process_file(process), create=False)
        except FileNotFoundError:
            return False
        if held is None:
            return True
        held.close()
        return False

    def forget(self, process: int) -> None:
        """Remove the file of a dead process."""
        self._process_file(process).unlink(missing_ok=True)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of this name; waits until its holder lets go or dies."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.folder / f"alone-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
        while (held := _try_lock(path, create=True)) is None:  # noqa: ASYNC110 - a file cannot wake a task
            await asyncio.sleep(STANDBY_INTERVAL)
        try:
            yield
        finally:
            held.close()

    def close(self) -> None:
        """Free all locks of this process and remove their files."""
        for process, held in self._own.items():
            self.forget(process)
            held.close()
        self._own.clear()

    def _process_file(self, process: int) -> Path:
        return self.folder / f"process-{process}.lock"
