"""The processes that have a database open, and the exclusive right to change its tables.

Each process that opens it shares the lock of the gate, and holds a lock whose position encodes its process number. A
migration holds the gate exclusively. The system releases everything when a process dies, so nothing is left behind.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from framework.errors import CannotOpen
from framework.storage.sqlite import earlier
from framework.storage.sqlite.locks import GATE, PLACES, USERS, Locks

_RANDOM = 24  # bits below the process number: it is not unique across containers, nor within a process
_LARGEST = 1 << 32  # process numbers are below
_MIGRATING = USERS + (_LARGEST << _RANDOM)
_PLACE_BYTES = 6  # of a place's hash


class Users:
    """This process among those that have the database open."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._byte: int | None = None
        self._place: int | None = None

    def enter(self) -> None:
        """Announce that this process has the database open, until ``leave``.

        Raises ``CannotOpen`` while tables are being changed, or while the database is open by another name or in a
        process of an earlier version.
        """
        self._stand()
        self.require_no_earlier()
        ranges = self._locks.ranges
        byte = _byte(USERS)
        ranges.try_acquire(byte)
        self._byte = byte
        if not ranges.try_acquire(GATE, shared=True):
            raise CannotOpen(
                f"process {self._migrating()} is changing the tables of the database; start again when it is done"
            )

    def _stand(self) -> None:
        """Record the folder and the name by which it is open, because SQLite's log lies only there."""
        ranges, mine = self._locks.ranges, _place(self._locks.database)
        if ranges.try_acquire(mine, shared=True):
            self._place = mine
        if any(other != mine for other in ranges.holders(PLACES, 1 << 8 * _PLACE_BYTES)):
            raise CannotOpen(
                f"the database {self._locks.database} is open by another name, a hard link or a mount of the file "
                "alone, and its write-ahead log lies beside that name: use the same name, or mount the folder"
            )

    def require_no_earlier(self) -> None:
        """Raises ``CannotOpen`` while a process of an earlier version has it open. Call it again once the trigger
        exists that keeps them out, because one may have opened it in between.
        """
        earlier.require_none(self._locks.folder, self._locks.access)

    def leave(self) -> None:
        """Announce that it is closed. May be called twice."""
        place, self._place = self._place, None
        if place is not None:
            self._locks.ranges.release(place)
        byte, self._byte = self._byte, None
        if byte is not None:
            self._locks.ranges.release(GATE)
            self._locks.ranges.release(byte)

    def others(self) -> list[str]:
        """The other processes that have it open."""
        own = () if self._byte is None else (self._byte,)
        return [f"process {number}" for number in self._holders(USERS, own)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process opens the database during the block. Raises ``CannotOpen``, which names those that have it
        open."""
        ranges = self._locks.ranges
        byte = _byte(_MIGRATING)
        try:
            self._stand()
            self.require_no_earlier()
            if not ranges.try_acquire(GATE):
                raise CannotOpen(self._in_the_way())
            ranges.try_acquire(byte)
            yield
        finally:
            ranges.release(byte)
            ranges.release(GATE)
            self.leave()

    def _in_the_way(self) -> str:
        others = self.others()
        if not others:
            return f"process {self._migrating()} is changing the tables already; nothing was changed"
        return (
            f"the database is open in {', '.join(others)}: nothing was changed. Stop what runs on it, then apply "
            "the migration"
        )

    def _migrating(self) -> str:
        return ", ".join(map(str, self._holders(_MIGRATING))) or "?"

    def _holders(self, first: int, but: Collection[int] = ()) -> list[int]:
        """The process numbers of the holders of locks in a range."""
        held = self._locks.ranges.holders(first, _LARGEST << _RANDOM)
        return sorted({(byte - first) >> _RANDOM for byte in held if byte not in but})


def missing_log(path: str, others: Sequence[str] | None = None) -> str | None:
    """What is wrong if a database cannot be read because its log was deleted while processes have it open."""
    real = os.path.realpath(path)
    with suppress(FileNotFoundError):
        if os.path.getsize(f"{real}-wal"):  # the process that could not read it has made an empty one
            return None
    if not os.path.exists(f"{real}-shm"):
        return None
    if others is None:
        with Locks(real, look_only=True) as locks:
            others = Users(locks).others()
    if not others:
        return None
    named = ", ".join(others)
    return (
        f"the write-ahead log {real}-wal was deleted while {named} has the database open, and still has the log. "
        "A server notices it, writes what it holds into the database file and ends; then start it again"
    )


def _place(database: str) -> int:
    """The byte of the folder and the name, the same for all paths that lead there."""
    folder, name = os.path.split(database)
    found = os.stat(folder)
    place = f"{found.st_dev} {found.st_ino} {name}"
    return PLACES + int.from_bytes(
        hashlib.sha256(place.encode(errors="surrogateescape")).digest()[:_PLACE_BYTES], "big"
    )


def _byte(first: int) -> int:
    """A byte of our own that encodes our process number."""
    return first + (os.getpid() << _RANDOM) + secrets.randbits(_RANDOM)
