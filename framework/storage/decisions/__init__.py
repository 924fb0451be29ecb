"""What each operation decides, once for all engines.

The one rule: **a decision knows no database.** It is a generator: it asks for named statements
(``framework.storage.decisions.steps``), and what it asks next depends on the answers. An engine says what each
statement is in its language, and drives the decision to its end inside one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from framework.storage import operations as asked
from framework.storage.decisions import fifos, requests, rows, steering, upkeep
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision

DECISIONS: Mapping[type, Callable[[Any, Process], Decision[Any]]] = {
    asked.Execute: rows.execute,
    asked.Insert: rows.insert,
    asked.Update: rows.update,
    asked.Delete: rows.delete,
    asked.Link: rows.link,
    asked.Require: rows.require,
    asked.Unreferred: rows.unreferred,
    asked.Put: fifos.put,
    asked.Deliver: fifos.deliver,
    asked.Acknowledge: fifos.acknowledge,
    asked.Release: fifos.release,
    asked.Bury: fifos.bury,
    asked.Pause: steering.pause,
    asked.Drain: steering.drain,
    asked.RetryNow: steering.retry_now,
    asked.Skip: steering.skip,
    asked.Drop: steering.drop,
    asked.Purge: steering.purge,
    asked.Redrive: steering.redrive,
    asked.PurgeDead: steering.purge_dead,
    asked.Forget: steering.forget,
    asked.RecordPolicy: steering.record_policy,
    asked.Prune: upkeep.prune,
    asked.Audit: upkeep.audit,
    asked.AuditMore: upkeep.audit_more,
    asked.BeginStop: upkeep.begin_stop,
    asked.RecordProblem: upkeep.record_problem,
    asked.BeginRequest: requests.begin_request,
    asked.EndRequest: requests.end_request,
}
"""The decision of each operation; with the process that it is decided for."""
