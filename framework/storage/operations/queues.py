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
class Undelivered:
    """Why there is nothing: ``empty``, ``busy`` (an item is in work), ``paused``, ``held``, or ``waiting``.

    A back-off ends in ``retry_in`` seconds. A ``suspect`` of a crash waits until this process has nothing else in
    work; others wait while the process is ``kept`` for one. Both ask again in ``retry_in`` seconds.
    """

    reason: str
    retry_in: float | None = None
