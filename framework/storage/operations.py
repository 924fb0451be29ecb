"""What a storage is asked for, and what it answers: each operation as plain data.

The one rule: an operation says all that it needs; each engine has one function for each kind. Which of
them belong together is said by the ``write`` that they are handed to, see ``framework.storage.contract``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Executable, Table

ALL = 2**63 - 1
"""As a limit: no limit."""

OWNER, POSITION, TARGET = "owner", "position", "target"
"""The columns of a table of links: who refers, in which place, and to whom."""


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row; ``Duplicate`` when its key or a unique value exists. Answers ``None``."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """New values for some columns of the row ``key_column = key``; ``Gone`` when there is none.

    ``Changed``, and nothing is written, when a column of ``expected`` has another value than that.
    """

    table: Table
    key_column: str
    key: Any
    values: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """The row ``key_column = key`` away; ``Gone`` when there is none, ``expected`` as in ``Update``."""

    table: Table
    key_column: str
    key: Any
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """What an owner refers to by an array, in order: all of it anew, in a table of three columns."""

    table: Table
    owner: Any
    targets: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Require:
    """A row for each of these values of a column; else a ``ValidationError`` of ``class_name.field``."""

    table: Table
    column: str
    values: Sequence[Any]
    class_name: str
    field: str


@dataclass(frozen=True, slots=True)
class Referrer:
    """Where references stand: in a column of a table, and the column that says whose they are."""

    table: Table
    owner: str
    column: str
    field: str  # Class.field, for the message


@dataclass(frozen=True, slots=True)
class Unreferred:
    """No reference to the row of this key by any of the referrers; else ``StillReferred``.

    Each referrer with the value that it would refer to the row by.
    """

    table: Table
    key: Any
    referrers: Sequence[tuple[Referrer, Any]]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on the head of a FIFO, proven by its epoch (a fencing number)."""

    fifo: str
    item_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Put:
    """An item to the tail of a FIFO; answers its id.

    A ``key`` that was put less than ``key_window`` seconds ago answers the first item's id and puts
    nothing. ``FifoFull`` when the FIFO holds ``max_length`` items already.
    """

    fifo: str
    payload: str
    put_at: float
    key: str | None = None
    key_window: float = 0.0
    max_length: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deliver:
    """The head of a FIFO, claimed for this process; answers a ``Delivery`` or an ``Undelivered``.

    The head is the item with the smallest id. Nothing is delivered while another item of the FIFO is
    in work anywhere. What a dead process had in work is taken over. If that was this item alone, its crash is
    counted instead of an attempt, and with the ``max_crashes``-th it goes to the dead letters, or is held where
    ``hold``. If there were several, no crash is counted, and each is delivered alone the next time.
    """

    fifo: str
    now: float
    worker: str | None = None
    max_crashes: int = 5
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The claimed item is done: it leaves the FIFO. ``ClaimLost`` when the claim is not ours.

    ``settled`` says that it may have been acknowledged before, which is then no error.
    """

    claim: Claim
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: one line, the traceback in the definitions' lines, and when."""

    reason: str
    traceback: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Release:
    """The claimed item is given back, as the head. ``ClaimLost`` when the claim is not ours.

    A ``failure`` counts the attempt; without one it is taken back (a stop is nobody's fault). The item is
    held back for ``delay`` seconds, whatever happens to the clock, or with ``hold`` until ``RetryNow``.
    ``settled`` as in ``Acknowledge``.
    """

    claim: Claim
    failure: Failure | None = None
    delay: float = 0.0
    hold: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """The claimed item goes to the dead letters. ``ClaimLost`` when the claim is not ours."""

    claim: Claim
    failure: Failure
    settled: bool = False


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


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes two requests the same one: who sent it, where to, and the key that the sender chose."""

    account: str
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that is replayed; ``headers`` as JSON text."""

    status: int
    headers: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BeginRequest:
    """Mark a request as in progress, or answer its ``StoredResponse`` (``None``: it may begin).

    The mark is a claim of this process, void when it dies or when the process itself begins it again.
    ``RequestInProgress`` while another process has it, ``RequestMismatch`` when the fingerprint differs.
    Marks and responses older than ``kept`` seconds of time lived count no more.
    """

    request: RequestKey
    fingerprint: bytes
    now: float
    kept: float


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Store the response of a request in progress, or take its mark away (``None``).

    ``ClaimLost`` when there is a response and the mark is not ours any more.
    """

    request: RequestKey
    response: StoredResponse | None


@dataclass(frozen=True, slots=True)
class Execute:
    """A SQLAlchemy Core statement (trusted code) as it is; answers an ``Executed``."""

    statement: Executable


Operation = (
    Execute
    | Insert
    | Update
    | Delete
    | Link
    | Require
    | Unreferred
    | Put
    | Deliver
    | Acknowledge
    | Release
    | Bury
    | Pause
    | Drain
    | RetryNow
    | Skip
    | Drop
    | Purge
    | Redrive
    | PurgeDead
    | Forget
    | Prune
    | Audit
    | AuditMore
    | RecordPolicy
    | BeginStop
    | RecordProblem
    | BeginRequest
    | EndRequest
)


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
    request_id: str | None
    suspicion: int = 0  # how often its process died while it had others in work as well


@dataclass(frozen=True, slots=True)
class Executed:
    """The rows of a statement, or how many it touched."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    rowcount: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why there is nothing: ``empty``, ``busy`` (an item is in work), ``paused``, ``held``, or ``waiting``.

    A back-off ends in ``retry_in`` seconds. A ``suspect`` of a crash waits until this process has nothing else in
    work; others wait while the process is ``kept`` for one. Both ask again in ``retry_in`` seconds.
    """

    reason: str
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class InWorkState:
    """The item in work: by which process and worker, and since when (seconds since 1970).

    A process that is not ``alive`` left it: who asks next takes it over.
    """

    item_id: int
    host: str | None
    pid: int | None
    worker: str | None
    since: float | None
    alive: bool = True


@dataclass(frozen=True, slots=True)
class ItemState:
    """An item as an operator sees it. Times in seconds since 1970."""

    id: int
    payload: str
    key: str | None
    put_at: float
    attempts: int
    crashes: int
    held: bool
    retry_in: float
    first_at: float | None
    last_at: float | None
    reason: str | None
    traceback: str | None
    request_id: str | None
    suspicion: int  # how often its process died while it had others in work as well


@dataclass(frozen=True, slots=True)
class FifoState:
    """What an operator sees of a FIFO."""

    name: str
    length: int
    dead: int
    paused: bool
    in_work: InWorkState | None
    head: ItemState | None
    policy: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was given up, and why. Times in seconds since 1970."""

    id: int
    fifo: str
    item_id: int
    payload: str
    attempts: int
    crashes: int
    reason: str
    put_at: float
    first_at: float | None
    last_at: float | None
    died_at: float
    traceback: str | None
    request_id: str | None
