"""What an operator sees of the FIFOs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InWorkState:
    """The item in work: by which process and worker, and since when (seconds since 1970).

    If the process is not ``alive``, the next process that asks takes the item over.
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
    """A dead letter, and its reason. Times are in seconds since 1970."""

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
