"""What a process writes of itself, and what is deleted because of its age."""

from __future__ import annotations

from collections.abc import Mapping

from framework.storage.decisions import steps
from framework.storage.decisions.process import Process
from framework.storage.decisions.steering import forget_fifo
from framework.storage.decisions.steps import Decision, Step
from framework.storage.operations import Audit, AuditMore, BeginStop, Prune, RecordProblem

_NEWBORN = 60.0  # seconds: a process of this age may not be known to be alive yet

_PRUNED: Mapping[str, tuple[Step, ...]] = {
    "dead letters": (steps.PRUNE_DEAD,),
    "tokens": (steps.PRUNE_TOKENS,),
    "logons": (steps.PRUNE_LOGONS,),
    "responses": (steps.PRUNE_REQUESTS, steps.PRUNE_UNMARKED_REQUESTS),
    "keys": (steps.PRUNE_KEYS,),
    "audit": (steps.PRUNE_AUDIT,),
}


def register(host: str, pid: int) -> Decision[int]:
    """A number for a process; those that died and have nothing in work are forgotten.

    It is alive by its number only after the commit.
    """
    now = yield steps.NOW, ()
    number: int = yield steps.REGISTER, (host, pid, now)
    idle = yield steps.IDLE_PROCESSES, (now - _NEWBORN,)
    for (process,) in idle:
        if not (yield steps.ALIVE, (process,)):
            yield steps.FORGET_PROCESS, (process,)
            yield steps.FORGET_PROBLEMS, (process,)
    return number


def begin_stop(_: BeginStop, process: Process) -> Decision[None]:
    """See ``BeginStop``. With nothing in work there is nothing to remember, and no commit to wait for."""
    yield steps.BEGIN_STOP, (process.number,)


def record_problem(op: RecordProblem, process: Process) -> Decision[None]:
    """See ``RecordProblem``."""
    if op.problem is None:
        yield steps.NO_PROBLEM, (process.number, op.worker)
    else:
        yield steps.PROBLEM, (process.number, op.worker, op.problem, op.at)


def audit(op: Audit, _: Process | None = None) -> Decision[int]:
    """See ``Audit``."""
    lived = yield steps.LIVED, ()
    values = (op.at, op.user, op.host, op.pid, op.action, op.target, op.arguments, op.affected, lived)
    number: int = yield steps.AUDIT, values
    return number


def audit_more(op: AuditMore, _: Process) -> Decision[None]:
    """See ``AuditMore``."""
    yield steps.AUDIT_MORE, (op.number, op.affected)


def prune(op: Prune, _: Process) -> Decision[int]:
    """See ``Prune``."""
    lived, first, wall = yield steps.LOOK, ()
    if op.what == "fifos":
        return (yield from _prune_fifos(lived, op))
    pruned = 0
    for step in _PRUNED[op.what]:
        pruned += yield step, (lived, first, wall, op.kept, op.limit)
    return pruned


def _prune_fifos(lived: float, op: Prune) -> Decision[int]:
    yield steps.MARK_IDLE, (lived,)
    idle = yield steps.IDLE_FIFOS, (lived - op.kept, op.limit)
    pruned = 0
    for (fifo_id,) in idle:
        pruned += yield from forget_fifo(fifo_id, op.limit)
    return pruned
