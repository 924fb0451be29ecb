"""Which processes, of the framework or of other programs, hold SQLite's own locks on a database.

In WAL mode the locks are bytes of the ``-shm`` file (https://www.sqlite.org/walformat.html#wal_locks). The system
lists them. Opening the file to ask would drop the locks of this process. If the system does not list them (only Linux
does), no holder is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_WRITE_LOCK = range(120, 121)
_READ_LOCKS = range(123, 128)


def writers(database: str) -> list[int]:
    """The process in a write transaction, as a list of one, empty if it is unknown."""
    return sorted(set(_holders(database, _WRITE_LOCK)))


def readers(database: str) -> list[int]:
    """The processes currently in a read transaction."""
    return sorted(set(_holders(database, _READ_LOCKS)))


def named(pid: int) -> str:
    """``process 4711 (sqlite3)``."""
    try:
        command = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid} ({command})" if command.isprintable() and command else f"process {pid}"


def _holders(database: str, bytes_: range) -> Iterator[int]:
    try:
        status = os.stat(f"{os.path.realpath(database)}-shm")
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) != 8 or words[1] != "POSIX" or words[5] != file or not words[4].isdigit():
            continue
        first, last = int(words[6]), bytes_.stop if words[7] == "EOF" else int(words[7])
        if first < bytes_.stop and last >= bytes_.start and int(words[4]) > 0:
            yield int(words[4])
