"""A policy: what one FIFO does otherwise than the defaults.

The rule: a FIFO needs no policy; these defaults are those of every FIFO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .location import Location
from .nodes import MapNode
from .reading import Reading


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long the head waits: `initial` seconds, `factor` times longer each time, `max` at most."""

    initial: float = 0.5
    factor: float = 2.0
    max: float = 60.0


@dataclass(frozen=True, slots=True)
class FifoPolicy:
    """The policy of the FIFO `name`; times in seconds, sizes in bytes of JSON, `None` for no limit."""

    name: str
    location: Location
    max_attempts: int = 5
    max_crashes: int = 5
    backoff: Backoff = Backoff()
    on_exhausted: Literal["dead_letter", "hold"] = "dead_letter"
    timeout: float | None = None
    slow_after: float = 60.0
    max_length: int | None = None
    max_item_bytes: int = 1048576
    key_window: float = 300.0


def parse_fifo(node: MapNode, reading: Reading) -> FifoPolicy | None:
    """The policy that a mapping defines."""
    name = reading.label(node, "fifo", "a FIFO")
    if name is None:
        return None
    backoff = node.map("backoff")
    return FifoPolicy(
        name=name,
        location=node.value_location("fifo"),
        max_attempts=_whole(node, "max_attempts", 5),
        max_crashes=_whole(node, "max_crashes", 5),
        backoff=Backoff(
            initial=reading.finite(backoff, "initial", 0.5),
            factor=reading.finite(backoff, "factor", 2.0),
            max=reading.finite(backoff, "max", 60.0),
        )
        if backoff
        else Backoff(),
        on_exhausted="hold" if node.text("on_exhausted") == "hold" else "dead_letter",
        timeout=reading.finite(node, "timeout", 0.0) or None,
        slow_after=reading.finite(node, "slow_after", 60.0),
        max_length=node.integer("max_length"),
        max_item_bytes=_whole(node, "max_item_bytes", 1048576),
        key_window=reading.finite(node, "key_window", 300.0),
    )


def _whole(node: MapNode, key: str, default: int) -> int:
    value = node.integer(key)
    return default if value is None else value
