"""The call of a route's target: the forwarded request, and the way of the answer.

The one rule: **a body is streamed and never held**, unless a script reads it. A response that breaks off at the back
end also breaks off at the client, so that a part never counts as the whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from framework.definitions import Target
from framework.definitions.believed import plain
from framework.errors import HTTPError
from framework.gateway.calls import Call
from framework.gateway.forwarding import callers
from framework.gateway.forwarding.failover import Forwarding
from framework.gateway.forwarding.outgoing import Outgoing, ResponseCut, TargetFailed
from framework.gateway.forwarding.target_paths import encoded
from framework.gateway.presence import Presence, Present
from framework.gateway.requests import BodyStream, announced, too_large
from framework.gateway.response_headers import ResponseHeaders
from framework.gateway.responses import WITHOUT_BODY, Response
from framework.gateway.wire import hops
from framework.values import jsontext

if TYPE_CHECKING:
    from framework.gateway.forwarding.pool import Incoming

logger = logging.getLogger("framework.gateway")

_QUERY = "!$&'()*+,;=:@~/?%[]"


class Targets:
    """Calls the targets of routes. Holds nothing open. The runtime owns the ``Forwarding``."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding
        # It is sent only in ``Via``, so that only this gateway can have written it there.
        self._secret = secrets.token_bytes(16)
        self._names: dict[str, str] = {}

    async def call(self, call: Call) -> Forwarded:
        """The target's response, without its body yet. Raises ``TargetFailed`` if there is none in time."""
        target, patience = call.route.definition.target, call.route.definition.request_timeout
        assert target is not None
        via = self._via(call)
        upload = _Upload(call)
        body, length = _body(call, upload)
        headers = [*_headers(call), *hops.forwarded(*_caller(call)), ("via", via)]
        if length:
            headers.append(("content-length", str(length)))
        request = Outgoing(
            _method(call), _target(call), headers, body, length, call.route.definition.connect_timeout
        )
        try:
            with upload.watch():
                async with asyncio.timeout_at(call.deadline) as upload.limit:
                    incoming = await self._forwarding.send(request, _authorities(call, target))
        except TimeoutError:
            raise TargetFailed(504, "the target gave no answer in time", f"over {patience:g} s") from None
        except TargetFailed:  # it was left alone in the middle of a body, if that was too large
            most = call.route.definition.max_body
            if most is not None and upload.stream is not None and upload.stream.too_large:
                raise too_large(most) from None
            raise
        finally:
            upload.limit = None
        return Forwarded(call, incoming, asked_for_head=request.method.upper() == "HEAD", upload=upload)

    def _via(self, call: Call) -> str:
        """The gateway's name in ``Via``, one for each route. Raises ``HTTPError(508)`` if it is already there."""
        path = call.route.path
        name = self._names.get(path)
        if name is None:
            digest = hashlib.blake2b(path.encode(), key=self._secret, digest_size=8).hexdigest()
            name = self._names[path] = f"1.1 framework-{digest}"
        for header, value in call.scope["headers"]:
            if header == b"via" and name.encode() in value:
                raise HTTPError(508, "the request has come back to the route that it was forwarded by")
        return name


def _headers(call: Call) -> list[tuple[str, str]]:
    received = call.scope["headers"]
    sent = call.request.headers.raw if call.route.request_script is not None else received
    if call.route.response_script is not None:  # it reads the body
        sent = [header for header in sent if header[0] != b"accept-encoding"]
        sent.append((b"accept-encoding", b"identity"))
    try:
        passed = hops.to_target(received, sent, call.route.passed)
    except hops.Unsendable as error:
        if error.by_script:
            raise TypeError(f"a script set a header that cannot be sent: {error}") from None
        raise HTTPError(400, str(error)) from None
    told = callers.told(call.caller)
    if told:
        set_by_script = {plain(name) for name, _ in passed}  # a client's own was taken out
        passed += (header for header in told if header[0] not in set_by_script)
    return passed


