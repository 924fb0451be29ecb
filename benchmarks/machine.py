"""What the figures depend on and a reader cannot see: the machine, the versions, the price of an fsync."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("framework", "starlette", "uvicorn", "uvloop", "httptools", "aiosqlite", "persist-queue", "huey")
RAM_DISK = 20e-6
"""An fsync that takes less seconds than this reaches no disk, and durability costs nothing."""


def facts(folder: Path) -> dict[str, str]:
    """Facts of this machine, by name; the fsync is measured in `folder`, where the databases will be."""
    return {
        "cores": str(os.cpu_count()),
        "load average": f"{os.getloadavg()[0]:.2f} (1 min, before the start)",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "packages": ", ".join(f"{name} {version}" for name, version in _versions().items()),
        "fsync": _fsync(folder),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _fsync(folder: Path) -> str:
    seconds = fsync_seconds(folder)
    text = f"{seconds * 1e6:.0f} µs (median, 4 KiB appended)"
    if seconds < RAM_DISK:
        text += " - no disk behind this folder: choose another with --dir"
    return text


def fsync_seconds(folder: Path, *, times: int = 100, at_most: float = 2.0) -> float:
    """The median time of a 4 KiB append with fsync in `folder`."""
    path = folder / "fsync"
    block = b"\0" * 4096
    taken: list[float] = []
    end = time.monotonic() + at_most
    with path.open("wb", buffering=0) as file:
        while len(taken) < times and (time.monotonic() < end or not taken):
            begin = time.perf_counter()
            file.write(block)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begin)
    path.unlink()
    return statistics.median(taken)
