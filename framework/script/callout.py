"""callout: an HTTP request from a script, to this gateway (``path``) or to another server (``url``).

An HTTP error status is returned, not raised. Code 599 means no connection, or a time-out. A call to this
gateway takes the same pipeline as one from outside, but stays in the process: it needs no network and no token.
A process without a gateway can ``join`` one by its URL, with a token. Then ``path`` means that gateway.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from framework.client import contentcoding, tls
from framework.errors import FrameworkError
from framework.process.homeloop import HomeLoop
from framework.script.outgoing import Call, Outgoing
from framework.values import jsontext

if TYPE_CHECKING:
    import aiohttp

NO_ANSWER = 599
MAX_BODY = 16 * 1024 * 1024  # bytes of an answer's body

# What may stand in a path on the wire; anything else is encoded, and comes out at the gateway as it was.
_UNALTERED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")

Send = Callable[[], Awaitable["Response"]]
Inside = Callable[[str, str, Mapping[str, str], bytes, int], Awaitable["Response"]]


@dataclass(slots=True)
class Response:
    """The answer. ``body`` is bytes, or the decoded JSON with ``response_jsonify``."""

    code: int
    body: Any
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Joined:
    """A gateway of another process. ``client`` has the connections to its socket, if it has one."""

    url: str
    token: str | None
    socket: str | None
    client: aiohttp.ClientSession | None = None


class _Bounds(NamedTuple):
    """How long one try may take to connect and in total, and how large its answer may be. 0 means no limit."""

    connect: float  # seconds
    total: float
    body: int  # bytes

    def check(self) -> None:
        if not isinstance(self.body, int) or self.body < 0:
            raise FrameworkError(f"callout: max_body is a number of bytes, or 0 for no limit: {self.body!r}")


class _Tries(NamedTuple):
    """When a request is sent, and when it is sent again."""

    more: int
    interval: float  # seconds
    codes: Sequence[int]
    delay: float

    async def made(self, send: Send) -> Response:
        """The answer of the last try."""
        if self.delay > 0:
            await asyncio.sleep(self.delay)
        response = await send()
        for _ in range(self.more):
            if response.code not in self.codes:
                break
            await asyncio.sleep(self.interval)
            response = await send()
        return response


class Callout:
    """What scripts call as ``callout(...)``. It owns a pooled client. ``close`` it with the runtime."""

    def __init__(self) -> None:
        self._home = HomeLoop()
        self._inside: Inside | None = None
        self._joined: _Joined | None = None
        self._client: aiohttp.ClientSession | None = None
        self._contexts = tls.Contexts()

    def open(self) -> None:
        """Bind the client to the event loop that runs now."""
        self._home = HomeLoop()

    def connect(self, inside: Inside | None) -> None:
        """The gateway that ``path`` means, or None if this process has none."""
        self._inside = inside

    def join(self, url: str, token: str | None = None, *, socket: str | None = None) -> None:
        """Make ``path`` mean the gateway at this URL from now on, called with this token if one is given.

        ``socket`` is the path of a Unix socket that reaches it, whatever the URL says.
        """
        self._joined = _Joined(url.rstrip("/"), token, socket)

    async def close(self) -> None:
        """Close the pooled connections."""
        for client in (self._client, self._joined.client if self._joined is not None else None):
            if client is not None:
                await client.close()
        self._client = None

    async def __call__(
        self,
        path: str | None = None,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
        endpoint: str | None = None,
        static_route: Any = None,
        connect_timeout: float = 60,
        request_timeout: float = 60,
        retry_interval: float = 0,
        retry_count: int = 0,
        retry_codes: Sequence[int] = (NO_ANSWER,),
        delay: float = 0,
        authentication: Sequence[str] | None = None,
        validate_cert: bool = True,
        ca_certs: str | None = None,
        client_key: str | None = None,
        client_cert: str | None = None,
        response_jsonify: bool = False,
        auto_url_encode: bool = False,
        *,
        max_body: int = MAX_BODY,
        xid: Any = None,
        xname: Any = None,
        lambda_termination: Any = None,
        via_apigw: Any = None,
        **scenario: Any,
    ) -> Response:
        """Send one request and wait for its answer; all times in seconds, 0 for no limit.

        ``body``: bytes and text as they are, anything else as JSON. ``authentication``: user and password. After an
        answer whose code is among ``retry_codes`` it is sent again, ``retry_count`` times, ``retry_interval`` apart;
        both time-outs hold for each try. An answer whose body has more than ``max_body`` bytes, decompressed, is 599;
        0 is no limit. ``auto_url_encode`` encodes what may not stand in a ``path``. ``response_jsonify`` decodes a
        body that is JSON and leaves another as it is. ``static_route``, the last four and ``scenario_...`` are
        accepted for the platform's sake and mean nothing here.
        Raises ``FrameworkError`` for what can be no request: no path, files of ``ca_certs`` that are none.
        """
        self._home.require()
        _scenario(scenario)
        outgoing = Outgoing(method, path, url, endpoint, body, headers, authentication, auto_url_encode)
        bounds = _Bounds(connect_timeout, request_timeout, max_body)
        trust = tls.Choice(validate_cert, ca_certs, client_cert, client_key)
        send = self._sender(outgoing, bounds, trust)
        response = await _Tries(retry_count, retry_interval, retry_codes, delay).made(send)
        if response_jsonify:
            response.body = _decoded(response.body)
        return response

    def _sender(self, outgoing: Outgoing, bounds: _Bounds, trust: tls.Choice) -> Send:
        """A function that sends the request once. Raises ``FrameworkError`` for an impossible request."""
        bounds.check()
        path = outgoing.encoded_path()
        if not outgoing.is_elsewhere:
            if self._joined is None:
                return self._to_gateway(path, outgoing.call(), bounds)
            return self._to_joined(path, outgoing, bounds, trust, self._joined)
        url = (
            outgoing.url if outgoing.url is not None else (outgoing.endpoint or "").rstrip("/") + (path or "")
        )
        call = outgoing.call()
        return self._to_server(url, call, bounds, self._contexts.context(trust), None)

    def _to_joined(
        self, path: str | None, outgoing: Outgoing, bounds: _Bounds, trust: tls.Choice, joined: _Joined
    ) -> Send:
        if not (path or "").startswith("/"):
            raise FrameworkError(f"the path of a callout begins with a slash: {path!r}")
        url = joined.url + quote(path or "", safe=_UNALTERED)
        call = outgoing.call(joined.token)
        return self._to_server(url, call, bounds, self._contexts.context(trust), joined)

    def _to_gateway(self, path: str | None, call: Call, bounds: _Bounds) -> Send:
        inside = self._inside
        if not path:
            raise FrameworkError("callout needs a path of this gateway, or a url")
        if inside is None:
            raise FrameworkError("this process runs without a gateway (--no-gateway): callout needs url=")

        async def send() -> Response:
            try:
                async with asyncio.timeout(bounds.total or None):
                    answer = await inside(call.method, path, call.headers, call.body, bounds.body)
            except TimeoutError:
                return _no_answer(f"no answer within {bounds.total:g} s")
            return _too_large(bounds.body) if 0 < bounds.body < len(answer.body) else answer

        return send

    def _to_server(
        self, url: str, call: Call, bounds: _Bounds, context: ssl.SSLContext | bool, joined: _Joined | None
    ) -> Send:
        import aiohttp
        from yarl import URL

        try:
            address = URL(url, encoded=joined is not None)
        except ValueError as error:
            return _never(f"{url!r} is no URL: {error}")
        # To connect is to look the name up, to reach the address and to agree on TLS.
        timeout = aiohttp.ClientTimeout(total=bounds.total or None, connect=bounds.connect or None)

        async def send() -> Response:
            try:
                async with self._client_for(joined).request(
                    call.method,
                    address,
                    data=call.body or None,
                    headers=call.headers,
                    timeout=timeout,
                    ssl=context,
                    allow_redirects=False,
                ) as answer:
                    return Response(answer.status, await _body(answer, bounds.body), answer.headers)
            except contentcoding.TooLarge:
                return _too_large(bounds.body)
            except contentcoding.Malformed as error:
                return _no_answer(str(error))
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):  # whose texts are the URL alone
                return _no_answer(
                    f"{url!r} is not the URL of a server: http://HOST/PATH or https://HOST/PATH"
                )
            except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
                return _no_answer(_reason(error))

        return send

    def _client_for(self, joined: _Joined | None) -> aiohttp.ClientSession:
        """The connections to a joined gateway's socket, or those to all other servers."""
        if joined is not None and joined.socket is not None:
            if joined.client is None:
                joined.client = _client(joined.socket)
            return joined.client
        if self._client is None:
            self._client = _client(None)
        return self._client


