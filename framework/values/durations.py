"""Durations as people write them: ``90s``, ``15m``, ``12h``, ``30d``. A bare number means seconds."""

from __future__ import annotations

import re

LONGEST = 3650 * 86400.0  # ten years
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str, *, zero: bool = False, least: str | None = None, most: str | None = None) -> float:
    """The duration in seconds. Raises ``ValueError`` that says what is wrong, to follow the quoted text.

    Zero is invalid, unless ``zero`` gives it a meaning.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text.strip(), re.ASCII)
    if not match or (float(match[1]) == 0 and not zero):
        raise ValueError(f"{text!r} is not a duration; write 90s, 15m, 12h or 30d")
    found = float(match[1]) * _UNITS[match[2] or "s"]
    if found > LONGEST:
        raise ValueError(f"{text!r} is longer than 10 years (3650d), which is the most")
    if least is not None and found < seconds(least):
        raise ValueError(f"{text!r} is shorter than {least}, which is the least")
    if most is not None and found > seconds(most):
        raise ValueError(f"{text!r} is longer than {most}, which is the most")
    return found


def shown(length: float) -> str:
    """A duration in the largest unit of which it is a whole number."""
    for unit in "dhm":
        if length >= _UNITS[unit] and length % _UNITS[unit] == 0:
            return f"{length / _UNITS[unit]:.0f}{unit}"
    return f"{length:g}s"
