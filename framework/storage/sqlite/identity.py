"""Is the database still the one that was opened? Its files may be deleted, moved or replaced while it is open.

SQLite itself goes on, and writes to a file that nobody finds again. So the files are compared with their names about
once a second, and the database after each commit before the answer. The rule: **nothing is answered that was stored
in lost files.** ``framework.storage.sqlite.rescue`` saves their content.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from enum import Enum, auto

from framework.errors import CannotOpen, DatabaseLost
from framework.storage.sqlite.ranges import Ranges

# https://www.sqlite.org/fileformat.html: the header, and in it the user version, which is ours to choose.
_MAGIC = b"SQLite format 3\0"
_VERSION = slice(60, 64)
_HEADER = 100

File = tuple[int, int]  # device and inode


class Fate(Enum):
    """What became of the files, by what can be done."""

    MOVED = auto()  # all of them together: nothing is lost
    LOST = auto()  # what we have open is the last that holds everything
    LOG_LOST = auto()  # the database file is there, nobody could have written to it, and we have its log
    LOG_REPLACED = auto()  # others may have written content that conflicts with what we have open
    OVERWRITTEN = auto()  # the content was replaced, and what we have open is a mixture
    UNLOCKED = auto()  # the files are as they were, and the locks of this process on them are gone


class Lost(DatabaseLost):
    """Which files are lost, as a sentence, and the consequence."""

    def __init__(self, message: str, fate: Fate) -> None:
        super().__init__(message)
        self.fate = fate


class Identity:
    """The files of one open database, and whether their names still lead to them. Usable from any thread."""

    def __init__(self, path: str, ranges: Ranges) -> None:
        self.path = os.path.abspath(path)  # the working folder may change
        self._ranges = ranges
        self._names: tuple[str, ...] = ()
        self._files: list[File | None] = []
        self._versions: set[bytes] = set()
        self.lost: Lost | None = None

    def remember(self, version: int) -> None:
        """Note the files that SQLite has just opened. ``version`` is ``content_version``, which may still be in the
        log."""
        self._names = self._names_now()
        self._files = [_file(name) for name in self._names]
        self._versions = {version.to_bytes(4, "big"), self._ranges.header(_HEADER)[_VERSION]}
        if self._files[0] != _number(self._ranges.stat()):
            raise CannotOpen(f"the database {self.path} was replaced while it was opened: start again")

    def check_database(self) -> Lost | None:
        """Compare the database file only: one system call, cheap enough for every commit."""
        if self.lost is None and self._files:
            try:
                found = os.stat(self.path)
                if (found.st_dev, found.st_ino) == self._files[0]:
                    return None
            except OSError:
                pass  # it is missing, or that is unknown
        return self.check()

    def check(self) -> Lost | None:
        """Compare the names with the files: three system calls."""
        if self.lost is None and self._files:
            try:
                if [_file(name) for name in self._names] != self._files:
                    self.lost = self._examine()
            except OSError:
                pass  # unknown, for example because the folder can no longer be entered
        return self.lost

    def check_content(self) -> Lost | None:
        """``check``, whether the content was overwritten in place, and whether our locks still hold."""
        if self.check() is None and self._files:
            try:
                self.lost = self._unlocked() or (self._overwritten() if self._is_overwritten() else None)
            except OSError:
                pass  # unknown, for example because the disk does not answer
        return self.lost

    def _examine(self) -> Lost | None:
        """What is wrong, or nothing if the files were moved and a link leads to all of them."""
        now = _file(self.path)
        if now != self._files[0]:
            return self._database_lost(now)
        if self._is_overwritten():
            return self._overwritten()
        names = self._names_now()
        for name, file in zip(names[1:], self._files[1:], strict=True):
            now = _file(name)
            if now != file:
                safe = name == names[1] and _is_empty(name) and _file(names[2]) == self._files[2]
                what = "was deleted or moved away" if now is None else "was replaced by another file"
                return Lost(f"{name} {what}", Fate.LOG_LOST if safe else Fate.LOG_REPLACED)
        self._names = names
        return None

    def _database_lost(self, now: File | None) -> Lost:
        place = self._ranges.place()
        fate = Fate.LOST
        if self._ranges.stat().st_nlink == 0:
            what = "was deleted"
        else:
            what = f"was moved to {place}" if place else "was moved away"
            if place is not None and [_file(place), _file(f"{place}-wal")] == self._files[:2]:
                fate = Fate.MOVED
        if now is not None:
            what += ", and another file is in its place"
        return Lost(f"the database {self.path} {what}", fate)

    def _unlocked(self) -> Lost | None:
        if self._ranges.hold():
            return None
        return Lost(
            f"a script or a library has closed the descriptor by which this process has the database {self.path} "
            "locked (it closed numbers that it had not opened, as os.closerange does)",
            Fate.UNLOCKED,
        )

    def _is_overwritten(self) -> bool:
        header = self._ranges.header(_HEADER)
        return not header.startswith(_MAGIC) or header[_VERSION] not in self._versions

    def _overwritten(self) -> Lost:
        return Lost(f"the content of the database {self.path} was overwritten", Fate.OVERWRITTEN)

    def _names_now(self) -> tuple[str, ...]:
        real = os.path.realpath(self.path)
        return (self.path, f"{real}-wal", f"{real}-shm")


def content_version(connection: sqlite3.Connection) -> int:
    """The number that distinguishes this content from its copies. It is assigned if it is missing."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if not version:
        version = new_version()
        connection.execute(f"PRAGMA user_version = {version}")
    return int(version)


def new_version() -> int:
    return secrets.randbits(31) | 1


def renumber(file: str | os.PathLike[str]) -> None:
    """Mark a closed copy of a database as a copy."""
    number = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.pwrite(number, new_version().to_bytes(4, "big"), _VERSION.start)
    finally:
        os.close(number)


def _file(name: str) -> File | None:
    try:
        return _number(os.stat(name))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_empty(log: str) -> bool:
    """Has nobody written to it? Whoever opens a database without its log makes an empty one, and fails."""
    try:
        return os.stat(log).st_size == 0
    except FileNotFoundError:
        return True


def _number(found: os.stat_result) -> File:
    return found.st_dev, found.st_ino
