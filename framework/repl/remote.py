"""The callout of the REPL. It calls the server of its database by the server's control socket."""

from __future__ import annotations

from collections.abc import Mapping

from framework.script.callout import Callout, Response
from framework.serving.control import Server
from framework.transactions.session import Session

_NEVER = 0.0  # the caller sets the time-out


class RemoteGateway:
    """The gateway of another process. ``close`` it."""

    def __init__(self, server: Server, session: Session) -> None:
        self._session = session
        self._callout = Callout()
        self._callout.join(server.url, socket=server.socket)

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, max_body: int
    ) -> Response:
        """Send a request through the whole pipeline of the gateway."""
        self._session.require_free("a callout to the server")
        return await self._callout(path, method, body, headers, request_timeout=_NEVER, max_body=max_body)

    async def close(self) -> None:
        """Close the connections."""
        await self._callout.close()
