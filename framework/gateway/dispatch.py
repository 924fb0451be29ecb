"""The dispatch of a call: to its request script, its target and its response script; what their errors become.

The one rule: **a response that is sent stands for what is stored.** With ``transaction: true`` each script is
a transaction of its own: its response is made first, then everything is stored together, and only then is the
response sent, or the request sent on to the target. An exception, a time-out or a response that cannot be
made stores nothing of the script.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from framework.gateway import failures
from framework.gateway.calls import Call
from framework.gateway.forwarding.targets import Forwarded, Targets
from framework.gateway.idempotency import Idempotency
from framework.gateway.requests import ClientGone
from framework.gateway.responses import Response, from_result, make, readable, remade
from framework.gateway.routing import Route, Script
from framework.transactions.context import entered
from framework.transactions.session import Session

logger = logging.getLogger("framework.gateway")

Unanswered = Callable[[], Response | None]


def _no_answer() -> None:
    """The script leaves it to somebody else."""


class Dispatcher:
    """Answers calls by the scripts and the target of their routes. Holds nothing open."""

    def __init__(self, session: Session, targets: Targets, *, max_body: int) -> None:
        self._session = session
        self._targets = targets
        self._max_body = max_body
        self._idempotency = Idempotency(session)
        self._warned: set[str] = set()

    async def answer(self, call: Call) -> Response | Forwarded:
        """The response to a call, whatever its scripts and its target do. ``ClientGone`` if nobody waits for it."""
        try:
            answered = await self._before(call)
            if answered is not None:
                return answered
            if not call.route.forwards:
                raise RuntimeError("the script ended without an answer, and the route has no target")
            forwarded = await self._targets.call(call)
            if call.route.response_script is None and forwarded.streamable:
                return forwarded
            return await self._after(call, await forwarded.read(self._most(call), deadline=call.deadline))
        except ClientGone:
            raise
        except BaseException as error:
            return _failed(call, error)

    def _most(self, call: Call) -> int:
        """How many bytes of body are held in memory."""
        return call.route.definition.max_body or self._max_body

    # ---- the request script -----------------------------------------------------------------

    async def _before(self, call: Call) -> Response | None:
        """What the request script answers; None if the request is to go on to the target."""
        script, definition = call.route.request_script, call.route.definition
        if script is None:
            return None
        if definition.idempotency:
            return await self._idempotency.answer(call, self._in_transaction, _failed)
        return await self._run(call, script)

    async def _in_transaction(self, call: Call, before_commit: Any) -> Response:
        assert call.route.request_script is not None
        async with self._session.collected(script=call.route.path):
            response = await self._script(call, call.route.request_script)
            if response is None:
                raise RuntimeError(
                    "the script ended without an answer; what a target answers cannot be stored with `idempotency`"
                )
            await before_commit(response)
            return response

    # ---- the response script ----------------------------------------------------------------

    async def _after(self, call: Call, response: Response) -> Response:
        """The target's response, as the response script leaves it, or what it answers instead."""
        if call.route.response_script is None:
            return response
        seen = await readable(response, self._most(call))
        came = Response(seen.code, seen.body, seen.headers.mutablecopy())

        def left() -> Response:
            if seen.body is came.body is not response.body and "content-encoding" not in seen.headers.given:
                seen.body = came.body = response.body  # as it was sent, compressed
                seen.headers["content-encoding"] = response.headers.getlist("content-encoding")
            return remade(seen, came=came)

        answered = await self._run(call, call.route.response_script, seen, unanswered=left)
        assert answered is not None
        return answered

    # ---- both -------------------------------------------------------------------------------

    async def _run(
        self, call: Call, script: Script, *more: Any, unanswered: Unanswered = _no_answer
    ) -> Response | None:
        if call.route.definition.transaction:
            async with self._session.collected(script=call.route.path):
                return await self._script(call, script, *more, unanswered=unanswered)
        with entered(script=call.route.path):
            return await self._script(call, script, *more, unanswered=unanswered)

    async def _script(
        self, call: Call, script: Script, *more: Any, unanswered: Unanswered = _no_answer
    ) -> Response | None:
        """What a script answers in time. Made before any commit: what cannot be sent is not stored.

        ``unanswered`` is what there is where the script answers nothing.
        """
        finished: list[Response] = []

        def finish(body: Any = None, code: int = 200, headers: Mapping[str, Any] | None = None) -> None:
            """Answer with this, whatever the script returns later. The first call counts."""
            finished.append(make(code, body, headers))

        route = call.route
        limit = asyncio.timeout_at(call.deadline)
        try:
            async with limit:
                result = await script(
                    call.request, call.resources, call.parameters, route, finish, call.session, *more
                )
        except TimeoutError as error:
            if limit.expired():
                raise failures.TooSlow(route.definition.request_timeout) from error
            raise
        if finished:
            return finished[0]
        place = None
        if result is not None and route.definition.atom is None:  # else it is no script of the definitions
            line, result = result
            place = (route.definition.file, line)
        if result is None:
            return unanswered()
        if type(result) is int:
            self._warn_of_bare_status(route, result)
        return from_result(result, place)

    def _warn_of_bare_status(self, route: Route, result: int) -> None:
        """Once a route: ``return 204`` is the body 204 with the status 200, and seldom meant so."""
        if not 100 <= result <= 599 or route.path in self._warned:
            return
        self._warned.add(route.path)
        logger.warning(
            "%s: %s: the script returned the number %d alone, which is sent as a body with the status 200; "
            "for the status write `return %d, None`",
            route.definition.location,
            route.path,
            result,
            result,
            extra={"action": "bare_status"},
        )


def _failed(call: Call, error: BaseException) -> Response:
    """The answer for an error; a cancellation of the call itself is no error and goes on."""
    task = _current_task()
    if task is None or (isinstance(error, asyncio.CancelledError) and task.cancelling()):
        raise error
    return failures.response(error, call)


def _current_task() -> asyncio.Task[Any] | None:
    """None where no loop runs: the call's coroutine is being closed, and cannot answer any more."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
