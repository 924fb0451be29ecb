"""Large operations in portions, so that others can write in between and nobody waits long.

The one rule: **a portion is a transaction.** So an interrupted operation has completed some portions and not begun
the others, and the same call continues where it stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

LEAST, FIRST, LARGEST = 50, 200, 20_000  # rows
# The target duration of a portion in seconds. It decides the size of the next portion.
SHORT, LONG = 0.01, 0.03


async def in_portions(
    step: Callable[[int], Awaitable[int]], told: Callable[[int], None] | None = None
) -> int:
    """Call ``step(limit)`` until it does less than its limit. Return how many it did in all.

    ``told`` is called with the number of each portion.
    """
    limit, done = FIRST, 0
    while True:
        began = time.monotonic()
        number = await step(limit)
        took = time.monotonic() - began
        done += number
        if told is not None:
            told(number)
        if number < limit:
            return done
        limit = next_limit(limit, took)
        await asyncio.sleep(0)  # other tasks get their turn


def next_limit(limit: int, took: float) -> int:
    """The size of the next portion, given the duration of the last one."""
    if took > LONG:
        return max(int(limit * SHORT / took), LEAST)
    return min(limit * 2, LARGEST) if took < SHORT else limit
