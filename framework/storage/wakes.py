"""Which FIFOs a commit may make deliverable. The answer is the same for every storage engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from framework.storage.operations import (
    Acknowledge,
    Audit,
    Bury,
    Deliver,
    Drop,
    Operation,
    Pause,
    Put,
    Redrive,
    Release,
    RetryNow,
    Skip,
)
from framework.storage.signals import AUDITED

# The FIFO that an operation may set going, by the kind of operation. It is looked up for each write, so it is a
# table.
_fifo, _of_claim = attrgetter("fifo"), attrgetter("claim.fifo")
_SETS_GOING: Mapping[type, Callable[[Any], str]] = {
    **dict.fromkeys((Acknowledge, Release, Bury), _of_claim),
    **dict.fromkeys((Put, Pause, RetryNow, Skip, Drop, Redrive), _fifo),
    Audit: lambda _: AUDITED,
}


def woken(operations: Sequence[Operation]) -> set[str]:
    """The FIFOs in which something may be deliverable once these are committed."""
    wakes: set[str] = set()
    delivered: set[str] = set()
    for operation in operations:
        kind = type(operation)
        if kind in _SETS_GOING:
            wakes.add(_SETS_GOING[kind](operation))
        elif isinstance(operation, Deliver):
            delivered.add(operation.fifo)
    return wakes - delivered  # a worker that acknowledges and takes the next item leaves nothing for another
