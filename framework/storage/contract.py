"""What every storage engine promises.

The one rule: **all operations of one** ``write`` **are stored, or none, and nothing is answered before
it is durable.** The storage knows nothing of definitions: a class reaches it as a SQLAlchemy ``Table``,
an item as JSON text. The operations themselves are in ``framework.storage.operations``.

Cancelling a caller of ``write`` cancels the wait, not the unit: it is stored completely or not at all.

**What a process holds.** Claims of items, requests in progress and the locks of ``alone`` belong to a process, never
to a length of time: a slow or stopped owner keeps them, and a dead one has lost them at once. In some engines the
holds depend on something that can break while the process lives, such as a session of a server or a lease. Such an
engine owes two things. It resolves ``disowned``. And it gives none of the holds to another process before
``disowned`` was resolved, or could have been, and five seconds have passed, during which the work is cancelled.
Whatever the process claims afterwards, it holds anew. The epoch of a claim still rejects each late write.

**Time is the database's** wherever processes compare it, never a process's own. An engine has two clocks. A steady
clock that nobody can set measures back-offs, and the *time lived* by which data becomes old
(``framework.storage.age``). A wall clock tells people when something happened. It decides only where the steady clock
cannot, because that began anew with the machine. ``age`` returns both. If all processes are on one machine, as on
SQLite, both are the clocks of that machine. A server provides its own. Its wall clock may be set, so the time lived
is stored in the database, and grows only by what the steady clock has measured. Times in an operation (``now``,
``put_at``, ``at``) are those of its sender. They are shown to people, and nothing is decided by them alone.

**Order is the order of commit.** The ids of a FIFO's items and dead letters, and of audit records, rise in this
order. So a reader that asks for what follows the last id it saw misses nothing. An engine that assigns numbers before
the commit makes the writers of one FIFO wait for each other. Rows of classes have no such order between writers,
which do not wait for each other. Their sequence number is unique, and rises for each writer. So a reader that reads
them page by page in this order gets each row exactly once that was committed before it began and was not destroyed
meanwhile. It may or may not get rows that are committed meanwhile.

**Run it again.** A unit of ``write`` is pure data. The engine runs it again by itself as often as it conflicts with
others (a busy database, a deadlock, a serialization failure), until it is stored or ``Unavailable`` says that it was
not. It may run several times, and only the last run counts. The block of a ``transaction`` has seen its results, so
the engine cannot repeat it: its calls and its end raise ``Unavailable``, and nothing of it was stored. The block is
not repeated in place. A FIFO offers the item again and charges no attempt (``framework.queue.outcome``). A gateway
answers 503, and the client sends the request again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select, Table

from framework.errors import DatabaseLost
from framework.storage.age import Age
from framework.storage.broadcast import Broadcast
from framework.storage.gathering import Gathering, Row
from framework.storage.operations import Claim, DeadLetter, Executed, FifoState, ItemState, Operation
from framework.storage.signals import Signal

T = TypeVar("T")
Orphaned = Callable[[list[Any] | None, BaseException | None], None]


class Transaction(Protocol):
    """A unit that runs call by call, and sees its own writes.

    ``for_update`` of a read: no other transaction changes the rows that it found before this one has ended. In an
    engine with a single writer, which a transaction holds, this is always so. Use it if a write depends on the read.
    """

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """Run operations inside. A failing call is undone alone."""

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """As ``Storage.load``, with what this transaction wrote."""

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]:
        """As ``Storage.select``, with what this transaction wrote."""

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T:
        """As ``Storage.gather``, with what this transaction wrote."""


class Storage(Protocol):
    """One open database. Whoever opened it closes it. ``close`` waits for units in progress."""

    url: str

    @property
    def broadcast(self) -> Broadcast:
        """Messages to all current listeners, in any process on this database."""

    async def ensure_tables(self, tables: Sequence[Table]) -> None:
        """Create what is missing: tables, nullable or defaulted columns, and indexes. Drop obsolete indexes of ours.

        A table without rows gets all other changes as well. What is attached to tables and columns
        (``framework.storage.content``) is respected. ``CannotOpen`` names changes that could lose or alter a value.
        Then nothing was changed.
        """

    async def write(
        self,
        operations: Sequence[Operation],
        *,
        fences: Sequence[Claim] = (),
        orphaned: Orphaned | None = None,
    ) -> list[Any]:
        """Run the operations as one unit. Return their answers, in order.

        ``orphaned(answers, error)`` is called once if the caller was cancelled and the unit ran.

        Each of ``fences`` is checked first in the same transaction. Raises ``ClaimLost`` if one does not hold. The
        unit is durable and visible to every reader when this returns.
        """

    def transaction(
        self, *, hold: float, expired: Callable[[], str], fences: Sequence[Claim] = ()
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction for a block: committed at its end, rolled back when it raises.

        If it keeps all others from writing, as on SQLite, it is rolled back when ``hold`` seconds pass between two
        calls. Then it raises ``TransactionTooLong`` with the message of ``expired()``. If it blocks only writers of
        the same rows, it may take longer.
        """

    async def load(self, table: Table, key_column: str, key: Any) -> Row | None:
        """One row by a unique column, or ``None``. It sees every unit that was answered before."""

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SQLAlchemy Core statement; ``parameters`` fill its required bind parameters."""

    async def gather(self, gathering: Gathering[T]) -> T:
        """The result of a gathering. All its questions are answered from one snapshot, in one hop."""

    async def rows(self, statement: Select[Any]) -> Executed:
        """The rows of a statement as tuples: columns may have the same name."""

    async def fifo_names(self) -> list[str]:
        """The names of all FIFOs that were ever filled or have a policy, sorted."""

    async def fifo_state(self, fifo: str) -> FifoState | None:
        """The state of a FIFO, or None if there is none of this name."""

    async def fifo_states(self, after: str, limit: int) -> list[FifoState]:
        """The first ``limit`` FIFOs by name, of those whose name follows ``after``."""

    async def peek(self, fifo: str, limit: int, after: int = 0) -> list[ItemState]:
        """The first items with an id above ``after``, in order, the one in work included."""

    async def dead_letters(
        self, fifo: str | None, limit: int, dead_id: int | None = None, after: int = 0
    ) -> list[DeadLetter]:
        """The dead letters of one FIFO or of all, with an id above ``after``, in the order of their death."""

    async def last_ids(self, fifo: str) -> tuple[int, int]:
        """The ids of the last item and the last dead letter of a FIFO, 0 if there is none."""

    async def count_dead(self, fifo: str, before: float, lived_before: float) -> tuple[int, int]:
        """How many dead letters of a FIFO died before a time, by the wall clock, and by the own clock as well."""

    async def age(self) -> Age:
        """The database's own clock now. Nothing is written."""

    def watch(self, fifos: Iterable[str]) -> AbstractContextManager[Signal]:
        """A watch on some FIFOs. It is notified of each commit that may have made something deliverable.

        Make it before a read, so that no change between the read and the wait is missed.
        """

    def wake_all(self) -> None:
        """Ring every watch of this process: it is stopping."""

    async def register(self) -> int:
        """The number of this process among those that ever worked on the database."""

    async def alive(self, process: int) -> bool:
        """Does the process with this number still have the database open?"""

    @property
    def lost(self) -> DatabaseLost | None:
        """Why nothing can be stored or read any more: the files of the database were taken away. None while they are
        there."""

    async def until_lost(self) -> str:
        """Wait for that. Return what was lost and where its content is, for the operator."""

    @property
    def disowned(self) -> asyncio.Future[str]:
        """Done, with the reason, when this process has lost everything it holds. Then there is a new one for new
        holds.

        Work under a claim or in ``alone`` runs in a ``Hold`` (``framework.storage.holds``), which ends the work. For
        a lost database there is no new one: it stays done. Await it in ``asyncio.shield``.
        """

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """A lock with one holder in the whole installation. Waits for it. It is released when its process dies.

        It does not end its block by itself when the lock is lost: see ``disowned``.
        """

    async def drained_at(self) -> float | None:
        """When the drain in force was requested, in seconds since 1970, or None."""

    def give_back(self, patience: float) -> None:
        """Release the items in work of this process, within ``patience`` seconds, before a forced end.

        From any thread, because the event loop may be blocked. Raises if it fails.
        """

    async def close(self) -> None:
        """Finish the units in progress, release the locks of all claims, and close all connections."""
