"""What every storage engine promises, and the operations it is asked for.

The one rule: **all operations of one** ``write`` **are stored, or none, and nothing is answered before
it is durable.** An operation is plain data; each engine has one function for each kind. The storage
knows nothing of definitions: a class reaches it as a SQLAlchemy ``Table``, an item as JSON text.

Cancelling a caller of ``write`` cancels the waiting, not the unit: it is stored whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Executable, Select, Table

from framework.storage.signals import Signal


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row; ``Duplicate`` when its key or a unique value exists. Answers ``None``."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """New values for some columns of the row ``key_column = key``; ``Gone`` when there is none."""

    table: Table
    key_column: str
    key: Any
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """The row ``key_column = key`` away; ``Gone`` when there is none."""

    table: Table
    key_column: str
    key: Any


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on the head of a FIFO, proven by its epoch (a fencing number)."""

    fifo: str
    item_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Put:
    """An item to the tail of a FIFO; answers its id."""

    fifo: str
    payload: str
    put_at: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """The head of a FIFO, claimed for this process; answers a ``Delivery`` or an ``Undelivered``.

    The head is the item with the smallest id. Nothing is delivered while another item of the FIFO is
    in work anywhere; what a dead process had in work is taken over, and counted in ``crashes``.
    """

    fifo: str
    now: float
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The claimed item is done: it leaves the FIFO. ``ClaimLost`` when the claim is not ours."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Release:
    """The claimed item is given back, as the head. ``ClaimLost`` when the claim is not ours.

    ``not_before`` (seconds since 1970) holds it back until then; ``failed`` counts a failed attempt,
    otherwise the attempt is taken back (a stop is nobody's fault).
    """

    claim: Claim
    failed: bool
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Execute:
    """A SQLAlchemy Core statement (trusted code) as it is; answers an ``Executed``."""

    statement: Executable


Operation = Execute | Insert | Update | Delete | Put | Deliver | Acknowledge | Release


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item that is ours to work on until it is acknowledged or released.

    ``attempt`` counts from 1 and includes this one; ``put_at`` in seconds since 1970.
    """

    claim: Claim
    payload: str
    attempt: int
    crashes: int
    put_at: float


@dataclass(frozen=True, slots=True)
class Executed:
    """The rows of a statement, or how many it touched."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    rowcount: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why there is nothing: ``empty``, ``busy`` (an item is in work) or ``waiting`` (until ``retry_at``)."""

    reason: str
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class FifoState:
    """What an operator sees of a FIFO; ``in_work`` is the id of the item in work."""

    name: str
    length: int
    in_work: int | None
    attempts: int


Row = Mapping[str, Any]
Orphaned = Callable[[list[Any] | None, BaseException | None], None]


class Transaction(Protocol):
    """A unit that is asked for piece by piece, and sees what it wrote. Holds the writer until its end."""

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """Run operations inside; a failing call is undone alone."""

    async def load(self, table: Table, key_column: str, key: Any) -> Row | None:
        """As ``Storage.load``, with what this transaction wrote."""

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """As ``Storage.select``, with what this transaction wrote."""


class Storage(Protocol):
    """One open database. Whoever opened it closes it; ``close`` waits for units on their way."""

    url: str

    async def ensure_tables(self, tables: Sequence[Table]) -> None:
        """Make what is missing: tables, and nullable or defaulted columns. Never alters or drops."""

    async def write(
        self,
        operations: Sequence[Operation],
        *,
        fences: Sequence[Claim] = (),
        orphaned: Orphaned | None = None,
    ) -> list[Any]:
        """Run the operations as one unit; their answers, in order.

        ``orphaned(answers, error)`` is called once if the caller was cancelled and the unit ran.

        Each of ``fences`` is checked first in the same transaction: ``ClaimLost`` if one does not hold.
        Durable and visible to every reader when this returns.
        """

    def transaction(
        self, *, hold: float, expired: Callable[[], str], fences: Sequence[Claim] = ()
    ) -> AbstractAsyncContextManager[Transaction]:
        """Take the writer for a block: committed at its end, rolled back when it raises.

        ``TransactionTooLong`` if ``hold`` seconds pass between two calls, with the message of ``expired()``.
        """

    async def load(self, table: Table, key_column: str, key: Any) -> Row | None:
        """One row by a unique column; ``None`` when there is none. Sees every unit answered before."""

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SQLAlchemy Core statement; ``parameters`` fill its required bind parameters."""

    async def fifo_state(self, fifo: str) -> FifoState:
        """A FIFO's length and what is in work."""

    def watch(self, fifos: Iterable[str]) -> AbstractContextManager[Signal]:
        """A watch on some FIFOs: told of each commit that may have made something deliverable.

        Made before one looks, so that nothing between the look and the wait is missed.
        """

    def wake_all(self) -> None:
        """Ring every watch of this process: it is stopping."""

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """A lock that one holder in the whole installation has; waits for it; freed when its process dies."""

    async def close(self) -> None:
        """Finish what was handed in, give back every claim's lock, close all connections."""
