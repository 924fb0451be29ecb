"""Requests that may be sent twice and must act once: the ``Idempotency-Key`` header.

As the IETF draft describes it (draft-ietf-httpapi-idempotency-key-header): the stored response is replayed,
409 while the first request is being answered, 422 when the key comes with other contents. The final
response is stored in the script's own transaction, so there is no moment at which one exists without
the other.

The one rule: **no caller gets an answer that was made for another one.** The caller is a part of the key: the
account, or on an open route the credentials that a script can read, and the headers that the route names.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from framework.errors import (
    HTTPError,
    RequestInProgress,
    RequestMismatch,
    StorageError,
)
from framework.gateway.calls import Call
from framework.gateway.response_headers import ResponseHeaders
from framework.gateway.responses import Response, problem
from framework.storage.holds import Hold
from framework.storage.operations import BeginRequest, EndRequest, RequestKey, StoredResponse
from framework.transactions.session import Session
from framework.values import jsontext

logger = logging.getLogger("framework.gateway")

KEPT_FOR = 24 * 3600.0  # seconds
LARGEST_RESPONSE = 1024 * 1024
LONGEST_KEY = 255
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Headers by which a script of an open route can identify callers. Our own tokens are removed before.
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token")
_NO_KEY_HAS_IT = "\x1f"

BeforeCommit = Callable[[Response], Awaitable[None]]
Run = Callable[[Call, BeforeCommit], Awaitable[Response]]
Failed = Callable[[Call, BaseException], Response]


class Idempotency:
    """Answers each call with a key once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # In the database a mark only says which process has the request in progress.
        self._running: set[RequestKey] = set()

    async def answer(self, call: Call, run: Run, failed: Failed) -> Response:
        """The response of the first request with this key, or of this one, stored in the same transaction."""
        key = _key(call)
        if key is None:
            return await run(call, _nothing)
        if key in self._running:
            return _in_progress()
        self._running.add(key)
        try:
            return await self._once(call, key, run, failed)
        finally:
            self._running.discard(key)

    async def _once(self, call: Call, key: RequestKey, run: Run, failed: Failed) -> Response:
        try:
            [stored] = await self._session.storage.write(
                [BeginRequest(key, _fingerprint(call), time.time(), KEPT_FOR)]
            )
        except RequestInProgress:
            return _in_progress()
        except RequestMismatch:
            return problem(422, "this Idempotency-Key was used for a request with other contents")
        if stored is not None:
            return Response(stored.status, stored.body, _headers(jsontext.decode(stored.headers)))

        async def before_commit(response: Response) -> None:
            if response.code < 500:
                await self._session.write([EndRequest(key, _stored(response))])

        try:
            with Hold(self._session.storage.disowned):
                response = await run(call, before_commit)
        except BaseException as error:
            response = await self._after_error(call, key, error, failed)
        if response.code >= 500:
            await self._unmark(key)
        return response

    async def _after_error(
        self, call: Call, key: RequestKey, error: BaseException, failed: Failed
    ) -> Response:
        """Nothing of the script is stored. Its answer is stored if it is final."""
        response = failed(call, error)
        if response.code < 500:
            await self._session.storage.write([EndRequest(key, _stored(response))])
        return response

    async def _unmark(self, key: RequestKey) -> None:
        """Allow the request to be sent again. If that cannot be written now, this process may still begin it
        again."""
        try:
            await self._session.storage.write([EndRequest(key, None)])
        except StorageError as error:
            logger.warning("the Idempotency-Key of a request could not be released: %s", error)


async def _nothing(response: Response) -> None:
    """There is no key: nothing more is stored."""


def _key(call: Call) -> RequestKey | None:
    """What identifies the request, or None if it has no key or a safe method.

    The draft writes the key as a quoted string. Without quotes it is taken as it is.
    """
    keys = call.request.headers.getlist("idempotency-key")
    if not keys or call.request.method in _SAFE:
        return None
    if len(set(keys)) > 1:
        raise HTTPError(400, "the request has two different values of Idempotency-Key")
    given = keys[0]
    key = given[1:-1] if len(given) >= 2 and given[0] == given[-1] == '"' else given
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise HTTPError(400, f"the Idempotency-Key is a text of 1 to {LONGEST_KEY} printable characters")
    return RequestKey(
        call.caller.name, call.scope["method"], call.scope["path"], key + _callers_mark(call, key)
    )


def _callers_mark(call: Call, key: str) -> str:
    """The addition to the key of a request with credentials: their hash, salted by the key."""
    definition = call.route.definition
    credentials = _CREDENTIALS if definition.auth_mode == "none" else ()
    digest, found = hashlib.sha256(key.encode()), False
    for name in dict.fromkeys((*credentials, *definition.idempotency_headers)):
        for value in call.request.headers.getlist(name):
            found = True
            digest.update(f"\0{name}\0{len(value)}\0{value}".encode("utf-8", "surrogatepass"))
    return _NO_KEY_HAS_IT + digest.hexdigest() if found else ""


def _fingerprint(call: Call) -> bytes:
    digest = hashlib.sha256(call.scope["query_string"])
    digest.update(b"\0")
    digest.update(call.body or b"")
    return digest.digest()


def _stored(response: Response) -> StoredResponse:
    if len(response.body) > LARGEST_RESPONSE:
        raise RuntimeError(
            f"a response of over {LARGEST_RESPONSE} bytes cannot be kept for a repeated request"
        )
    return StoredResponse(response.code, jsontext.encode(response.headers.items()), response.body)


def _headers(stored: Any) -> ResponseHeaders:
    """The name and value of each line. Older versions stored a mapping."""
    lines = stored.items() if isinstance(stored, dict) else stored
    return ResponseHeaders(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines])


def _in_progress() -> Response:
    response = problem(409, "the first request with this Idempotency-Key is still being answered")
    response.headers["retry-after"] = "1"
    return response
