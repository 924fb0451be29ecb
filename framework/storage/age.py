"""How old something is: a clock of the database's own, which nobody can set.

Ages are told in *time lived*: what the steady clock of the machine has measured while the database was known to
it, process after process. The wall clock is asked for one thing only: how long the machine was off. What it says
then is owed at first, and counts after a day in which it has not taken it back. So a clock that is ahead for a
start, or an hour, or a step of NTP deletes nothing, and what was stored under a wrong clock is not old for it.

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
STEP = 60.0  # seconds by which the wall clock was set, and has not merely drifted


@dataclass(frozen=True, slots=True)
class Age:
    """What is remembered of the last look at the clocks. All in seconds.

    ``base`` and the steady clock of the boot make the time lived; ``began`` is the time lived when this boot was
    first seen, ``first`` when the database was. ``owed`` is what the wall clock says beyond it.
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
    """What is known after another look at the clocks."""
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
    if abs(step) > STEP and before.owed:  # it takes back what it said, or says something else
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
    """What tells one run of the machine from the next; where the system does not say it, of the process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"process {os.getpid()} {secrets.token_hex(8)}"


def steady() -> float:
    """The machine's clock that nobody can set, in every process the same; it goes on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
