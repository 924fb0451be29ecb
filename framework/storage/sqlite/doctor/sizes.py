"""The files of a SQLite database: who may open them, and how large they are."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from framework.process import files
from framework.storage.findings import Finding
from framework.storage.sqlite import holders

_LARGE_WAL = 128 << 20  # more than what a server leaves
_LOOKS, _BETWEEN_LOOKS = 5, 0.05


def access(path: str) -> Finding:
    """Which users may read the content of the database: items, rows, hashes of tokens."""
    wide = files.exposed(path)
    shared = files.Access.of(path).shared
    if wide:
        modes = ", ".join(f"{file} has mode {mode:04o}" for file, mode, _ in wide)
        better = f"{wide[0][2]:o}"
        command = shlex.join(["chmod", better, *(file for file, _, _ in wide)])
        data = {file: f"{mode:04o}" for file, mode, _ in wide}
        return Finding("access", "warning", f"other users may open the database: {modes}; `{command}`", data)
    whom = "its owner and its group, on purpose" if shared else "its owner"
    return Finding("access", "ok", f"the database can be opened by {whom} alone")


def sizes(database: Path) -> Finding:
    """The size of the database and its log, and which processes keep a large log from being written back."""
    sizes = {end or "database": size_of(database.with_name(database.name + end)) for end in ("", "-wal")}
    size, wal = sizes["database"], sizes["-wal"]
    message = f"{database}: {in_bytes(size)}, write-ahead log {in_bytes(wal)}"
    data: dict[str, object] = {"database": size, "wal": wal}
    if wal > _LARGE_WAL:
        readers = _long_readers(database)
        data["readers"] = readers
        return Finding("files", "warning", f"{message}: {_why_large(readers)}", data)
    return Finding("files", "ok", message, data)


def _long_readers(database: Path) -> list[int]:
    """The processes that stay in one read transaction during the whole check."""
    found = set(holders.readers(str(database)))
    for _ in range(_LOOKS):
        if found:
            time.sleep(_BETWEEN_LOOKS)
            found &= set(holders.readers(str(database)))
    return sorted(found)


def _why_large(readers: Sequence[int]) -> str:
    if readers:
        who = ", ".join(holders.named(pid) for pid in readers)
        return (
            f"{who} reads in one transaction for a long time; the log cannot be written back before that ends"
        )
    if sys.platform == "linux":
        return (
            "a program read in one transaction for a long time, and has ended. A server on this database "
            "truncates it within a minute; without one, the next start and stop does"
        )
    return (
        "something reads in one transaction for a long time, or did; if nothing does any more, a server on this "
        "database truncates it within a minute"
    )


def size_of(path: Path) -> int:
    """The size in bytes, 0 for a missing file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def in_bytes(number: float) -> str:
    """``12.3 MiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
