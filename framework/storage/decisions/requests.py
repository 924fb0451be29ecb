"""Requests that may be sent twice and must act once."""

from __future__ import annotations

from framework.errors import ClaimLost, RequestInProgress, RequestMismatch
from framework.storage.decisions import steps
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision
from framework.storage.operations import BeginRequest, EndRequest, RequestKey, StoredResponse


def begin_request(op: BeginRequest, process: Process) -> Decision[StoredResponse | None]:
    """See ``BeginRequest``."""
    same = _same(op.request)
    lived = yield steps.LIVED, ()
    found = yield steps.REQUEST, (*same, lived - op.kept)
    if found is not None:
        fingerprint, owner, status, headers, body = found
        if fingerprint != op.fingerprint:
            raise RequestMismatch(RequestMismatch.__doc__)
        if owner is None:
            return StoredResponse(status, headers, body)
        if owner != process.number and (yield steps.ALIVE, (owner,)):
            raise RequestInProgress(RequestInProgress.__doc__)
    yield steps.BEGIN_REQUEST, (*same, op.fingerprint, process.number, op.now, lived)
    return None


def end_request(op: EndRequest, process: Process) -> Decision[None]:
    """See ``EndRequest``."""
    ours, response = (*_same(op.request), process.number), op.response
    if response is None:
        yield steps.UNMARK_REQUEST, ours
    elif not (yield steps.ANSWER_REQUEST, (*ours, response.status, response.headers, response.body)):
        raise ClaimLost("the request no longer belongs to this process; nothing was changed")


def _same(request: RequestKey) -> tuple[str, str, str, str]:
    return request.account, request.method, request.path, request.key
