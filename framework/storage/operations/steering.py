"""What operators do with a FIFO."""

from __future__ import annotations

from dataclasses import dataclass

ALL = 2**63 - 1
"""As a limit: no limit."""


@dataclass(frozen=True, slots=True)
class Pause:
    """No new delivery from this FIFO, also after a restart; or, ``paused=False``, deliveries again."""

    fifo: str
    paused: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """No new delivery from any FIFO to those who have the database open now; or, ``on=False``, as ever.

    Whoever opens it later is not concerned, so that a restart ends the drain. Answers whether one was in force.
    """

    on: bool
    at: float


@dataclass(frozen=True, slots=True)
class RetryNow:
    """End the back-off or the hold of the head; answers whether there was one."""

    fifo: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The head to the dead letters, reason ``skipped``; its id, None when empty; ``InWork`` while in work."""

    fifo: str
    now: float


@dataclass(frozen=True, slots=True)
class Drop:
    """One waiting item away for good; answers whether there was one; ``InWork`` while it is in work."""

    fifo: str
    item_id: int


@dataclass(frozen=True, slots=True)
class Purge:
    """All waiting items away for good, but for one in work; answers how many.

    With ``upto`` none with a larger id, with ``limit`` only so many, the first ones first.
    """

    fifo: str
    upto: int | None = None
    limit: int = ALL


@dataclass(frozen=True, slots=True)
class Redrive:
    """Dead letters to the tail, with new ids, attempt 0 and their original times; answers the new ids.

    One by its number, or all of the FIFO in the order of their death. ``upto`` and ``limit`` as in ``Purge``.
    """

    fifo: str
    dead_id: int | None = None
    upto: int | None = None
    limit: int = ALL


@dataclass(frozen=True, slots=True)
class PurgeDead:
    """Dead letters away for good: one by its number, or all of the FIFO that died before ``before``.

    And before ``lived_before`` by the database's own clock, where they have its stamp. ``upto`` and ``limit``
    as in ``Purge``.
    """

    fifo: str
    dead_id: int | None = None
    before: float | None = None
    upto: int | None = None
    limit: int = ALL
    lived_before: float | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """A FIFO that holds nothing away, with what is known of it; ``NotEmpty`` says what it holds.

    Answers False while there are more than ``limit`` keys of its puts to delete first.
    """

    fifo: str
    limit: int
