"""callout of the REPL: to the server of its database, over HTTP, with a token of its own.

The token is made at the first call, renewed before it expires, and withdrawn at the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from framework import tokens
from framework.callout import Callout, Response
from framework.session import Session

EXPIRY = 600.0  # seconds; it is renewed at half of it
_NEVER = 0.0  # the time-out is the caller's


class RemoteGateway:
    """The gateway of another process. ``close`` it while the storage is open."""

    def __init__(self, url: str, session: Session) -> None:
        self._url = url
        self._session = session
        self._callout = Callout()
        self._secret: str | None = None
        self._renew_at = 0.0

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, max_body: int
    ) -> Response:
        """A request to the gateway, which takes its whole pipeline."""
        self._session.require_free("a callout to the server")
        if self._secret is None or time.time() >= self._renew_at:
            await self._renew()
        return await self._callout(path, method, body, headers, request_timeout=_NEVER, max_body=max_body)

    async def _renew(self) -> None:
        old, self._secret = self._secret, await tokens.issue(self._session.storage, expires_in=EXPIRY)
        self._renew_at = time.time() + EXPIRY / 2
        self._callout.join(self._url, self._secret)
        if old is not None:
            await tokens.withdraw(self._session.storage, old)

    async def close(self) -> None:
        """Withdraw the token, close the connections."""
        await self._callout.close()
        secret, self._secret = self._secret, None
        if secret is not None:
            await tokens.withdraw(self._session.storage, secret)
