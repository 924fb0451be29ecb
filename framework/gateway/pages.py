"""The framework's own pages under ``/-/``: health and logon. They are a Starlette application.

The gateway mounts it beside the routes of the definitions. The one rule: **a page needs neither a definition nor a
token**, so it shows only public information. ``/-/server`` answers on the control socket only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from framework.gateway import failures
from framework.gateway.logon import Logon
from framework.gateway.requests import ClientGone
from framework.gateway.response_headers import ResponseHeaders
from framework.gateway.responses import Response, make, problem
from framework.transactions.session import Session

PREFIX = "-"  # the first segment of each path

_ADDED = (b"content-length", b"date")  # headers that only an answer to a client has

Problems = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Page:
    """The page for a request. It is made when it is sent."""

    app: Starlette
    scope: Any
    receive: Any

    async def send(self, send: Any) -> None:
        """Send it to a client."""
        await self.app(self.scope, self.receive, send)

    async def read(self) -> Response:
        """The answer, for a script of this process."""
        response = Response(0, b"")

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.code = message["status"]
                kept = [pair for pair in message["headers"] if pair[0] not in _ADDED]
                response.headers = ResponseHeaders(raw=kept)
            else:
                response.body += message.get("body", b"")

        await self.send(keep)
        return response


class Pages:
    """The pages of one gateway. ``problems`` returns why workers cannot run."""

    def __init__(self, session: Session, logon: Logon, problems: Problems) -> None:
        self._session = session
        self._problems = problems
        answers = {
            "/-/live": self._live,
            "/-/ready": self._ready,
            "/-/logon": logon.answer,
            "/-/server": self._server,
        }
        self._app = Starlette(
            routes=[Route(path, _AnyMethod(path, answer)) for path, answer in answers.items()],
            middleware=[Middleware(_Failures)],
            exception_handlers={404: _nothing},
        )
        self._app.router.redirect_slashes = False  # a slash at the end of a path has no meaning

    def page(self, scope: Any, receive: Any, segments: Sequence[str]) -> Page:
        """The page for these segments of a path, of which ``-`` is the first, or a 404."""
        scope["path"] = "/" + "/".join(segments)
        return Page(self._app, scope, receive)

    async def _live(self, scope: Any) -> Response:
        return make(200, {"status": "live"})

    async def _ready(self, scope: Any) -> Response:
        if not self._session.running:
            return problem(503, "the server is stopping")
        await self._session.storage.fifo_state("")  # raises if the database cannot be read
        if self._problems():
            return problem(503, "a worker cannot run; the server's log and `framework doctor` say why")
        return make(200, {"status": "ready"})

    async def _server(self, scope: Any) -> Response:
        if scope.get("control") is None:
            raise HTTPException(404)
        return make(200, scope["control"])


class _AnyMethod:
    """A page that answers every method. For this, the endpoint is an application and not a function."""

    def __init__(self, path: str, answer: Callable[[Any], Awaitable[Response]]) -> None:
        self._path = path
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["template"] = self._path  # for the access log
        response = await self._answer(scope)
        await response.send(send)


class _Failures:
    """Middleware: an error becomes the same answer as for a route of the definitions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientGone:
            raise
        except Exception as error:
            if started:
                raise
            await failures.before_script(error, scope).send(send)


async def _nothing(request: Request, error: Exception) -> Any:
    response = problem(404, "nothing is here; /-/live, /-/ready and /-/logon are")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await response.send(send)

    return answer
