"""What a server writes of itself, and what is deleted because of its age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Prune:
    """Delete what is older than ``kept`` seconds of time lived, ``limit`` at most; answers how many.

    Expired tokens count from their expiry, FIFOs from the moment since which they have been of no use.
    """

    what: Literal["dead letters", "tokens", "logons", "responses", "keys", "audit", "fifos"]
    kept: float
    limit: int


@dataclass(frozen=True, slots=True)
class Audit:
    """A line in the record of what operators did; answers its number. ``arguments`` is JSON text.

    ``affected`` is how many items, letters or tokens it changed, where that is a number.
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
    """An operation that is done in portions has changed so many more."""

    number: int
    affected: int


@dataclass(frozen=True, slots=True)
class RecordPolicy:
    """The policy in force, as JSON text, for who has no definitions at hand."""

    fifo: str
    policy: str | None


@dataclass(frozen=True, slots=True)
class BeginStop:
    """This process is stopping: if it is ended before its items are, none of them is to blame."""


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """Why a worker of this process cannot run since ``at``; None when it can again."""

    worker: str
    problem: str | None
    at: float
