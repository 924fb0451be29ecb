"""Is the database still the one that was opened? Somebody may delete, move or replace its files under us.

SQLite itself goes on: what is written then lands in a file that nobody finds again. So the files are compared with
their names about once a second, and the database after each commit before it is answered. The rule: **nothing is
answered that was stored in lost files.** What they hold is put where it can be found, see
``framework.storage.sqlite.rescue``.
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
    LOG_LOST = auto()  # the database file is there, nobody can have written to it, and we have its log
    LOG_REPLACED = auto()  # others may have written what does not go together with what we have open
    OVERWRITTEN = auto()  # the content is another one, and what we have open is a mixture
    UNLOCKED = auto()  # the files are as they were, and the locks of this process on them are gone


class Lost(DatabaseLost):
    """What of the files is lost, as a sentence, and its fate."""

    def __init__(self, message: str, fate: Fate) -> None:
        super().__init__(message)
        self.fate = fate


class Identity:
    """The files of one open database, and whether their names still lead to them. Used by any thread."""

    def __init__(self, path: str, ranges: Ranges) -> None:
        self.path = os.path.abspath(path)  # the working folder may change
        self._ranges = ranges
        self._names: tuple[str, ...] = ()
        self._files: list[File | None] = []
        self._versions: set[bytes] = set()
        self.lost: Lost | None = None

    def remember(self, version: int) -> None:
        """What SQLite has opened just now. ``version`` is ``content_version``, which may still be in the log."""
        self._names = self._names_now()
        self._files = [_file(name) for name in self._names]
        self._versions = {version.to_bytes(4, "big"), self._ranges.header(_HEADER)[_VERSION]}
        if self._files[0] != _number(self._ranges.stat()):
            raise CannotOpen(f"the database {self.path} was replaced while it was opened: start again")

    def check_database(self) -> Lost | None:
        """Compare the database alone: one look, cheap enough for every commit."""
        if self.lost is None and self._files:
            try:
                found = os.stat(self.path)
                if (found.st_dev, found.st_ino) == self._files[0]:
                    return None
            except OSError:
                pass  # it is not there, or it cannot be told
        return self.check()

    def check(self) -> Lost | None:
        """Compare the names with the files: three looks at a folder."""
        if self.lost is None and self._files:
            try:
                if [_file(name) for name in self._names] != self._files:
                    self.lost = self._examine()
            except OSError:
                pass  # it cannot be told: a folder that may not be entered any more, say
        return self.lost

    def check_content(self) -> Lost | None:
        """``check``, whether the content was overwritten in place, and whether our locks still hold."""
        if self.check() is None and self._files:
            try:
                self.lost = self._unlocked() or (self._overwritten() if self._is_overwritten() else None)
            except OSError:
                pass  # it cannot be told: a disk that does not answer, say
        return self.lost

    def _examine(self) -> Lost | None:
        """What is wrong; nothing, when the files were moved and a link leads to all of them."""
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
    """The number that tells this content from that of its copies; given to one that has none."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if not version:
        version = new_version()
        connection.execute(f"PRAGMA user_version = {version}")
    return int(version)


def new_version() -> int:
    return secrets.randbits(31) | 1


def renumber(file: str | os.PathLike[str]) -> None:
    """Make a closed copy of a database tell that it is a copy."""
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
