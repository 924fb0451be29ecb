"""The location of a SQLite database: the release of SQLite, the file system, its free space, and the cost of a
commit.

The settings and the cost of a commit are measured on a scratch file in the same folder.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from framework.storage.findings import Finding
from framework.storage.sqlite.backup import sync_file
from framework.storage.sqlite.doctor.sizes import in_bytes, size_of
from framework.storage.sqlite.opening import OLDEST, connect_writer

_WAL_RESET_BUG = (3, 51, 2)  # the last version that has it
_SYNCS = 20
_SLOW_SYNC = 0.02  # seconds: fewer than 50 commits a second
_LITTLE_SPACE = 1 << 30  # bytes
_NO_SPACE = 16 << 20
# https://www.sqlite.org/wal.html: all processes using a database must be on the same host computer.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "9p", "ncpfs"}
_NETWORK_FUSE = {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "fuse.ceph-fuse"}
_VOLATILE = {"tmpfs", "ramfs"}
_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


def version(version: tuple[int, ...]) -> Finding:
    """Is this release of SQLite new enough, and free of https://www.sqlite.org/wal.html#walresetbug?"""
    text = ".".join(map(str, version))
    data = {"version": text}
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding(
            "sqlite",
            "error",
            f"SQLite {text} is too old: {oldest} or newer is needed, use a newer Python",
            data,
        )
    message = f"SQLite {text}"
    if version <= _WAL_RESET_BUG:
        message += (
            ", which has the rare WAL-reset bug (3.7.0 to 3.51.2): it occurs when two connections write or "
            "checkpoint at the same moment. The framework has one writing connection per process, so run few "
            "processes on this database, or use a Python with SQLite 3.51.3 or newer"
        )
    return Finding("sqlite", "ok", message, data)


def mounts() -> list[tuple[str, str]]:
    """The mounted file systems as (path, type), empty if the system does not list them."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [(_unescaped(fields[1]), fields[2]) for line in lines if len(fields := line.split()) > 2]


def _unescaped(place: str) -> str:
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(escaped, plain)
    return place


def file_system(folder: Path, mounts: Sequence[tuple[str, str]]) -> Finding:
    """Is the folder on a local disk that keeps what is written?"""
    real = Path(os.path.realpath(folder))
    # The longest place that holds the folder; of several at one place the last mounted one hides the others.
    holding = [
        (len(place), number, kind) for number, (place, kind) in enumerate(mounts) if _holds(place, real)
    ]
    if not holding:
        return Finding(
            "file-system", "ok", "the system does not tell the file system; it must be a local one"
        )
    kind = max(holding)[2]
    data = {"type": kind}
    if kind in _NETWORK or kind in _NETWORK_FUSE:
        return Finding(
            "file-system",
            "warning",
            f"{folder} is on a network file system ({kind}): its locks and its shared memory cannot be relied "
            "on, the database can be damaged. Move it to a local disk",
            data,
        )
    if kind in _VOLATILE:
        message = f"{folder} is in memory ({kind}): everything is lost when the machine restarts"
        return Finding("file-system", "warning", message, data)
    return Finding("file-system", "ok", f"{folder} is on a local file system ({kind})", data)


def _holds(place: str, folder: Path) -> bool:
    return folder.is_relative_to(place)


def space(folder: Path, database: Path) -> Finding:
    """Is there space for the database to grow, and for a backup?"""
    free = shutil.disk_usage(folder).free
    size = size_of(database)
    data = {"free": free}
    if free < _NO_SPACE:
        return Finding("space", "error", f"{in_bytes(free)} are free: the next writes will fail", data)
    if free < _LITTLE_SPACE:
        return Finding("space", "warning", f"only {in_bytes(free)} are free", data)
    if free < size:
        message = (
            f"{in_bytes(free)} are free, less than the {in_bytes(size)} that a backup in this folder takes"
        )
        return Finding("space", "warning", message, data)
    return Finding("space", "ok", f"{in_bytes(free)} are free", data)


def trial(folder: Path) -> Iterator[Finding]:
    """The conditions for a start: settings in force, and the cost of a commit."""
    try:
        with tempfile.TemporaryDirectory(prefix=".framework-doctor-", dir=folder) as scratch:
            yield _settings(Path(scratch) / "scratch.db")
            yield _sync_price(Path(scratch) / "scratch")
    except sqlite3.Error as error:
        yield Finding("settings", "error", f"SQLite does not work in {folder}: {error}")
    except OSError as error:
        yield Finding("folder", "error", f"the folder {folder} cannot be written to: {error.strerror}")


def _settings(scratch: Path) -> Finding:
    with closing(connect_writer(str(scratch))) as connection:
        [mode] = connection.execute("PRAGMA journal_mode").fetchone()
        [level] = connection.execute("PRAGMA synchronous").fetchone()
    synchronous = _SYNCHRONOUS.get(level, str(level))
    data = {"journal_mode": mode, "synchronous": synchronous}
    message = f"journal_mode {mode.upper()}, synchronous {synchronous}"
    if mode != "wal":
        return Finding("settings", "error", f"{message}: a write-ahead log is not to be had here", data)
    if level < 2:
        message += ": what was acknowledged last can be lost at a power cut, nothing at a kill"
        return Finding("settings", "warning", message, data)
    return Finding("settings", "ok", f"{message}: what is acknowledged survives a power cut", data)


def _sync_price(scratch: Path) -> Finding:
    took = []
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(fd, b"\0" * 4096)
            began = time.perf_counter()
            sync_file(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
    price = statistics.median(took)
    data = {"median_ms": round(price * 1000, 3), "times": _SYNCS}
    message = (
        f"a sync takes {price * 1000:.2f} ms (median of {_SYNCS}): at most {1 / max(price, 1e-6):,.0f} commits a "
        "second, each of them shared by all who write at that moment"
    )
    return Finding("sync", "warning" if price > _SLOW_SYNC else "ok", message, data)
