"""FIFOs, items and dead letters as records for programs, and the reason in words why a FIFO does not move.

Times are ISO 8601 in UTC. Payloads are JSON values.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from framework.cli import options
from framework.values import jsontext

if TYPE_CHECKING:
    from framework.definitions import FifoPolicy
    from framework.storage.operations import DeadLetter, FifoState, InWorkState, ItemState


@dataclass(frozen=True, slots=True)
class Standing:
    """What a FIFO does now: a word for programs, and a line for people. ``slow`` says that it takes too long."""

    state: str
    why: str
    slow: bool = False


def standing(fifo: FifoState, policy: FifoPolicy, now: float) -> Standing:
    """``in work``, ``abandoned``, ``paused``, ``empty``, ``held``, ``waiting``, ``suspect`` or ``ready``."""
    if fifo.in_work is not None:
        return _in_work(fifo, fifo.in_work, policy, now)
    head = fifo.head
    if fifo.paused:
        return Standing("paused", f"paused: `framework fifo resume {fifo.name}` ends that")
    if head is None:
        return Standing("empty", "empty")
    if head.held:
        ends = f"`framework fifo retry {fifo.name}` tries it again, `skip` gives it up"
        return Standing("held", f"item {head.id} is held after {_tried(head, policy)}: {ends}")
    if head.retry_in > 0:
        why = f"item {head.id} is waiting {lasting(head.retry_in)} more after {_last_attempt(head, policy)}"
        return Standing("waiting", why)
    if head.suspicion:
        why = (
            f"item {head.id} is a suspect: its process died while it had other items in work. It is delivered as soon "
            "as a worker's process has nothing else in work, or its time for that is over"
        )
        return Standing("suspect", why)
    return Standing(
        "ready", f"item {head.id} can be delivered; if it stays, no worker asks: is a server running?"
    )


def _in_work(fifo: FifoState, work: InWorkState, policy: FifoPolicy, now: float) -> Standing:
    owner = f"{work.host}:{work.pid}" + (f" worker {work.worker}" if work.worker else "")
    if not work.alive:
        paused = ", once the FIFO is resumed" if fifo.paused else ""
        died = f"item {work.item_id} was in work by {owner}, which died"
        why = f"{died}: the next process that asks takes it over{paused}"
        return Standing("abandoned", why)
    took = max(now - (work.since or now), 0.0)
    why = f"item {work.item_id} is in work for {lasting(took)} by {owner}"
    slow = took > policy.slow_after
    if slow:
        why += f", longer than slow_after ({policy.slow_after:g} s)"
    if fifo.paused:
        why += "; paused, nothing follows it"
    return Standing("in work", why, slow)


def _tried(head: ItemState, policy: FifoPolicy) -> str:
    if head.crashes >= policy.max_crashes:
        return f"{head.crashes} deaths of its process"
    return "1 attempt" if head.attempts == 1 else f"{head.attempts} attempts"


def _last_attempt(head: ItemState, policy: FifoPolicy) -> str:
    return f"attempt {head.attempts} of {policy.max_attempts}"


def policy_of(fifo: FifoState) -> FifoPolicy:
    """The policy in force: the one recorded at the last start, or the defaults."""
    from framework.queue import policies

    return policies.from_json(fifo.name, fifo.policy)


def fifo_record(fifo: FifoState) -> dict[str, Any]:
    """Everything about a FIFO."""
    now = time.time()
    policy = policy_of(fifo)
    found = standing(fifo, policy, now)
    in_work = fifo.in_work and {
        **asdict(fifo.in_work),
        "since": iso(fifo.in_work.since),
        "seconds": round(now - (fifo.in_work.since or now), 3),
        "slow": found.slow,
    }
    values = asdict(policy)
    del values["name"], values["location"]
    return {
        "name": fifo.name,
        "length": fifo.length,
        "dead": fifo.dead,
        "paused": fifo.paused,
        "state": found.state,
        "why": found.why,
        "in_work": in_work,
        "head": fifo.head and item_record(fifo.name, fifo.head),
        "policy": {**values, "recorded": fifo.policy is not None},
    }


def item_record(fifo: str, item: ItemState) -> dict[str, Any]:
    """A waiting item, or one in work."""
    return {
        "id": item.id,
        "fifo": fifo,
        "payload": jsontext.decode(item.payload),
        "key": item.key,
        "attempts": item.attempts,
        "crashes": item.crashes,
        "suspicion": item.suspicion,
        "held": item.held,
        "retry_in": round(item.retry_in, 3),
        "reason": item.reason,
        "request_id": item.request_id,
        "put_at": iso(item.put_at),
        "first_at": iso(item.first_at),
        "last_at": iso(item.last_at),
        "traceback": item.traceback,
    }


def dead_record(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter."""
    return {
        "id": letter.id,
        "fifo": letter.fifo,
        "item_id": letter.item_id,
        "payload": jsontext.decode(letter.payload),
        "attempts": letter.attempts,
        "crashes": letter.crashes,
        "reason": letter.reason,
        "request_id": letter.request_id,
        "put_at": iso(letter.put_at),
        "first_at": iso(letter.first_at),
        "last_at": iso(letter.last_at),
        "died_at": iso(letter.died_at),
        "traceback": letter.traceback,
    }


def iso(seconds: float | None) -> str | None:
    """A point in time, to the millisecond."""
    if seconds is None:
        return None
    return options.shown_time(seconds, "milliseconds")


def lasting(seconds: float) -> str:
    """A duration for people, with sensible precision."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
