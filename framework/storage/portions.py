"""Large operations in portions: others write in between, and nobody waits long.

The one rule: **a portion is a transaction by itself**, so an operation that is broken off has done some portions
wholly and the rest not at all, and the same call goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

LEAST, FIRST, LARGEST = 50, 200, 20_000  # rows
SHORT, LONG = 0.01, 0.03  # seconds that a portion is to take: the next one is larger, or smaller


async def in_portions(
    step: Callable[[int], Awaitable[int]], told: Callable[[int], None] | None = None
) -> int:
    """Call ``step(limit)`` until it does less than its limit; how many it did in all.

    ``told`` hears how many were done by each.
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
        await asyncio.sleep(0)  # who waits for the event loop has its turn too


def next_limit(limit: int, took: float) -> int:
    """How many rows the next portion is to have, when the last one took so long."""
    if took > LONG:
        return max(int(limit * SHORT / took), LEAST)
    return min(limit * 2, LARGEST) if took < SHORT else limit
