"""A call of a routing script: its time limit, its transaction, and what an error becomes.

The one rule: **a response that is sent stands for what is stored.** With ``transaction: true`` the response
is made first, then everything is stored together, and only then is it sent; an exception, a time-out or a
response that cannot be made stores nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from framework.gateway import failures
from framework.gateway.calls import Call
from framework.gateway.idempotency import Idempotency
from framework.gateway.responses import Response, from_result, make, problem
from framework.gateway.routing import Route
from framework.mu import MU
from framework.session import SCRIPT, Session

logger = logging.getLogger("framework.gateway")


class Scripts:
    """Runs the scripts of calls. Holds nothing open."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._idempotency = Idempotency(session)
        self._warned: set[str] = set()

    async def answer(self, call: Call) -> Response:
        """The response to a call, whatever its script does."""
        if call.route.request_script is None:
            return _no_forwarding(call.route)
        definition = call.route.definition
        try:
            if definition.idempotency:
                return await self._idempotency.answer(call, self._in_transaction, _failed)
            if definition.transaction:
                async with self._session.collected():
                    return await self._run(call)
            return await self._run(call)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            return _failed(call, error)

    async def _in_transaction(self, call: Call, before_commit: Any) -> Response:
        async with self._session.collected():
            response = await self._run(call)
            await before_commit(response)
            return response

    async def _run(self, call: Call) -> Response:
        """What the script answers within its time limit. Made before any commit: what cannot be sent is not stored."""
        finished: list[Response] = []

        def finish(body: Any = None, code: int = 200, headers: Mapping[str, Any] | None = None) -> None:
            """Answer with this, whatever the script returns later. The first call counts."""
            finished.append(make(code, body, headers))

        route = call.route
        assert route.request_script is not None
        limit = asyncio.timeout(route.definition.request_timeout)
        name = SCRIPT.set(route.path)
        try:
            async with limit:
                result = await route.request_script(
                    call.request, call.resources, call.parameters, route, finish, MU()
                )
        except TimeoutError as error:
            if limit.expired():
                raise failures.TooSlow(route.definition.request_timeout) from error
            raise
        finally:
            SCRIPT.reset(name)
        if finished:
            return finished[0]
        if result is None:
            return _no_forwarding(route)
        self._warn_of_bare_status(route, result)
        return from_result(result)

    def _warn_of_bare_status(self, route: Route, result: Any) -> None:
        """Once a route: ``return 204`` is the body 204 with the status 200, and seldom meant so."""
        if type(result) is not int or not 100 <= result <= 599 or route.path in self._warned:
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
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    return failures.response(error, route=call.route, method=call.request.method, body=call.request.body)


def _no_forwarding(route: Route) -> Response:
    """The script let the request go on to the target."""
    logger.error("%s: the script gave no answer, and forwarding to a target is not built yet", route.path)
    return problem(501, "the script let the request go on to its target; this version does not forward")
