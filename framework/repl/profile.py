"""``profon()`` and ``profoff()``: profile what runs in between."""

from __future__ import annotations

import cProfile
import os
import pstats
from collections.abc import Callable

_ROWS = 25
_OURS = os.path.dirname(os.path.abspath(__file__))
# Functions in which the REPL and the event loop only wait.
_WAITING = (_OURS, os.sep + "asyncio" + os.sep, "selectors.py", "threading.py")
_WAITING_CALLS = (
    "_asyncio",
    "select.epoll",
    "select.kqueue",
    "select.poll",
    "_lsprof.Profiler",
    "of '_contextvars",
    "sched_yield",
)


class Profile:
    """One profile at a time, of the thread in which statements run."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._running: cProfile.Profile | None = None

    def on(self) -> None:
        """Profile what runs from now on."""
        if self._running is not None:
            self._write("profiling already; profoff() shows the result")
            return
        self._write("profiling: profoff() ends it and shows the result")
        self._running = cProfile.Profile()
        self._running.enable()

    def off(self) -> None:
        """End it, and show the result."""
        running, self._running = self._running, None
        if running is None:
            self._write("not profiling; profon() begins it")
            return
        running.disable()
        self._write(_table(running))

    def close(self) -> None:
        """End it without a word."""
        running, self._running = self._running, None
        if running is not None:
            running.disable()


def _table(profile: cProfile.Profile) -> str:
    """The functions by their cumulative time, without those that only wait."""
    lines = ["     calls   own s   all s  function"]
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    rows = [(total, own, calls, where) for where, (_, calls, own, total, _) in stats.items()]
    shown = [row for row in sorted(rows, reverse=True) if not _waits(row[3])]
    for total, own, calls, where in shown[:_ROWS]:
        lines.append(f"{calls:>10} {own:>7.3f} {total:>7.3f}  {_named(where)}")
    if len(shown) > _ROWS:
        lines.append(f"and {len(shown) - _ROWS} more")
    return "\n".join(lines)


def _waits(where: tuple[str, int, str]) -> bool:
    file, _, function = where
    return any(part in file for part in _WAITING) or any(part in function for part in _WAITING_CALLS)


def _named(where: tuple[str, int, str]) -> str:
    file, line, function = where
    if file == "~":
        return function
    short = os.sep.join(file.split(os.sep)[-2:])
    return f"{function} ({short}:{line})"
