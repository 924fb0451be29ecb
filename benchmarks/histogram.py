"""A histogram of latencies: exact to one per cent, small enough to travel as JSON, and mergeable."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

_STEP = math.log(1.01)


class Histogram:
    """Counts of latencies in buckets that are each one per cent wider than the one before."""

    def __init__(self, buckets: Iterable[tuple[int, int]] = ()) -> None:
        self._buckets: Counter[int] = Counter()
        for bucket, count in buckets:
            self._buckets[bucket] += count

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> Histogram:
        log, step = math.log, _STEP
        return cls(Counter(int(log(max(value, 1)) / step) for value in nanoseconds).items())

    def buckets(self) -> list[tuple[int, int]]:
        """Pairs of bucket and count, in order; `Histogram(buckets)` makes the same histogram again."""
        return sorted(self._buckets.items())

    def merged(self, other: Histogram) -> Histogram:
        return Histogram([*self.buckets(), *other.buckets()])

    def percentile(self, percent: float) -> float:
        """The latency in seconds that `percent` of all did not exceed; NaN where nothing was counted."""
        wanted = self._buckets.total() * percent / 100
        seen = 0
        for bucket, count in self.buckets():
            seen += count
            if seen >= wanted:
                return math.exp((bucket + 0.5) * _STEP) / 1e9
        return math.nan
