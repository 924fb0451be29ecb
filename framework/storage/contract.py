"""What every storage engine promises.

The one rule: **all operations of one** ``write`` **are stored, or none, and nothing is answered before
it is durable.** The storage knows nothing of definitions: a class reaches it as a SQLAlchemy ``Table``,
an item as JSON text. The operations themselves are in ``framework.storage.operations``.

Cancelling a caller of ``write`` cancels the waiting, not the unit: it is stored whole or not at all.

**What a process holds.** Claims of items, requests in progress and the locks of ``alone`` belong to a process, never
to a length of time: a slow or stopped owner keeps them, and one that has died has lost them at once. An engine whose
holds hang on something that can break while the process lives (a session of a server, a lease) owes two things. It
tells ``disowned``, and it gives nothing of it to anybody else before ``disowned`` was told, or could have been, and
five seconds have passed: in them the work is cancelled. What the process claims afterwards it holds anew. The epoch of
a claim still refuses each late write.

**Time is the database's** wherever processes compare it, never a process's own. An engine has two clocks. A steady one
that nobody can set measures what is waited for: back-offs, and the *time lived* by which things become old
(``framework.storage.age``). A wall clock tells people when something was, and has a say only where the steady one
cannot: it began anew with the machine. ``age`` gives both. Where all processes are on one machine, as on SQLite, both
are that machine's. A server gives its own: its wall clock may be set, so the time lived is kept in the database, and
only grows by what the steady clock has measured. Times that an operation brings along (``now``, ``put_at``, ``at``) are
those of its sender: they are shown to people, and nothing is decided by them alone.

**Order is the order of commit.** The ids of a FIFO's items and dead letters, and of what operators did, rise in it:
whoever asks for what follows the last id that he saw misses nothing. An engine whose numbers are given before the
commit has the writers of one FIFO wait for each other, which is what a queue is. Rows of classes have no such order
between writers, who do not wait for each other for it. Their sequence number is unique and rises with each writer. So
who reads them page by page in this order gets each row that was committed before he began, and was not destroyed
meanwhile, exactly once. What is committed meanwhile he may get or not.

**Run it again.** A unit of ``write`` is data alone. The engine runs it again by itself, as often as others are in its
way (a busy database, a deadlock, a transaction that could not be serialised), until it is stored or ``Unavailable``
says that it was not. It may run several times, and only the last one counts. A ``transaction`` has been seen by its
block, so the engine cannot repeat it: its calls and its end raise ``Unavailable``, and nothing of it was stored. Nobody
repeats the block in place. A FIFO offers the item again and charges no attempt (``framework.queue.outcome``), a gateway
answers 503, and whoever sent the request sends it again.
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
    """A unit that is asked for piece by piece, and sees what it wrote.

    ``for_update`` of a read: nobody else changes what it found before this transaction has ended. An engine with one
    writer, which a transaction holds, has nothing to do for it. Whoever writes what depends on a read asks for it.
    """

    async def write(self, operations: Sequence[Operation]) -> list[Any]:
        """Run operations inside; a failing call is undone alone."""

    async def load(self, table: Table, key_column: str, key: Any, *, for_update: bool = False) -> Row | None:
        """As ``Storage.load``, with what this transaction wrote."""

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None, *, for_update: bool = False
    ) -> list[Row]:
        """As ``Storage.select``, with what this transaction wrote."""

    async def gather(self, gathering: Gathering[T], *, for_update: bool = False) -> T:
        """As ``Storage.gather``, with what this transaction wrote."""


class Storage(Protocol):
    """One open database. Whoever opened it closes it; ``close`` waits for units on their way."""

    url: str

    @property
    def broadcast(self) -> Broadcast:
        """Messages to whoever listens now, in any process on this database."""

    async def ensure_tables(self, tables: Sequence[Table]) -> None:
        """Make what is missing: tables, nullable or defaulted columns, indexes; take away indexes of ours.

        Of a table without rows also all else. What is told of tables and columns (``framework.storage.content``)
        is kept to. ``CannotOpen`` names what could lose or alter a value; then nothing was changed.
        """

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
        """A transaction for a block: committed at its end, rolled back when it raises.

        Where it keeps everybody else from writing, as on SQLite, it is rolled back when ``hold`` seconds pass between
        two calls: ``TransactionTooLong``, with the message of ``expired()``. One that keeps only those waiting who want
        the same rows may take longer.
        """

    async def load(self, table: Table, key_column: str, key: Any) -> Row | None:
        """One row by a unique column; ``None`` when there is none. Sees every unit answered before."""

    async def select(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SQLAlchemy Core statement; ``parameters`` fill its required bind parameters."""

    async def gather(self, gathering: Gathering[T]) -> T:
        """What a gathering comes to; all its questions are answered of one moment, in one hop."""

    async def rows(self, statement: Select[Any]) -> Executed:
        """The rows of a statement as tuples: columns may have the same name."""

    async def fifo_names(self) -> list[str]:
        """The names of all FIFOs that were ever filled or have a policy, sorted."""

    async def fifo_state(self, fifo: str) -> FifoState | None:
        """A FIFO as it stands; None when there is none of this name."""

    async def fifo_states(self, after: str, limit: int) -> list[FifoState]:
        """The first ``limit`` FIFOs by name, of those whose name follows ``after``."""

    async def peek(self, fifo: str, limit: int, after: int = 0) -> list[ItemState]:
        """The first items with an id above ``after``, in order, the one in work included."""

    async def dead_letters(
        self, fifo: str | None, limit: int, dead_id: int | None = None, after: int = 0
    ) -> list[DeadLetter]:
        """The dead letters of one FIFO or of all, with an id above ``after``, in the order of their death."""

    async def last_ids(self, fifo: str) -> tuple[int, int]:
        """The id of the last item and of the last dead letter of a FIFO; 0 where there is none."""

    async def count_dead(self, fifo: str, before: float, lived_before: float) -> tuple[int, int]:
        """How many dead letters of a FIFO died before a time, by the wall clock, and by the own clock as well."""

    async def age(self) -> Age:
        """The database's own clock as it stands now; nothing is written."""

    def watch(self, fifos: Iterable[str]) -> AbstractContextManager[Signal]:
        """A watch on some FIFOs: told of each commit that may have made something deliverable.

        Made before one looks, so that nothing between the look and the wait is missed.
        """

    def wake_all(self) -> None:
        """Ring every watch of this process: it is stopping."""

    async def register(self) -> int:
        """The number of this process among those that ever worked on the database."""

    async def alive(self, process: int) -> bool:
        """Does the process with this number still have the database open?"""

    @property
    def lost(self) -> DatabaseLost | None:
        """Why nothing can be stored or read any more: what the database is kept in was taken away."""

    async def until_lost(self) -> str:
        """Wait for that to happen; what was lost and where its content is, for the operator."""

    @property
    def disowned(self) -> asyncio.Future[str]:
        """Done when this process has lost all that it holds; the reason. Then a new one, for what it holds anew.

        Whoever works under a claim or in ``alone`` does so in a ``Hold`` (``framework.storage.holds``), which ends
        the work. A lost database has no new one: it stays done. Who awaits it does so in ``asyncio.shield``.
        """

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """A lock that one holder in the whole installation has; waits for it; freed when its process dies.

        It does not end its block by itself when the lock is lost: see ``disowned``.
        """

    async def drained_at(self) -> float | None:
        """When the drain in force was asked for, in seconds since 1970; None when there is none."""

    def give_back(self, patience: float) -> None:
        """Release what this process has in work, within ``patience`` seconds: the last act before it ends by force.

        From any thread: the event loop may be blocked. Raises when it cannot.
        """

    async def close(self) -> None:
        """Finish what was handed in, give back every claim's lock, close all connections."""
