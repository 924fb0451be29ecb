"""The answer to the client for an error that escapes a script. It never shows a traceback or internals."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from framework.errors import (
    Changed,
    ClaimLost,
    Duplicate,
    FifoFull,
    Gone,
    HTTPError,
    ItemRefused,
    StillReferred,
    Stopping,
    StorageError,
    TransitionError,
    Unavailable,
    ValidationError,
)
from framework.gateway import blame
from framework.gateway.calls import Call
from framework.gateway.forwarding.outgoing import TargetFailed
from framework.gateway.response_headers import BadAnswer
from framework.gateway.responses import Response, from_http_error, problem
from framework.gateway.routing import Route
from framework.observing import trace

logger = logging.getLogger("framework.gateway")


class TooSlow(Exception):
    """The script gave no answer within ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the script gave no answer within {seconds:g} s")


def response(error: BaseException, call: Call) -> Response:
    """The answer for an error. An unexpected one is logged with its YAML line under an id.

    The client is blamed only for what it sent: see ``blame``.
    """
    route, method = call.route, call.scope["method"]
    if isinstance(error, HTTPError):
        try:
            return from_http_error(error)
        except Exception as unsendable:  # its body or reason is neither text nor JSON
            detail = blame.unwritable(unsendable, call)
            if detail is not None:
                return problem(422, detail)
            return _of_script(unsendable.with_traceback(error.__traceback__), route, method)
    if isinstance(error, ValidationError):
        return _of_value(error, call)
    if isinstance(error, Gone) and error.table == route.definition.atom:
        return problem(404, f"there is no {error.table} with this identifier any more")
    if isinstance(error, Duplicate | Gone | Changed | StillReferred):
        return problem(409, str(error))
    if isinstance(error, ItemRefused) and blame.item_is_of_client(error, call):
        return problem(422, str(error))
    if isinstance(error, TooSlow):
        logger.error("%s %s: %s", method, route.path, error, extra={"action": "too_slow"})
        return problem(504, str(error))
    if isinstance(error, TargetFailed):
        logger.error("%s %s: %s", method, route.path, error, extra={"action": "target_failed"})
        return problem(error.code, error.detail)
    if isinstance(error, FifoFull):
        return _full(error, route, method)
    if isinstance(error, Unavailable | Stopping | ClaimLost):
        return _unavailable(error, route, method)
    if isinstance(error, ValueError | RecursionError):
        detail = blame.unreadable(error, call)
        if detail is not None:
            return problem(400, detail)
    detail = blame.unwritable(error, call)
    if detail is not None:
        return problem(422, detail)
    return _of_script(error, route, method)


def _of_value(error: ValidationError, call: Call) -> Response:
    if isinstance(error, TransitionError) and (not error.assigned or blame.name_is_of_client(error, call)):
        told = {"field": error.field, "state": error.state, "possible": list(error.possible)}
        return problem(409, str(error), rule=error.rule, **told)
    if not isinstance(error, TransitionError) and blame.value_is_of_client(error, call):
        return problem(422, str(error), field=error.field, rule=error.rule)
    return _of_script(error, call.route, call.scope["method"])


def _full(error: BaseException, route: Route, method: str) -> Response:
    logger.warning("%s %s: %s", method, route.path, error, extra={"action": "fifo_full"})
    answer = problem(503, f"the queue is full; {_stored(route)}. Try again later.")
    answer.headers["retry-after"] = "10"
    return answer


def _unavailable(error: BaseException, route: Route, method: str) -> Response:
    logger.error("%s %s: %s", method, route.path, error, extra={"action": "unavailable"})
    answer = problem(503, f"the database cannot take this now; {_stored(route)}. Try again later.")
    answer.headers["retry-after"] = "1"
    return answer


def _stored(route: Route) -> str:
    """What the script has left in the database. It is nothing only if the script is one transaction."""
    whole = route.definition.transaction or route.definition.idempotency
    return "nothing was stored" if whole else "what the script stored before stays"


def _of_script(error: BaseException, route: Route, method: str) -> Response:
    return unexpected(error, method, route.path, place=str(route.definition.location), who="the script")


def unexpected(
    error: BaseException, method: str, path: str, *, place: str = "", who: str = "the server"
) -> Response:
    """500 for an unexpected error: the log has it under the id that the client gets.

    ``path`` is the route's template. ``place`` is the location of the error if its traceback does not have it.
    """
    number = secrets.token_hex(8)
    known = isinstance(error, BadAnswer)
    line = error.place if isinstance(error, BadAnswer) else None
    at = trace.place(error) or (f"{trace.shown(line[0])}:{line[1]}" if line else place)
    logger.error(
        "error %s in %s %s%s: %s",
        number,
        method,
        path,
        f" at {at}" if at else "",
        trace.summary(error),
        extra={
            "action": "request_error",
            "error_id": number,
            "traceback": trace.of_script(error, line) if known else trace.text(error),
        },
    )
    return problem(500, f"{who} failed; the server's log has more under the id", id=number)


def before_script(error: Exception, scope: Any) -> Response:
    """The answer for an error before a script runs, or without a script."""
    if isinstance(error, HTTPError):
        return from_http_error(error)
    path = scope.get("template", "-")
    if isinstance(error, StorageError):
        logger.error("%s %s: %s", scope["method"], path, error, extra={"action": "unavailable"})
        return problem(503, "the database cannot be read now. Try again later.")
    return unexpected(error, scope["method"], path)


def stopping() -> Response:
    """503 for a request that was still in progress when the grace of a shutdown was over."""
    answer = problem(503, "the server is stopping, and the request was not finished in time")
    answer.headers["retry-after"] = "1"
    return answer


def lost() -> Response:
    """503 when the files of the database are gone, because data of a new answer would be lost."""
    return problem(
        503, "the database of this server was deleted, moved or replaced; nothing is stored any more"
    )
