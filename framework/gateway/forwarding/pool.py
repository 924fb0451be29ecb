"""The pool of connections to back ends: aiohttp's client, which keeps no other state and trusts no leftover bytes.

The one rule: **every failure is reported in the gateway's words.** No text of aiohttp passes through. Import it only
where requests are forwarded, because importing aiohttp takes time.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientResponse
from yarl import URL

from framework.gateway.forwarding.outgoing import Outgoing, ResponseCut, TargetFailed, Unanswered, Unsent
from framework.gateway.forwarding.remainder import Connector, RememberingTLS, Response
from framework.gateway.wire import framing

# A connection that was idle for longer is not used again (seconds): many servers close theirs after 5.
KEPT_IDLE = 4.0
DNS_KEPT = 10  # seconds
LARGEST_FIELD = 32768  # bytes of one header field of a response, as of a whole request's header

# What aiohttp would add by itself.
_UNASKED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Pool:
    """Connections to any number of hosts. Make it in a running loop, and ``close`` it."""

    def __init__(self) -> None:
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._client = aiohttp.ClientSession(
            connector=Connector(limit=0, keepalive_timeout=KEPT_IDLE, ttl_dns_cache=DNS_KEPT),
            request_class=_Request,
            response_class=Response,
            cookie_jar=_Jar(),
            skip_auto_headers=_UNASKED,
            auto_decompress=False,
            max_line_size=LARGEST_FIELD,
            max_field_size=LARGEST_FIELD,
            trust_env=False,
        )

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """Verifies against the system's trusted certificates, or those of the environment's ``SSL_CERT_FILE``."""
        context = ssl.create_default_context()
        context.sslobject_class = RememberingTLS
        return context

    async def close(self) -> None:
        await self._client.close()

    async def send(self, request: Outgoing, host: str) -> Incoming:
        """The response of a host. Raises ``Unsent``, ``Unanswered`` or ``TargetFailed`` if there is none."""
        timeout = self._timeouts.get(request.connect_timeout)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(connect=request.connect_timeout)
            self._timeouts[request.connect_timeout] = timeout
        while True:
            try:
                response = await self._client.request(
                    request.method,
                    URL(host + request.target, encoded=True),
                    headers=request.headers,
                    data=request.body,
                    chunked=True if request.length is None else None,
                    timeout=timeout,
                    ssl=self._tls if host.startswith("https") else True,
                    allow_redirects=False,
                )
            except _Stale:
                continue  # it is closed and removed from the pool; nothing was sent
            except (aiohttp.ClientError, OSError) as error:
                raise _failure(error, request, host) from None
            if not 200 <= response.status <= 599:
                response.close()
                reason = f"{host}: the status is {response.status}"
                raise TargetFailed(502, "the target's answer is not valid HTTP", reason)
            wrong = _misframed(response)
            if wrong is not None:
                response.close()
                raise TargetFailed(502, "the target's answer is not valid HTTP", f"{host}: {wrong}")
            return Incoming(response)


class Incoming:
    """The response of a back end, without its body yet. The caller must ``close`` it."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.code = response.status
        self.headers = response.raw_headers

    @property
    def whole(self) -> bytes | None:
        """The body, if it is already complete."""
        content = self._response.content
        if not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ``ResponseCut`` if the back end breaks off or sends invalid data."""
        self._watch()
        try:
            while piece := await self._response.content.readany():
                yield piece
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError) as error:
            raise ResponseCut(_reason(error)) from None

    def _watch(self) -> None:
        """Notify the reader of the body, because aiohttp closes a connection with invalid data without doing so."""
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        closed = None if protocol is None else protocol.closed
        if closed is not None:
            closed.add_done_callback(self._lost)

    def _lost(self, closed: asyncio.Future[None]) -> None:
        error = None if closed.cancelled() else closed.exception()
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(error or aiohttp.ClientPayloadError("the body is not HTTP"))

    def close(self) -> None:
        """Return the connection to the pool, or close it if its response is incomplete."""
        self._response.close()
        remainder = getattr(self._response, "remainder", None)
        if remainder is not None:
            remainder.close()


# A back end reads this much with the head or in its next read, even if it refuses the request.
_SURELY_READ = 65536  # bytes of a request's body


class _Stale(aiohttp.ServerDisconnectedError):
    """A pooled connection on which unexpected data arrived. Nothing was sent on it."""


class _Request(aiohttp.ClientRequest):
    """A request that is never sent on a connection with leftover bytes, which would count as its response."""

    async def send(self, conn: Any) -> ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise _Stale
        size = self.headers.get("Content-Length")
        conn.protocol.hold(body=bool(self.body), large=size is None or int(size) > _SURELY_READ)
        return await super().send(conn)


class _Jar(aiohttp.DummyCookieJar):
    """A cookie jar that neither keeps nor reads cookies."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        pass


def _misframed(response: ClientResponse) -> str | None:
    """What is wrong with the framing of a response. aiohttp treats any coding as one that it has removed."""
    codings, lengths = [], []
    for name, value in response.raw_headers:
        lowered = name.lower()
        if lowered == b"transfer-encoding":
            codings.append(value)
        elif lowered == b"content-length":
            lengths.append(value)
    if not codings and not lengths:
        return None
    version = response.version
    return framing.mistake(codings, lengths, f"{version.major}.{version.minor}" if version else "1.0")


def _failure(error: Exception, request: Outgoing, host: str) -> Exception:
    """The meaning of an error of the client."""
    reason = f"{host}: {_reason(error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unsent(TargetFailed(502, "the target cannot be reached", reason))
    if isinstance(error, aiohttp.ServerTimeoutError):
        reason = f"{host}: no connection within {request.connect_timeout:g} s"
        return Unsent(TargetFailed(504, "the target cannot be reached in time", reason))
    if isinstance(error, aiohttp.ClientResponseError):
        return TargetFailed(502, "the target's answer is not valid HTTP", reason)
    return Unanswered(TargetFailed(502, "the target gave no answer", reason))


def _reason(error: BaseException) -> str:
    """The reason for the log, without any text of the back end, which may be a secret."""
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.http_exceptions.HttpProcessingError):
        return error.message.partition(":")[0]  # what follows is quoted
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the body is not whole, or is not HTTP"
    system = getattr(error, "os_error", None)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror.lower()
    return " ".join((str(error) or type(error).__name__).split())[:300]
