"""Age by the database's own clock, which nobody can set.

Ages are measured in *time lived*: the time that the machine's steady clock has measured while it knew the database,
over all processes. The wall clock serves one purpose only: it tells how long the machine was off. That time is owed
at first. It counts after a day during which the wall clock has not taken it back. So a clock that is ahead for one
start, for an hour, or for a step of NTP deletes nothing, and data that was stored under a wrong clock is not old
because of it.

The one rule: **no single reading of the wall clock makes anything older.**
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

SHORT = 3600.0  # seconds that the machine may have been off without proof
SETTLED = 86400.0  # seconds lived after which a longer time off is believed
STEP = 60.0  # seconds of difference that mean the wall clock was set and has not merely drifted


@dataclass(frozen=True, slots=True)
class Age:
    """The last reading of the clocks, in seconds.

    ``base`` plus the steady clock of the boot is the time lived. ``began`` is the time lived when this boot was first
    seen, and ``first`` when the database was. ``owed`` is what the wall clock claims beyond it.
    """

    boot: str
    base: float
    began: float
    first: float
    lived: float
    wall: float
    owed: float = 0.0
    owed_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks of this machine at one moment: which boot it is, and the wall clock."""

    boot: str
    steady: float
    wall: float


def reading() -> Reading:
    """The clocks now."""
    return Reading(boot(), steady(), time.time())


def look(before: Age | None, now: Reading) -> Age:
    """The state after another reading of the clocks."""
    if before is None:
        return Age(now.boot, now.wall - now.steady, now.wall, now.wall, now.wall, now.wall)
    if before.boot == now.boot:
        return _same_boot(before, now)
    gap = now.wall - before.wall
    lived = before.lived + (gap if 0 <= gap <= SHORT else 0.0)
    after = replace(before, boot=now.boot, base=lived - now.steady, began=lived, lived=lived, wall=now.wall)
    if gap < 0:
        return replace(after, owed=max(before.owed + gap, 0.0))
    if gap > SHORT:
        return replace(after, owed=before.owed + gap, owed_since=lived)
    return _settled(after)


def _same_boot(before: Age, now: Reading) -> Age:
    lived = max(before.base + now.steady, before.lived)
    step = (now.wall - before.wall) - (lived - before.lived)
    after = replace(before, lived=lived, wall=now.wall)
    if abs(step) > STEP and before.owed:  # it takes its claim back, or makes another one
        owed = before.owed + step
        return replace(after, owed=owed if owed > SHORT else 0.0, owed_since=lived)
    return _settled(after)


def _settled(age: Age) -> Age:
    if not age.owed or age.lived - age.owed_since < SETTLED:
        return age
    lived = age.lived + age.owed
    return replace(age, base=age.base + age.owed, lived=lived, owed=0.0)


@cache
def boot() -> str:
    """An id of this run of the machine, or of this process if the system does not provide one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"process {os.getpid()} {secrets.token_hex(8)}"


def steady() -> float:
    """The machine's clock that nobody can set. It is the same in every process, and runs while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
