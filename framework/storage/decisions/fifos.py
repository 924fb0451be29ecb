"""The life of an item: put, delivered, and how its delivery ends.

How long a head is held back is measured by a steady clock, which every process shares and nobody can set; where it
begins anew with the machine, that shows by a wait longer than the delay itself.
"""

from __future__ import annotations

from framework.errors import ClaimLost, FifoFull
from framework.storage.decisions import steps
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision
from framework.storage.decisions.suspects import LOOK_AGAIN, orphan
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Failure,
    Put,
    Release,
    Undelivered,
)


def hold(claim: Claim) -> Decision[None]:
    """``ClaimLost`` if the claim does not hold any more."""
    if (yield steps.CLAIM, (claim.fifo, claim.item_id, claim.epoch)) is None:
        raise _lost(claim)


# ---- filling ----------------------------------------------------------------------------------


def put(op: Put, _: Process) -> Decision[int]:
    """See ``Put``."""
    if op.key is not None:
        lived = yield steps.LIVED, ()
        now = yield steps.NOW, ()
        sought = (op.fifo, op.key, lived - op.key_window, now, op.key_window)
        known = yield steps.KNOWN_KEY, sought
        if known is not None:
            return int(known[0])
    if op.max_length is not None:
        length = yield steps.LENGTH, (op.fifo,)
        if length is not None and length[0] >= op.max_length:
            raise FifoFull(f"FIFO {op.fifo!r} holds {length[0]} items, as many as its max_length allows")
    values = (op.fifo, op.payload, op.key, op.put_at, op.request_id)
    item_id: int | None = yield steps.PUT, values
    if item_id is None:
        yield steps.NEW_FIFO, (op.fifo,)
        item_id = yield steps.PUT, values
        assert item_id is not None
    if op.key is not None:
        yield steps.FORGET_KEYS, (op.fifo, lived - op.key_window)
        yield steps.KEEP_KEY, (op.fifo, op.key, item_id, now, lived)
    return item_id


# ---- working off ------------------------------------------------------------------------------


def deliver(op: Deliver, process: Process) -> Decision[Delivery | Undelivered]:
    """See ``Deliver``."""
    number = process.number
    assert number is not None, "the storage registers a process before its first delivery"
    fifo = yield steps.FIFO, (op.fifo,)
    if fifo is None:
        return Undelivered("empty")
    fifo_id, epoch, owner, in_work, paused, drain = fifo
    if in_work is not None:
        if (yield steps.ALIVE, (owner,)):
            return Undelivered("busy")
        if (yield from orphan(owner)):
            yield from _count_crash(op, in_work)
        epoch += 1
    if paused or (drain is not None and drain > process.drains_before):
        return Undelivered("paused")
    head = yield steps.HEAD, (fifo_id,)
    if head is None:
        return Undelivered("empty")
    item_id, payload, attempts, crashes, put_at, held, not_before, delay, request_id, suspicion = head
    if held:
        return Undelivered("held")
    if delay:
        wait = remaining((yield steps.STEADY, ()), not_before, delay)
        if wait > 0:
            return Undelivered("waiting", wait)
    if (suspicion or process.suspects.any) and (
        yield from process.suspects.put_off(number, op.fifo, item_id, suspicion)
    ):
        return Undelivered("suspect" if suspicion else "kept", LOOK_AGAIN)
    if owner != number:
        epoch += 1
    yield steps.COUNT_ATTEMPT, (item_id, op.now)
    yield steps.TAKE, (fifo_id, epoch, number, item_id, op.worker, op.now)
    claim = Claim(op.fifo, item_id, epoch)
    return Delivery(claim, payload, attempts + 1, crashes, put_at, request_id, suspicion)


def _count_crash(op: Deliver, item_id: int) -> Decision[None]:
    """Its process died with this item alone in work: nobody waits out a back-off for that."""
    found = yield steps.CRASHES, (item_id,)
    if found is None:
        return
    crashes = found[0] + 1
    yield steps.COUNT_CRASH, (item_id, crashes)
    if crashes >= op.max_crashes:
        reason = f"its process died {crashes} times while it was in work"
        if op.hold:
            yield steps.HOLD, (item_id, reason)
        else:
            yield from bury_item(item_id, Failure(reason, None, op.now))


def acknowledge(op: Acknowledge, _: Process) -> Decision[None]:
    """See ``Acknowledge``."""
    claim = op.claim
    if (yield steps.LET_GO, (claim.fifo, claim.item_id, claim.epoch)):
        yield steps.DELETE_ITEM, (claim.item_id,)
    elif not op.settled:
        raise _lost(claim)


def release(op: Release, _: Process) -> Decision[None]:
    """See ``Release``."""
    if not (yield from _let_go(op)):
        return
    item_id, failure = op.claim.item_id, op.failure
    until = (yield steps.STEADY, ()) + op.delay
    if failure is None:
        yield steps.GIVE_BACK, (item_id, until, op.delay)
    else:
        yield steps.HOLD_BACK, (item_id, op.hold, until, op.delay, failure.reason, failure.traceback)


def bury(op: Bury, _: Process) -> Decision[None]:
    """See ``Bury``."""
    if (yield from _let_go(op)):
        yield from bury_item(op.claim.item_id, op.failure)


def _let_go(op: Release | Bury) -> Decision[bool]:
    """Does it still have to be done? The epoch rises: what a block that failed left running must not write any more."""
    claim = op.claim
    if (yield steps.LET_GO_FENCED, (claim.fifo, claim.item_id, claim.epoch)):
        return True
    if op.settled:
        return False
    raise _lost(claim)


def bury_item(item_id: int, failure: Failure) -> Decision[None]:
    """An item to the dead letters."""
    lived = yield steps.LIVED, ()
    yield steps.BURY, (item_id, failure.reason, failure.traceback, failure.at, lived)
    yield steps.DELETE_ITEM, (item_id,)


def remaining(now: float, not_before: float, delay: float) -> float:
    """Seconds that a head still has to wait. More than its delay: the machine was restarted meanwhile."""
    wait = not_before - now
    return wait if wait <= delay else 0.0


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"item {claim.item_id} of FIFO {claim.fifo!r} no longer belongs to this process; nothing was changed"
    )
