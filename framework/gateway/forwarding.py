"""Requests to back ends, by one pool of connections for the whole process.

The one rule: **a request is sent twice only where that does no harm**: to the next host when nothing was sent,
or when a method that may be repeated got no answer and its body can still be sent whole.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.gateway.backends import Backend, Backends
from framework.gateway.requests import BodyStream

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("framework.gateway")

# A connection that was idle for longer is not used again (seconds): many servers close theirs after 5.
KEPT_IDLE = 4.0
DNS_KEPT = 10.0

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# What aiohttp would add by itself.
_UNASKED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class TargetFailed(Exception):
    """The target gave no answer. ``code`` and ``detail`` are for the client, the message is for the log."""

    def __init__(self, code: int, detail: str, reason: str) -> None:
        super().__init__(f"{detail}: {reason}")
        self.code = code
        self.detail = detail


class ResponseCut(Exception):
    """A response ended before its end."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent, but for the host. ``length`` of a stream: None for chunks."""

    method: str
    target: str  # path and query, encoded
    headers: list[tuple[str, str]]
    body: bytes | BodyStream | None
    length: int | None
    connect_timeout: float

    @property
    def repeatable(self) -> bool:
        """Does it do no harm to send it again, and can it be?"""
        spent = isinstance(self.body, BodyStream) and self.body.begun
        return self.method in _IDEMPOTENT and not spent


class Incoming:
    """The response of a back end, its body still to come. Whoever got it must ``close`` it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.code = response.status
        self.headers = response.raw_headers

    @property
    def whole(self) -> bytes | None:
        """The body, if all of it is here already."""
        content = self._response.content
        if not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. ``ResponseCut`` when the back end breaks off, or talks nonsense."""
        import aiohttp

        try:
            while piece := await self._response.content.readany():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise ResponseCut(_reason(error)) from None

    def close(self) -> None:
        """Give the connection back; one whose response is not at its end is closed."""
        self._response.close()


class Forwarding:
    """Sends requests to back ends. Opened and closed by the runtime."""

    def __init__(self) -> None:
        self._backends = Backends()
        self._client: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; nothing is connected yet."""
        import aiohttp

        from framework.gateway.connections import Jar, Request

        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEPT_IDLE, ttl_dns_cache=int(DNS_KEPT), enable_cleanup_closed=False
            ),
            request_class=Request,
            cookie_jar=Jar(),
            skip_auto_headers=_UNASKED,
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the pooled connections; requests have ended."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def send(self, request: Outgoing, authorities: tuple[str, ...]) -> Incoming:
        """The response of the first host that gives one. ``TargetFailed`` when none does."""
        failure: TargetFailed | None = None
        for backend in self._backends.in_turn(authorities):
            backend.begin()
            try:
                return await self._to(backend, request)
            except _Unsent as error:
                backend.fails()
                failure = error.failure
            except _Unanswered as error:
                failure = error.failure
                if not request.repeatable:
                    break
            logger.warning("%s: %s", backend.url, failure, extra={"action": "backend_failed"})
        assert failure is not None
        raise failure

    async def _to(self, backend: Backend, request: Outgoing) -> Incoming:
        import aiohttp
        from yarl import URL

        from framework.gateway.connections import Stale

        assert self._client is not None, "the forwarding is not open"
        while True:
            try:
                response = await self._client.request(
                    request.method,
                    URL(backend.url + request.target, encoded=True),
                    headers=request.headers,
                    data=request.body or None,
                    chunked=True if isinstance(request.body, BodyStream) and request.length is None else None,
                    timeout=aiohttp.ClientTimeout(connect=request.connect_timeout),
                    allow_redirects=False,
                )
            except Stale:
                continue  # nothing was sent on it, and it is closed: at the end of the pool stands a new one
            except aiohttp.ClientConnectorError as error:
                raise _Unsent(TargetFailed(502, "the target cannot be reached", _reason(error))) from None
            except aiohttp.ServerTimeoutError as error:
                raise _Unsent(
                    TargetFailed(
                        504,
                        "the target cannot be reached in time",
                        f"no connection within {request.connect_timeout:g} s",
                    )
                ) from error
            except aiohttp.ClientResponseError as error:
                backend.works()
                raise TargetFailed(502, "the target's answer is not HTTP", _reason(error)) from None
            except (aiohttp.ClientError, OSError) as error:
                raise _Unanswered(TargetFailed(502, "the target gave no answer", _reason(error))) from None
            backend.works()
            if not 200 <= response.status <= 599:
                response.close()
                raise TargetFailed(502, "the target's answer is not HTTP", f"the status is {response.status}")
            return Incoming(response)


class _Unsent(Exception):
    """There was no connection, so nothing was sent."""

    def __init__(self, failure: TargetFailed) -> None:
        self.failure = failure


class _Unanswered(_Unsent):
    """The connection ended without a response."""


def _reason(error: BaseException) -> str:
    """Why, for the log."""
    system = getattr(error, "os_error", None)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror.lower()
    return " ".join((str(error) or type(error).__name__).split())[:300]
