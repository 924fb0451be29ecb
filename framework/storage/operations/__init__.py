"""The operations of a storage, and their answers, as plain data.

The one rule: an operation contains everything that it needs. Each kind has one decision
(``framework.storage.decisions``). A ``write`` groups operations that belong together: see
``framework.storage.contract``.
"""

from __future__ import annotations

from framework.storage.operations.queues import (
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
from framework.storage.operations.requests import BeginRequest, EndRequest, RequestKey, StoredResponse
from framework.storage.operations.rows import (
    OWNER,
    POSITION,
    TARGET,
    Delete,
    Execute,
    Executed,
    Insert,
    Link,
    Referrer,
    Require,
    Unreferred,
    Update,
)
from framework.storage.operations.states import DeadLetter, FifoState, InWorkState, ItemState
from framework.storage.operations.steering import (
    ALL,
    Drain,
    Drop,
    Forget,
    Pause,
    Purge,
    PurgeDead,
    Redrive,
    RetryNow,
    Skip,
)
from framework.storage.operations.upkeep import (
    Audit,
    AuditMore,
    BeginStop,
    Prune,
    RecordPolicy,
    RecordProblem,
)

__all__ = [
    "ALL",
    "OWNER",
    "POSITION",
    "TARGET",
    "Acknowledge",
    "Audit",
    "AuditMore",
    "BeginRequest",
    "BeginStop",
    "Bury",
    "Claim",
    "DeadLetter",
    "Delete",
    "Deliver",
    "Delivery",
    "Drain",
    "Drop",
    "EndRequest",
    "Execute",
    "Executed",
    "Failure",
    "FifoState",
    "Forget",
    "InWorkState",
    "Insert",
    "ItemState",
    "Link",
    "Operation",
    "Pause",
    "Prune",
    "Purge",
    "PurgeDead",
    "Put",
    "RecordPolicy",
    "RecordProblem",
    "Redrive",
    "Referrer",
    "Release",
    "RequestKey",
    "Require",
    "RetryNow",
    "Skip",
    "StoredResponse",
    "Undelivered",
    "Unreferred",
    "Update",
]

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
