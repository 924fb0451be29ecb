"""The gateway as an ASGI application: match, authenticate, read the body, execute, answer.

The one rule: **whatever a script, a target or a client does, the client gets one well-formed answer**, or a cut
connection if the rest of it is missing. The log has internal errors, under an id.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from framework.gateway import failures
from framework.gateway.authentication import Authentication
from framework.gateway.calls import Call
from framework.gateway.dispatch import Dispatcher
from framework.gateway.forwarding.failover import Forwarding
from framework.gateway.forwarding.outgoing import TargetFailed
from framework.gateway.forwarding.targets import Forwarded, Targets
from framework.gateway.inflight import InFlight
from framework.gateway.logon import Logon
from framework.gateway.pages import PREFIX, Page, Pages
from framework.gateway.paths import segments
from framework.gateway.requests import ClientGone, Request, parameters, read_body
from framework.gateway.responses import Response, problem
from framework.gateway.routing import Routes
from framework.gateway.wire.limits import DEFAULTS
from framework.script.callout import NO_ANSWER
from framework.script.callout import Response as CalloutResponse
from framework.transactions.context import entered
from framework.transactions.session import Session

_VERSIONS = ("1.1", "1.0")
_ASCII = "".join(map(chr, range(128)))


class Gateway:
    """Serves the routes of a snapshot. Holds nothing open."""

    def __init__(
        self,
        routes: Routes,
        session: Session,
        *,
        authentication: Authentication,
        logon: Logon,
        forwarding: Forwarding,
        max_body: int = DEFAULTS.max_body,
        problems: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._routes = routes
        self._max_body = max_body
        self._in_flight = InFlight()
        self._session = session
        self._authentication = authentication
        self._pages = Pages(session, logon, problems)
        self._dispatcher = Dispatcher(session, Targets(forwarding), max_body=max_body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _refuse(scope, receive, send)
            return
        try:
            response = await self._respond(scope, receive, inside=False)
            await response.send(send)
        except ClientGone:
            return
        finally:
            self._in_flight.leave(scope)

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, max_body: int = 0
    ) -> CalloutResponse:
        """A request from inside the process: the same pipeline, without a token.

        ``max_body`` is the largest body of a target in bytes, 0 for no limit.
        """
        raw_path, _, query = quote(path, safe=_ASCII).partition("?")
        listed = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": listed,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        self._session.require_free("a callout to this gateway")
        try:
            with entered(transaction=None):  # the called script has a transaction of its own, or none
                response = await self._respond(scope, receive, inside=True)
                if isinstance(response, Forwarded):
                    response = await response.read(max_body or None, deadline=None)
                elif isinstance(response, Page):
                    response = await response.read()
        except TargetFailed as error:
            return CalloutResponse(NO_ANSWER, str(error).encode(), {})
        finally:
            self._in_flight.leave(scope)
        return CalloutResponse(response.code, response.body, response.headers)

    # ---- the pipeline -----------------------------------------------------------------------

    async def _respond(self, scope: Any, receive: Any, *, inside: bool) -> Response | Forwarded | Page:
        try:
            if scope.get("http_version", "1.1") not in _VERSIONS:
                return problem(505, "this server speaks HTTP/1.1 and HTTP/1.0")
            if not inside and self._session.storage.lost is not None and scope["raw_path"] != b"/-/live":
                return failures.lost()
            parts = segments(scope["raw_path"])
            if parts and parts[0] == PREFIX:
                return self._pages.page(scope, receive, parts)
            found = self._routes.match(parts)
            if found is None:
                return problem(404, "no route takes this path")
            route, resources = found
            if route.definition.inside and not inside:
                return problem(404, "no route takes this path")
            scope["template"] = route.path  # for the access log, like the account
            caller = await self._authentication.admit(scope, route, inside=inside)
            if isinstance(caller, Response):
                return caller
            scope["account"] = caller.name
            refused = self._in_flight.refusal(route)  # so that the client need not send its body in vain
            if refused is not None:
                return refused
            body = None
            if route.holds_body or inside:  # the body of a script's call is in memory anyway
                most = (route.definition.max_body or self._max_body) if route.holds_body else sys.maxsize
                body = await read_body(scope, receive, most)
            refused = self._in_flight.enter(scope, route)
            if refused is not None:
                return refused
            named = parameters(scope["query_string"]) if route.scripted else {}
            call = Call(route, Request(scope, body, caller), resources, named, caller, scope, receive, body)
            if route.validation is not None:
                refusal = route.validation.refusal(call.request, resources, named)
                if refusal is not None:
                    return refusal
        except ClientGone:
            raise
        except Exception as error:
            return failures.before_script(error, scope)
        return await self._dispatcher.answer(call)


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """WebSockets are not offered."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
