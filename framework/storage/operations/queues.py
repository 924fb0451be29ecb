"""The items of a FIFO: put, delivered, and how their delivery ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on the head of a FIFO, proven by its epoch (a fencing number)."""

    fifo: str
    item_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Put:
    """Put an item at the tail of a FIFO. Answers its id.

    If the ``key`` was put less than ``key_window`` seconds ago, it answers the id of the first item and puts nothing.
    Raises ``FifoFull`` if the FIFO already holds ``max_length`` items.
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
    """Claim the head of a FIFO for this process. Answers a ``Delivery`` or an ``Undelivered``.

    The head is the item with the smallest id. Nothing is delivered while another item of the FIFO is in work
    anywhere. The items of a dead process are taken over. If it had only this item in work, a crash is counted instead
    of an attempt. With the ``max_crashes``-th crash the item goes to the dead letters, or with ``hold`` it is held.
    If it had several, no crash is counted, and each is delivered alone the next time.
    """

    fifo: str
    now: float
    worker: str | None = None
    max_crashes: int = 5
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Remove the claimed item, which is done, from the FIFO. Raises ``ClaimLost`` if the claim is not ours.

    ``settled`` says that it may have been acknowledged before. Then that is not an error.
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
    """Give the claimed item back, as the head. Raises ``ClaimLost`` if the claim is not ours.

    With a ``failure`` the attempt counts. Without one it is taken back, as at a shutdown. The item is held back for
    ``delay`` seconds, whatever happens to the clock, or with ``hold`` until ``RetryNow``. ``settled`` as in
    ``Acknowledge``.
    """

    claim: Claim
    failure: Failure | None = None
    delay: float = 0.0
    hold: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Move the claimed item to the dead letters. Raises ``ClaimLost`` if the claim is not ours."""

    claim: Claim
    failure: Failure
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item that this process may work on until it is acknowledged or released.

    ``attempt`` counts from 1 and includes this one. ``put_at`` is in seconds since 1970.
    """

    claim: Claim
    payload: str
    attempt: int
    crashes: int
    put_at: float
    request_id: str | None
    suspicion: int = 0  # how often its process died while it had others in work as well


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why nothing was delivered: ``empty``, ``busy`` (an item is in work), ``paused``, ``held``, or ``waiting``.

    A back-off ends in ``retry_in`` seconds. A ``suspect`` of a crash waits until this process has nothing else in
    work; others wait while the process is ``kept`` for one. Both ask again in ``retry_in`` seconds.
    """

    reason: str
    retry_in: float | None = None
