"""callout: an HTTP request from a script, to this gateway (``path``) or to another server (``url``).

An HTTP error status is returned, not raised; no connection, or a time-out, is code 599. A call to this
gateway takes the same pipeline as one from outside, in the process: no network, no token. A process that
has no gateway can ``join`` one, by its URL and with a token: ``path`` means that one then.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from framework import jsontext
from framework.errors import FrameworkError

if TYPE_CHECKING:
    import aiohttp

NO_ANSWER = 599

Inside = Callable[[str, str, Mapping[str, str], bytes], Awaitable["Response"]]


@dataclass(slots=True)
class Response:
    """What came back. ``body`` is bytes, or the decoded JSON where ``response_jsonify`` asked for it."""

    code: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    headers: dict[str, str]
    body: bytes


class Callout:
    """What scripts call as ``callout(...)``. Owns a pooled client; ``close`` it with the runtime."""

    def __init__(self) -> None:
        self._inside: Inside | None = None
        self._joined: tuple[str, str] | None = None
        self._client: aiohttp.ClientSession | None = None

    def connect(self, inside: Inside | None) -> None:
        """The gateway that ``path`` means; None when this process has none."""
        self._inside = inside

    def join(self, url: str, token: str) -> None:
        """The gateway that ``path`` means from now on: the one at this URL, called with this token."""
        self._joined = (url.rstrip("/"), token)

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._client is not None:
            await self._client.close()
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
        authentication: tuple[str, str] | None = None,
        validate_cert: bool = True,
        ca_certs: str | None = None,
        client_key: str | None = None,
        client_cert: str | None = None,
        response_jsonify: bool = False,
        auto_url_encode: bool = False,
        *,
        xid: Any = None,
        xname: Any = None,
        scenario_id: Any = None,
        scenario_name: Any = None,
        lambda_termination: Any = None,
        via_apigw: Any = None,
    ) -> Response:
        """Send one request and wait for its answer; all times in seconds.

        ``body``: bytes and text as they are, anything else as JSON. After an answer whose code is among
        ``retry_codes`` it is sent again, ``retry_count`` times, ``retry_interval`` apart. ``static_route``
        and the last six are accepted for the platform's sake and mean nothing here.
        """
        if auto_url_encode and path:
            path = quote(path, safe="/?&=%:@+,;~!$'()*")
        if url is None and endpoint is None and self._joined is not None:
            endpoint, token = self._joined
            headers = {"X-Auth-Token": token, **(headers or {})}
            if not (path or "").startswith("/"):
                raise FrameworkError(f"the path of a callout begins with a slash: {path!r}")
        call = _Call(str(method).upper(), *_encoded(body, headers))
        send: Callable[[], Awaitable[Response]]
        if url is None and endpoint is None:
            send = self._to_gateway(path, call, request_timeout)
        else:
            target = url if url is not None else (endpoint or "").rstrip("/") + (path or "")
            tls = _tls(validate_cert, ca_certs, client_cert, client_key)
            send = self._to_server(target, call, (connect_timeout, request_timeout), authentication, tls)
        if delay > 0:
            await asyncio.sleep(delay)
        response = await send()
        for _ in range(retry_count):
            if response.code not in retry_codes:
                break
            await asyncio.sleep(retry_interval)
            response = await send()
        if response_jsonify:
            response.body = _decoded(response.body)
        return response

    def _to_gateway(self, path: str | None, call: _Call, timeout: float) -> Callable[[], Awaitable[Response]]:
        inside = self._inside
        if not path:
            raise FrameworkError("callout needs a path of this gateway, or a url")
        if inside is None:
            raise FrameworkError("this process runs without a gateway (--no-gateway): callout needs url=")

        async def send() -> Response:
            try:
                async with asyncio.timeout(timeout):
                    return await inside(call.method, path, call.headers, call.body)
            except TimeoutError:
                return _no_answer(f"no answer within {timeout:g} s")

        return send

    def _to_server(
        self,
        url: str,
        call: _Call,
        timeouts: tuple[float, float],
        authentication: tuple[str, str] | None,
        tls: ssl.SSLContext | bool,
    ) -> Callable[[], Awaitable[Response]]:
        import aiohttp

        connect, total = timeouts
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=connect)
        headers = dict(call.headers)
        if authentication:
            credentials = ":".join(authentication).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode("ascii")

        async def send() -> Response:
            if self._client is None:
                # One client for all scripts: a cookie that one is given is not another's to send.
                self._client = aiohttp.ClientSession(
                    auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
                )
            try:
                async with self._client.request(
                    call.method,
                    url,
                    data=call.body or None,
                    headers=headers,
                    timeout=timeout,
                    ssl=tls,
                    allow_redirects=False,
                ) as answer:
                    return Response(answer.status, await answer.read(), answer.headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return _no_answer(_reason(error))

        return send


def _encoded(body: Any, headers: Mapping[str, str] | None) -> tuple[dict[str, str], bytes]:
    sent = {str(name): str(value) for name, value in (headers or {}).items()}
    if body is None:
        return sent, b""
    if isinstance(body, bytes | bytearray | memoryview):
        return sent, bytes(body)
    if isinstance(body, str):
        return sent, body.encode()
    if not any(name.lower() == "content-type" for name in sent):
        sent["Content-Type"] = "application/json"
    return sent, jsontext.encode(body).encode()


def _decoded(body: bytes) -> Any:
    try:
        return jsontext.decode(body) if body else None
    except ValueError:
        return body  # an error page is no JSON; the code tells


def _no_answer(reason: str) -> Response:
    return Response(NO_ANSWER, reason.encode(), {})


def _reason(error: Exception) -> str:
    """Why there was no answer, in a user's words."""
    system = getattr(error, "os_error", None)
    if isinstance(system, OSError) and system.strerror:
        # Of a name that is not known the number is none of the system's; of an address asyncio words the text.
        number = system.errno or 0
        text = os.strerror(number) if number > 0 else system.strerror
        return f"cannot connect: {text.lower().removesuffix('.')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _tls(
    validate: bool, ca_certs: str | None, client_cert: str | None, client_key: str | None
) -> ssl.SSLContext | bool:
    if validate and not ca_certs and not client_cert:
        return True
    context = ssl.create_default_context(cafile=ca_certs)
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(client_cert, client_key)
    return context
