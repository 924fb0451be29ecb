"""``POST /-/logon``: exchanges the key of an account for a token.

The rule: neither the answer nor its duration shows whether a key is unknown, old, or belongs to a disabled account.
The database itself does not distinguish these cases here.
"""

from __future__ import annotations

import datetime
from typing import Any

from framework.access import accounts
from framework.gateway.attempts import Attempts
from framework.gateway.authentication import KEY_HEADER
from framework.gateway.responses import Response, make, problem
from framework.transactions.session import Session

DEFAULT_EXPIRY = 12 * 3600.0  # seconds

_MISSING = "logging on needs the account's key in the header X-Xaas-Api-Key"
_WRONG = "this key does not log on"


class Logon:
    """Issues tokens for keys. Each is valid for ``expiry`` seconds."""

    def __init__(self, session: Session, *, expiry: float = DEFAULT_EXPIRY) -> None:
        self._session = session
        self._expiry = expiry
        self._attempts = Attempts(session.sleep)  # no wait outlasts a shutdown

    async def answer(self, scope: Any) -> Response:
        """The answer to a request for the logon path. Raises ``StorageError`` if the database cannot be read."""
        response = await self._answer(scope)
        response.headers["cache-control"] = "no-store"
        return response

    async def _answer(self, scope: Any) -> Response:
        if scope["method"] != "POST":
            response = problem(405, "log on with POST")
            response.headers["allow"] = "POST"
            return response
        keys = {value.strip(b" \t") for name, value in scope["headers"] if name == KEY_HEADER} - {b""}
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != KEY_HEADER]
        if not keys:
            return _unauthorised(_MISSING)
        if len(keys) > 1:
            return problem(400, "the request carries two different keys; send one")
        found = await accounts.log_on(self._session.storage, keys.pop(), expires_in=self._expiry)
        if found is None:
            return await self._failed(scope)
        scope["account"] = found.account  # for the access log
        expires_at = datetime.datetime.fromtimestamp(found.expires_at, datetime.UTC)
        return make(200, {"token": found.token, "expires_at": expires_at.isoformat(timespec="seconds")})

    async def _failed(self, scope: Any) -> Response:
        client = scope.get("client")
        wait = await self._attempts.failed(client[0] if client else "(unknown)")
        if wait is None:
            return _unauthorised(_WRONG)
        response = problem(429, "too many failed logons; try again later")
        response.headers["retry-after"] = f"{wait:.0f}" if wait >= 1 else "1"
        response.headers["connection"] = "close"  # a new attempt costs a new connection
        return response


def _unauthorised(message: str) -> Response:
    response = problem(401, message)
    response.headers["www-authenticate"] = 'X-Xaas-Api-Key realm="framework"'
    return response