def _client(socket: str | None) -> aiohttp.ClientSession:
    """One client for all scripts. It keeps no cookies, since one script must not send those of another.

    The number of its connections has no limit, so a slow server does not delay calls to another.
    """
    import aiohttp

    from framework.client import interim

    connector = aiohttp.TCPConnector(limit=0) if socket is None else aiohttp.UnixConnector(socket, limit=0)
    return aiohttp.ClientSession(
        connector=interim.handled(connector),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": contentcoding.ACCEPTED},
        auto_decompress=False,  # which would know no limit
    )


async def _body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body, decompressed. If an answer is given up, its connection ends."""
    try:
        body = contentcoding.Body(", ".join(answer.headers.getall("Content-Encoding", ())), limit)
        async for piece in answer.content.iter_any():
            await body.add(piece)
        return body.whole()
    except BaseException:
        answer.close()
        raise


def _decoded(body: bytes) -> Any:
    try:
        return jsontext.decode(body) if body else None
    except (ValueError, RecursionError):
        return body  # an error page is no JSON; the code tells


def _never(reason: str) -> Send:
    async def send() -> Response:
        return _no_answer(reason)

    return send


def _too_large(limit: int) -> Response:
    return _no_answer(f"the answer's body is larger than {limit} bytes (max_body)")


def _no_answer(reason: str) -> Response:
    return Response(NO_ANSWER, reason.encode(), {})


def _reason(error: Exception) -> str:
    """Why there was no answer, in words for users. They quote neither the server nor the URL."""
    import aiohttp

    for inner in (getattr(error, "certificate_error", None), getattr(error, "os_error", None), error):
        if isinstance(inner, ssl.SSLError):
            return tls.reason(inner)
    system = getattr(error, "os_error", None)
    if isinstance(system, OSError) and system.strerror:
        # Of a name that is not known the number is none of the system's; of an address asyncio words the text.
        number = system.errno or 0
        text = os.strerror(number) if number > 0 else system.strerror
        return f"cannot connect: {text.lower().removesuffix('.')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # What follows the colon of the first is quoted, and its text has the URL.
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the answer is not HTTP: {error.message.partition(':')[0]}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer's body is not whole, or is not HTTP"
    return str(error) or type(error).__name__


def _scenario(more: Mapping[str, Any]) -> None:
    """Accept the platform's arguments ``scenario_...``, and refuse any other unknown one."""
    for name in more:
        if not name.startswith("scenario_"):
            raise TypeError(f"callout() got an unexpected keyword argument {name!r}")
