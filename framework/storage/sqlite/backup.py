"""A copy of a SQLite database that is in use: ``VACUUM INTO`` a file beside the target, then a rename.

The one rule: **the target is the old file or the whole copy, at every moment**, also at a power cut.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from framework.errors import CannotOpen, Unavailable
from framework.process import files
from framework.storage.sqlite.errors import reason_for
from framework.storage.sqlite.identity import renumber
from framework.storage.sqlite.users import missing_log

_WAIT = 10.0  # seconds that a lock of another process is waited for


async def backup(path: str, file: str) -> None:
    """Copy the database ``path`` to ``file``. Raises ``Unavailable`` with the reason, and then leaves nothing
    behind."""
    files.require_database(path)
    with _appearing(path, file, files.Access.own()) as part:
        await _copy(path, part)


def copy(path: str, file: str) -> None:
    """A copy beside the database, for the same users. For callers without an event loop."""
    with (
        _appearing(path, file, files.Access.of(path)) as part,
        closing(connect(path, "rw", timeout=_WAIT)) as connection,
    ):
        connection.execute("VACUUM INTO ?", (str(part),))


@contextmanager
def _appearing(path: str, file: str, access: files.Access) -> Iterator[Path]:
    """A file beside ``file`` that replaces it once the block has filled it."""
    target = Path(file)
    _require_place(Path(path), target)
    try:
        with files.replacing(target, access) as part:
            yield part
            renumber(part)
            sync(part)
        sync(target.parent)
    except sqlite3.Error as error:
        reason = missing_log(path) or reason_for(error) or error
        raise Unavailable(f"no backup {file} was made: {reason} ({error})") from error
    except OSError as error:
        raise Unavailable(f"no backup {file} was made: {error.strerror or error}") from error


async def _copy(path: str, part: Path) -> None:
    """Run it in a thread, so that the event loop is free. Cancelling the caller ends the copy."""
    connection = connect(path, "rw", timeout=_WAIT)
    try:
        copying = asyncio.create_task(
            asyncio.to_thread(_execute(connection, "VACUUM INTO ?", str(part))), name="backup"
        )
        try:
            await asyncio.shield(copying)
        except asyncio.CancelledError:
            connection.interrupt()
            await asyncio.wait({copying})
            copying.exception()
            raise
    finally:
        connection.close()


def _execute(connection: sqlite3.Connection, sql: str, *values: Any) -> Callable[[], Any]:
    return lambda: connection.execute(sql, values)


def connect(path: str, mode: str, *, timeout: float) -> sqlite3.Connection:
    """A connection to an existing database. It never creates one."""
    uri = f"file:{quote(os.path.abspath(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _require_place(database: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise CannotOpen(f"no backup {target} was made: the folder {target.parent} does not exist")
    if target.is_dir():
        raise CannotOpen(f"no backup {target} was made: it is a folder, not a file")
    for own in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal"))):
        if _same(own, target):
            raise CannotOpen(f"no backup {target} was made: it is a file of the database itself")


def _same(own: Path, target: Path) -> bool:
    if os.path.realpath(own) == os.path.realpath(target):
        return True
    return own.exists() and target.exists() and os.path.samefile(own, target)


def sync(path: str | Path) -> None:
    """Flush a file to the disk. Only for files that no SQLite connection of this process has open."""
    fd = os.open(path, os.O_RDONLY)
    try:
        sync_file(fd)
    finally:
        os.close(fd)


def sync_file(fd: int) -> None:
    """``fsync``, or on macOS the call that reaches the disk, if the file system supports it."""
    import fcntl

    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(fd, full)
            return
        except OSError:
            pass
    os.fsync(fd)
