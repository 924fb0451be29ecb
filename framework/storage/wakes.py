"""Which FIFOs a commit may make deliverable. The answer is the same for every storage engine."""

from __future__ import annotations

from collections.abc import Sequence

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


def woken(operations: Sequence[Operation]) -> set[str]:
    """The FIFOs in which something may be deliverable once these are committed."""
    wakes: set[str] = set()
    delivered: set[str] = set()
    for operation in operations:
        if isinstance(operation, Acknowledge | Release | Bury):
            wakes.add(operation.claim.fifo)
        elif isinstance(operation, Deliver):
            delivered.add(operation.fifo)
        elif isinstance(operation, Put | Pause | RetryNow | Skip | Drop | Redrive):
            wakes.add(operation.fifo)
        elif isinstance(operation, Audit):
            wakes.add(AUDITED)
    return wakes - delivered  # who acknowledges and takes the next leaves nothing for another