class _Upload:
    """A request's body on its way to the target. Each piece gives the target more time. After its end the client is
    watched."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._latest = call.began + call.route.definition.stream_timeout
        self.limit: asyncio.Timeout | None = None
        self.stream: BodyStream | None = None
        self._presence: Presence | Present = Present()

    def watch(self) -> Presence | Present:
        """A block that ends when the client goes away. One at a time."""
        if not self._call.inside:
            self._presence = Presence(self._call.receive, self._complete)
        return self._presence

    def leave(self) -> None:
        """The client has gone: end the current block, which may be a later one than that of the upload."""
        self._presence.leave()

    def _complete(self) -> bool:
        return self.stream is None or self.stream.complete

    def moved(self) -> None:
        """A piece has come."""
        if self.limit is not None and not self.limit.expired():
            patience = self._call.route.definition.request_timeout
            later = min(asyncio.get_running_loop().time() + patience, self._latest)
            self.limit.reschedule(max(self._call.deadline, later))


class Forwarded:
    """A target's response on its way to the client. It is sent, read or closed once."""

    def __init__(self, call: Call, incoming: Incoming, *, asked_for_head: bool, upload: _Upload) -> None:
        self._call = call
        self._incoming = incoming
        self._upload = upload
        self.code = incoming.code
        self._head = call.scope["method"] == "HEAD"
        self._bare = self._head or asked_for_head or self.code in WITHOUT_BODY
        framing = self._head or not self._bare  # a response without a body has a length only for HEAD
        try:
            self.headers = ResponseHeaders(
                raw=hops.to_client(incoming.headers, framing=framing and self.code not in WITHOUT_BODY)
            )
        except hops.Unsendable as error:
            incoming.close()
            raise TargetFailed(502, "the target's answer is not valid HTTP", str(error)) from None

    @property
    def streamable(self) -> bool:
        """Can it be streamed? A client of HTTP/1.0 must get the length first."""
        told = self._bare or "content-length" in self.headers
        return told or self._call.scope.get("http_version") != "1.0"

    async def send(self, send: Any) -> None:
        """Stream it. Raises ``ResponseCut`` if it breaks off, because then the client's connection must end too."""
        try:
            whole = b"" if self._bare else self._incoming.whole
            headers = self.headers.raw
            told = self._head or self.code in WITHOUT_BODY or "content-length" in self.headers
            if whole is not None and not told:
                headers.append((b"content-length", str(len(whole)).encode()))
            await send({"type": "http.response.start", "status": self.code, "headers": headers})
            if whole is None:
                await self._stream(send)
            else:
                await send({"type": "http.response.body", "body": whole})
        except TimeoutError:
            raise ResponseCut("it takes too long") from None
        finally:
            self._incoming.close()

    async def _stream(self, send: Any) -> None:
        definition = self._call.route.definition
        loop = asyncio.get_running_loop()
        end = loop.time() + definition.stream_timeout
        with self._upload.watch():
            async with asyncio.timeout_at(end) as limit:
                limit.reschedule(min(loop.time() + definition.request_timeout, end))
                async for piece in self._incoming.pieces():
                    limit.reschedule(end)  # the target is not responsible for a slow client
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    limit.reschedule(min(loop.time() + definition.request_timeout, end))
        await send({"type": "http.response.body", "body": b""})

    async def read(self, limit: int | None, *, deadline: float | None) -> Response:
        """The whole response. Raises ``TargetFailed`` for a body beyond ``limit`` bytes, or one that does not arrive
        in time."""
        patience = self._call.route.definition.request_timeout
        pieces, size = [], 0
        try:
            with self._upload.watch():
                async with asyncio.timeout_at(deadline):
                    if not self._bare:
                        async for piece in self._incoming.pieces():
                            size += len(piece)
                            if limit is not None and size > limit:
                                raise TargetFailed(
                                    502, "the target's response is too large", f"over {limit} bytes"
                                )
                            pieces.append(piece)
        except ResponseCut as error:
            raise TargetFailed(502, "the target's response is cut off", str(error)) from None
        except TimeoutError:
            raise TargetFailed(504, "the target gave no answer in time", f"over {patience:g} s") from None
        finally:
            self._incoming.close()
        if not self._head:
            del self.headers["content-length"]
        return Response(self.code, b"".join(pieces), self.headers)

    def close(self) -> None:
        """Discard it."""
        self._incoming.close()


def _caller(call: Call) -> tuple[str, str | None, tuple[str, int] | None]:
    host = next((value.decode("latin-1") for name, value in call.scope["headers"] if name == b"host"), None)
    return call.scope["scheme"], host, call.scope.get("client")


def _body(call: Call, upload: _Upload) -> tuple[bytes | BodyStream | None, int | None]:
    """The body to send, and its length. A length of None means chunks."""
    if call.body is None:
        length = announced(call.scope["headers"])
        if length == 0:
            return None, 0
        most = call.route.definition.max_body
        if most is not None and length is not None and length > most:
            raise too_large(most)
        late = length is None or any(name == b"expect" for name, _ in call.scope["headers"])
        upload.stream = BodyStream(call.receive, upload.moved, upload.leave, late=late, limit=most)
        return upload.stream, length
    body = call.request.body
    if not isinstance(body, bytes):
        body = _content(call, body)
    return body or None, len(body)


def _content(call: Call, body: Any) -> bytes:
    """The bytes of a ``request.body`` that a script has set, written like the body of a response."""
    if body is None:
        return b""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    try:
        content = jsontext.encode(body).encode()
    except ValueError as error:  # which would count as the client's mistake
        raise TypeError(f"request.body was set to a value that cannot be sent: {error}") from None
    call.request.headers["content-type"] = "application/json"
    return content


def _method(call: Call) -> str:
    method = call.request.method
    if method.upper() in ("TRACE", "CONNECT"):
        raise HTTPError(405, f"{method.upper()} is not forwarded")
    return method


def _authorities(call: Call, target: Target) -> tuple[str, ...]:
    """The hosts to ask: those of the target, or the one of a URL that the script has set."""
    return target.authorities if call.request.authority is None else (call.request.authority,)


def _target(call: Call) -> str:
    """The path and query at the target: as received, except for what a script has set."""
    scope, request = call.scope, call.request
    if "path" in request.given:
        path = encoded(request.path)
    else:
        path = call.route.target_path.of(scope["raw_path"].decode("ascii"))
    query: Any = request.query
    if isinstance(query, Mapping):
        query = urlencode(query, doseq=True)
    elif isinstance(query, bytes):
        query = query.decode("latin-1")
    if "query" in request.given:
        query = quote(query, safe=_QUERY)
    elif not query.isascii():
        raise HTTPError(400, "the query string has characters that are not encoded")
    return f"{path}?{query}" if query else path
