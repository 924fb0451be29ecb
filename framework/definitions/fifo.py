"""A policy: how one FIFO differs from the defaults.

The rule: a FIFO needs no policy. These defaults apply to every FIFO.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

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
    """The policy of the FIFO `name`. Times are in seconds, sizes in bytes of JSON, and `None` means no limit."""

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
    values = {key: read(node, reading, key, _DEFAULTS[key]) for key, read in _READ.items()}
    return FifoPolicy(name, node.value_location("fifo"), **values)


def _whole(node: MapNode, reading: Reading, key: str, default: int | None) -> int | None:
    value = node.integer(key)
    return default if value is None else value


def _number(node: MapNode, reading: Reading, key: str, default: float) -> float:
    return reading.finite(node, key, default)


def _limit(node: MapNode, reading: Reading, key: str, default: None) -> float | None:
    return reading.finite(node, key, 0.0) or default


def _choice(node: MapNode, reading: Reading, key: str, default: str) -> str:
    return node.text(key) or default


def _backoff(node: MapNode, reading: Reading, key: str, default: Backoff) -> Backoff:
    given = node.map(key)
    if given is None:
        return default
    return Backoff(
        **{part: reading.finite(given, part, at_first) for part, at_first in asdict(default).items()}
    )


# How each key of a policy is read. The defaults are those of the class.
_READ: Mapping[str, Callable[..., Any]] = {
    "max_attempts": _whole,
    "max_crashes": _whole,
    "backoff": _backoff,
    "on_exhausted": _choice,
    "timeout": _limit,
    "slow_after": _number,
    "max_length": _whole,
    "max_item_bytes": _whole,
    "key_window": _number,
}
_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(FifoPolicy)}
