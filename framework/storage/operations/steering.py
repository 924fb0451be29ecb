"""What operators do with a FIFO."""

from __future__ import annotations

from dataclasses import dataclass

ALL = 2**63 - 1
"""As a limit: no limit."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop deliveries from this FIFO, also after a restart. With ``paused=False``, start them again."""

    fifo: str
    paused: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop deliveries from all FIFOs to processes that have the database open now. With ``on=False``, start them
    again.

    It does not affect processes that open it later, so a restart ends the drain. Answers whether one was in force.
    """

    on: bool
    at: float


@dataclass(frozen=True, slots=True)
class RetryNow:
    """End the back-off or the hold of the head. Answers whether there was one."""

    fifo: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Move the head to the dead letters with the reason ``skipped``. Answers its id, or None. Raises ``InWork``."""

    fifo: str
    now: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete one waiting item for good. Answers whether there was one. Raises ``InWork`` while it is in work."""

    fifo: str
    item_id: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Delete all waiting items for good, except one in work. Answers how many.

    ``upto`` is the largest id to delete. ``limit`` is the largest number, oldest first.
    """

    fifo: str
    upto: int | None = None
    limit: int = ALL


@dataclass(frozen=True, slots=True)
class Redrive:
    """Put dead letters at the tail, with new ids, no attempts and their original times. Answers the new ids.

    One by its number, or all of the FIFO in the order of their death. ``upto`` and ``limit`` as in ``Purge``.
    """

    fifo: str
    dead_id: int | None = None
    upto: int | None = None
    limit: int = ALL


@dataclass(frozen=True, slots=True)
class PurgeDead:
    """Delete dead letters for good: one by its number, or all of the FIFO that died before ``before``.

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
    """Delete an empty FIFO, with everything known about it. Raises ``NotEmpty``, which says what it holds.

    Answers False while there are more than ``limit`` keys of its puts to delete first.
    """

    fifo: str
    limit: int
