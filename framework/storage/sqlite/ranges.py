"""Locks on single bytes of the database file, far beyond its content. The system releases them with their process.

They are bound to the file itself. They can be lost only with the database, whatever becomes of its folder of sockets
and by whatever name it is opened. They are *open file description* locks if the system has those (Linux, macOS).
SQLite's own locks are at other bytes.

The rule: **the descriptor is closed last.** Closing any descriptor of the file drops the locks that SQLite holds for
this process. So all users of one file share one descriptor until the last of them has closed it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading

_DARWIN = sys.platform == "darwin"
_SETLK = getattr(fcntl, "F_OFD_SETLK", 90 if _DARWIN else fcntl.F_SETLK)
_GETLK = getattr(fcntl, "F_OFD_GETLK", 92 if _DARWIN else fcntl.F_GETLK)
_GETPATH = 50  # F_GETPATH of macOS
_BUSY = (BlockingIOError, PermissionError)  # EAGAIN or EACCES, depending on the system
_ALONE = -1
_MARK = 0x4D61726B  # the position of our descriptor: nobody reads or writes at it, and a new one has another


class Ranges:
    """The lockable bytes of one file, for one user in this process. ``close`` it after SQLite."""

    def __init__(self, path: str, *, look_only: bool = False) -> None:
        with _guard:
            self._file = _shared(path, os.O_RDONLY if look_only else os.O_RDWR)
            self._file.users += 1
        self._held: set[int] = set()
        self._open = True

    def try_acquire(self, byte: int, *, shared: bool = False) -> bool:
        """Take the exclusive or shared lock of a byte. Returns False if another lock prevents it."""
        if byte in self._held or not self._file.try_acquire(byte, shared=shared):
            return False
        self._held.add(byte)
        return True

    def release(self, byte: int) -> None:
        """Release a lock that we hold."""
        if byte in self._held:
            self._held.discard(byte)
            self._file.release(byte)

    def holds(self, byte: int) -> bool:
        """Do we ourselves hold it?"""
        return byte in self._held

    def holders(self, first: int, length: int = 1) -> list[int]:
        """The bytes in a range that are locked, including by ourselves."""
        return self._file.holders(first, length)

    def hold(self) -> bool:
        """Do our locks still hold? They are gone if code in this process has closed the descriptor."""
        return self._file.is_ours()

    def stat(self) -> os.stat_result:
        """The opened file, wherever its name now points."""
        return os.fstat(self._file.number)

    def place(self) -> str | None:
        """The current path of the file, if the system knows it."""
        try:
            if _DARWIN:
                return fcntl.fcntl(self._file.number, _GETPATH, bytes(1024)).rstrip(b"\0").decode()
            return os.readlink(f"/proc/self/fd/{self._file.number}")
        except (OSError, ValueError):
            return None

    def header(self, size: int) -> bytes:
        """The first bytes of the file on the disk, bypassing SQLite."""
        return os.pread(self._file.number, size, 0)

    def close(self) -> None:
        """Release everything that we hold. May be called twice."""
        for byte in list(self._held):
            self.release(byte)
        if self._open:
            self._open = False
            self._file.leave()


class _File:
    """One file and its descriptor, and which user in this process holds which byte, because the system does not
    distinguish them."""

    def __init__(self, number: int, key: tuple[int, int]) -> None:
        self.number = number
        self.users = 0
        self._key = key
        self._bytes: dict[int, int] = {}  # how many share it, or _ALONE

    def try_acquire(self, byte: int, *, shared: bool) -> bool:
        with _guard:
            mine = self._bytes.get(byte, 0)
            if mine == _ALONE or (mine and not shared):
                return False
            if not mine and not self._lock(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, byte):
                return False
            self._bytes[byte] = mine + 1 if shared else _ALONE
            return True

    def release(self, byte: int) -> None:
        with _guard:
            mine = self._bytes.pop(byte, 0)
            if mine > 1:
                self._bytes[byte] = mine - 1
            elif mine:
                self._lock(fcntl.F_UNLCK, byte)

    def holders(self, first: int, length: int) -> list[int]:
        with _guard:
            found = {byte for byte in self._bytes if first <= byte < first + length}
        parts = [(first, length)]
        while parts:  # the system reports one lock at a time, in no order
            start, size = parts.pop()
            answer = fcntl.fcntl(self.number, _GETLK, _packed(fcntl.F_WRLCK, start, size))
            kind, at, count = _unpacked(answer)
            if kind == fcntl.F_UNLCK:
                continue
            end = min(at + count, start + size)
            at = max(at, start)
            found.update(range(at, end))
            parts += [
                (begin, stop - begin) for begin, stop in ((start, at), (end, start + size)) if stop > begin
            ]
        return sorted(found)

    def is_ours(self) -> bool:
        """Whether the descriptor is still the one with the locks. Another one of the same number is never used."""
        with _guard:
            if self.number >= 0 and not self._is_marked():
                _files.pop(self._key, None)
                self.number = -1
            return self.number >= 0

    def _is_marked(self) -> bool:
        """The same file, opened again, may have the same number. It has no locks, and its position differs."""
        try:
            found = os.fstat(self.number)
            return (found.st_dev, found.st_ino) == self._key and os.lseek(
                self.number, 0, os.SEEK_CUR
            ) == _MARK
        except OSError:
            return False

    def leave(self) -> None:
        with _guard:
            self.users -= 1
            if self.users == 0 and self.number >= 0:
                _files.pop(self._key, None)
                os.close(self.number)
                self.number = -1

    def _lock(self, kind: int, byte: int) -> bool:
        if self.number < 0:
            return kind == fcntl.F_UNLCK  # in a forked child: the locks belong to the parent
        try:
            fcntl.fcntl(self.number, _SETLK, _packed(kind, byte, 1))
        except _BUSY:
            return False
        return True


_files: dict[tuple[int, int], _File] = {}  # the process's own, as SQLite keeps its open files
_guard = threading.RLock()


def _shared(path: str, mode: int) -> _File:
    """The file, opened only if this process has not already done so, because closing a second descriptor does
    harm."""
    with _guard:
        found = os.stat(path)
        known = _files.get((found.st_dev, found.st_ino))
        if known is not None:
            return known
        number = os.open(path, mode | os.O_CLOEXEC)
        os.lseek(number, _MARK, os.SEEK_SET)
        found = os.fstat(number)
        key = found.st_dev, found.st_ino
        return _files.setdefault(key, _File(number, key))


def _packed(kind: int, start: int, length: int) -> bytes:
    """``struct flock`` of <fcntl.h>."""
    if _DARWIN:
        return struct.pack("qqihh", start, length, 0, kind, os.SEEK_SET)
    return struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0)


def _unpacked(answer: bytes) -> tuple[int, int, int]:
    if _DARWIN:
        start, length, _, kind, _ = struct.unpack_from("qqihh", answer)
    else:
        kind, _, start, length, _ = struct.unpack_from("hhqqi", answer)
    return kind, start, length


def _leave_to_parent() -> None:
    global _guard
    _guard = threading.RLock()  # another thread of the parent may have held it
    for file in _files.values():
        os.close(file.number)
        file.number = -1
    _files.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
