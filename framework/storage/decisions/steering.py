"""What operators do with a FIFO."""

from __future__ import annotations

from framework.errors import InWork, NotEmpty
from framework.storage.decisions import steps
from framework.storage.decisions.fifos import bury_item, remaining
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision
from framework.storage.decisions.suspects import orphan
from framework.storage.operations import (
    ALL,
    Drain,
    Drop,
    Failure,
    Forget,
    Pause,
    Purge,
    PurgeDead,
    RecordPolicy,
    Redrive,
    RetryNow,
    Skip,
)


def pause(op: Pause, _: Process) -> Decision[None]:
    """See ``Pause``."""
    yield steps.NEW_FIFO, (op.fifo,)
    yield steps.PAUSE, (op.fifo, op.paused)


def drain(op: Drain, _: Process) -> Decision[bool]:
    """See ``Drain``."""
    before: int = yield steps.NO_DRAIN, ()
    if op.on:
        yield steps.DRAIN, (op.at,)
    return before > 0


def retry_now(op: RetryNow, _: Process) -> Decision[bool]:
    """See ``RetryNow``."""
    fifo_id, _in_work = yield from _find(op.fifo)
    head = yield steps.HEAD, (fifo_id,)
    if head is None:
        return False
    item_id, held, not_before, delay = head[0], head[5], head[6], head[7]
    yield steps.DUE, (item_id,)
    return bool(held) or remaining((yield steps.STEADY, ()), not_before, delay) > 0


def skip(op: Skip, _: Process) -> Decision[int | None]:
    """See ``Skip``."""
    fifo_id, in_work = yield from _find(op.fifo)
    head = yield steps.HEAD, (fifo_id,)
    if head is None:
        return None
    item_id: int = head[0]
    yield from _require_idle(op.fifo, in_work, item_id)
    yield from bury_item(item_id, Failure("skipped", None, op.now))
    return item_id


def drop(op: Drop, _: Process) -> Decision[bool]:
    """See ``Drop``."""
    fifo_id, in_work = yield from _find(op.fifo)
    yield from _require_idle(op.fifo, in_work, op.item_id)
    dropped: int = yield steps.DROP, (fifo_id, op.item_id)
    return dropped > 0


def purge(op: Purge, _: Process) -> Decision[int]:
    """See ``Purge``."""
    fifo_id, in_work = yield from _find(op.fifo)
    purged: int = yield steps.PURGE, (fifo_id, in_work, _upto(op), op.limit)
    return purged


def redrive(op: Redrive, _: Process) -> Decision[list[int]]:
    """See ``Redrive``."""
    fifo_id, _in_work = yield from _find(op.fifo)
    new_ids = []
    dead = yield steps.DEAD, (fifo_id, op.dead_id, _upto(op), op.limit)
    for (dead_id,) in dead:
        new_ids.append((yield steps.REDRIVE, (dead_id,)))
        yield steps.DELETE_DEAD, (dead_id,)
    return new_ids


def purge_dead(op: PurgeDead, _: Process) -> Decision[int]:
    """See ``PurgeDead``."""
    fifo_id, _in_work = yield from _find(op.fifo)
    which = (fifo_id, op.dead_id, op.before, op.lived_before, _upto(op), op.limit)
    purged: int = yield steps.PURGE_DEAD, which
    return purged


def forget(op: Forget, _: Process) -> Decision[bool]:
    """See ``Forget``."""
    fifo_id, _in_work = yield from _find(op.fifo)
    if fifo_id is None:
        return True
    length, dead = yield steps.HELD, (fifo_id,)
    held = [
        f"{number:,} {what}" for number, what in ((length, "item(s)"), (dead, "dead letter(s)")) if number
    ]
    if held:
        raise NotEmpty(f"FIFO {op.fifo!r} holds {' and '.join(held)}; it was not forgotten")
    return (yield from forget_fifo(fifo_id, op.limit))


def forget_fifo(fifo_id: int, limit: int) -> Decision[bool]:
    """Delete a FIFO without items and dead letters, with its keys; False while there are keys left to delete.

    Its epoch is kept: the next FIFO begins above it, since it may be of the same name.
    """
    if (yield steps.FORGET_SOME_KEYS, (fifo_id, limit)) >= limit:
        return False
    yield steps.LOOK, ()
    yield steps.KEEP_EPOCH, (fifo_id,)
    yield steps.FORGET, (fifo_id,)
    return True


def record_policy(op: RecordPolicy, _: Process) -> Decision[None]:
    """See ``RecordPolicy``."""
    if op.policy is not None:
        yield steps.NEW_FIFO, (op.fifo,)
    yield steps.POLICY, (op.fifo, op.policy)


def _find(fifo: str) -> Decision[tuple[int | None, int | None]]:
    """The FIFO's id and the item that is in work, by a live process or a dead one."""
    row = yield steps.FIFO, (fifo,)
    return (row[0], row[3]) if row is not None else (None, None)


def _require_idle(fifo: str, in_work: int | None, item_id: int) -> Decision[None]:
    """``InWork`` while a live process works on the item; a dead one's claim is taken away."""
    if in_work != item_id:
        return
    _id, _epoch, owner, *_rest = yield steps.FIFO, (fifo,)
    if (yield steps.ALIVE, (owner,)):
        raise InWork(
            f"item {item_id} of FIFO {fifo!r} is in work; nothing was changed. Pause the FIFO and wait"
        )
    yield from orphan(owner)


def _upto(op: Purge | Redrive | PurgeDead) -> int:
    return ALL if op.upto is None else op.upto
