"""Records of a server about itself, and deletion by age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Prune:
    """Delete what is older than ``kept`` seconds of time lived, at most ``limit``. Answers how many.

    Expired tokens count from their expiry, FIFOs from the moment since which they have been of no use.
    """

    what: Literal["dead letters", "tokens", "logons", "responses", "keys", "audit", "fifos"]
    kept: float
    limit: int


@dataclass(frozen=True, slots=True)
class Audit:
    """Add an audit record. Answers its number. ``arguments`` is JSON text.

    ``affected`` is the number of changed items, letters or tokens, if it is a number.
    """

    action: str
    target: str | None
    arguments: str
    affected: int | None
    user: str
    host: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class AuditMore:
    """Note that an operation in portions has changed so many more."""

    number: int
    affected: int


@dataclass(frozen=True, slots=True)
class RecordPolicy:
    """Record the policy in force, as JSON text, for commands without definitions."""

    fifo: str
    policy: str | None


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Record that this process is stopping. If it is killed before its items end, they are not blamed."""


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """Record why a worker of this process cannot run since ``at``, or with None that it can again."""

    worker: str
    problem: str | None
    at: float
