"""The dispatch of a call to its request script, its target and its response script, and the answers for their errors.

The one rule: **a response is sent only after everything is stored.** With ``transaction: true`` each script is one
transaction: its response is made first, then everything is stored together, and only then is the response sent, or
the request forwarded to the target. After an exception, a time-out or an invalid response, nothing of the script is
stored.
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
    """The script does not answer."""


class Dispatcher:
    """Answers calls with the scripts and the target of their routes. Holds nothing open."""

    def __init__(self, session: Session, targets: Targets, *, max_body: int) -> None:
        self._session = session
        self._targets = targets
        self._max_body = max_body
        self._idempotency = Idempotency(session)
        self._warned: set[str] = set()

    async def answer(self, call: Call) -> Response | Forwarded:
        """The response to a call, whatever its scripts and its target do. Raises ``ClientGone`` if nobody waits for
        it."""
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
        """The largest body in bytes that is held in memory."""
        return call.route.definition.max_body or self._max_body

    # ---- the request script -----------------------------------------------------------------

    async def _before(self, call: Call) -> Response | None:
        """The answer of the request script, or None if the request goes on to the target."""
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
        """The target's response after the response script has changed or replaced it."""
        if call.route.response_script is None:
            return response
        seen = await readable(response, self._most(call))
        came = Response(seen.code, seen.body, seen.headers.mutablecopy())

        def left() -> Response:
            if seen.body is came.body is not response.body and "content-encoding" not in seen.headers.given:
                seen.body = came.body = response.body  # compressed, as it was sent
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
        """The answer of a script within its time. It is made before any commit, so nothing is stored for an invalid
        answer.

        ``unanswered`` makes the answer if the script gives none.
        """
        finished: list[Response] = []

        def finish(body: Any = None, code: int = 200, headers: Mapping[str, Any] | None = None) -> None:
            """Answer with this, whatever the script returns. The first call counts."""
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
        if (
            result is not None and route.definition.atom is None
        ):  # otherwise it is not a script of the definitions
            line, result = result
            place = (route.definition.file, line)
        if result is None:
            return unanswered()
        if type(result) is int:
            self._warn_of_bare_status(route, result)
        return from_result(result, place)

    def _warn_of_bare_status(self, route: Route, result: int) -> None:
        """Warn once for each route: ``return 204`` means the body 204 with the status 200, which is seldom
        intended."""
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
    """The answer for an error. A cancellation of the call itself is not an error and propagates."""
    task = _current_task()
    if task is None or (isinstance(error, asyncio.CancelledError) and task.cancelling()):
        raise error
    return failures.response(error, call)


def _current_task() -> asyncio.Task[Any] | None:
    """The current task, or None without a running loop: then the call's coroutine is being closed and cannot
    answer."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
