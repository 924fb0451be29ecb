"""One request and its response on a connection, as the application sees them (ASGI ``receive`` and ``send``).

The one rule: **the framing of a response is decided only here.** The application's ``connection`` and
``transfer-encoding`` are dropped. A response without the promised length ends the connection.
"""

from __future__ import annotations

import asyncio
import http
import logging
import time
from typing import Any, Protocol

from framework.gateway import failures
from framework.gateway.forwarding.outgoing import ResponseCut
from framework.gateway.responses import WITHOUT_BODY, Response
from framework.observing.request_id import REQUEST_ID

logger = logging.getLogger("framework.gateway")

# The largest part of a body, in bytes, that waits for the application. Beyond it, the client has to wait.
HIGH_WATER = 65536

_DISCONNECT = {"type": "http.disconnect"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {status.value: status.phrase for status in http.HTTPStatus}
STATUS_LINES = {
    code: f"HTTP/1.1 {code} {_REASONS.get(code, '')}\r\n".encode("ascii") for code in range(200, 600)
}


class Line(Protocol):
    """What an exchange needs of the side of its connection that answers."""

    @property
    def date(self) -> bytes:
        """The field ``date`` of an answer that begins now."""

    @property
    def stopping(self) -> bool:
        """Are requests that take too long cancelled by now?"""

    @property
    def choked(self) -> asyncio.Event | None:
        """While the client does not read: set when it does again."""

    def write(self, data: bytes) -> None:
        """Send these bytes."""

    def abort(self) -> None:
        """Cut the connection, so that the client notices the incomplete answer."""

    def answered(self, exchange: Exchange) -> None:
        """The response is complete; on to the next request."""


class BodySource(Protocol):
    """What an exchange needs of the side of its connection that reads."""

    def body_is_due(self) -> None:
        """The client has time for the next portion of the body from now on."""

    def resume_reading(self) -> None:
        """Take more of the body from the client."""

    def allows_reuse(self, exchange: Exchange) -> bool:
        """May the connection be used again after this response?"""


class Exchange:
    """A request and its response. Made when the request's header is complete."""

    __slots__ = (
        "_changed",
        "_chunked",
        "_expects",
        "_left",
        "_line",
        "_pieces",
        "_source",
        "_told",
        "began",
        "complete",
        "gone",
        "id",
        "keep_alive",
        "received",
        "scope",
        "sent",
        "started",
        "status",
        "waiting",
    )

    def __init__(
        self,
        line: Line,
        source: BodySource,
        scope: dict[str, Any],
        id_: str,
        *,
        keep_alive: bool,
        expects: bool,
    ) -> None:
        self._line = line
        self._source = source
        self.scope = scope
        self.id = id_
        self.keep_alive = keep_alive
        self.began = time.perf_counter()
        # the request
        self._expects = expects  # the client waits for a 100 before it sends the body
        self._pieces: list[bytes] = []
        self._told = False  # the application has seen the end of the body
        self._changed: asyncio.Event | None = None
        self.waiting = 0  # bytes of the body that the application has not asked for yet
        self.received = False  # all of the body is here
        self.gone = False  # nobody waits for the response any more
        # the response
        self.status = 0  # nothing of it was sent yet
        self.sent = 0  # bytes of its body
        self.started = False
        self.complete = False
        self._chunked = False
        self._left: int | None = None  # bytes of its body that are still to come, where that is known

    async def run(self, app: Any) -> None:
        """Let the application answer. Whatever it does, the response ends."""
        REQUEST_ID.set(self.id)
        try:
            await app(self.scope, self.receive, self.send)
            if not self.complete and not self.gone:
                raise RuntimeError("the application ended without a complete response")
        except ResponseCut as error:
            self._cut(error)
        except BaseException as error:
            self._failed(error)

    def _cut(self, error: ResponseCut) -> None:
        """The target broke off in the middle, so the client's connection ends too. This is not an error of the
        gateway."""
        method, path = self.scope["method"], self.scope.get("template", "-")
        logger.error(
            "%s %s: the target's response is cut off: %s",
            method,
            path,
            error,
            extra={"action": "response_cut"},
        )
        self._line.abort()

    def _failed(self, error: BaseException) -> None:
        """The application could not answer: it was cancelled at the end of a shutdown's grace, or there is a bug.

        Before a shutdown, only a script can have cancelled its own task.
        """
        method, path = self.scope["method"], self.scope.get("template", "-")
        if isinstance(error, asyncio.CancelledError) and self._line.stopping:
            logger.error("%s %s was cancelled", method, path, extra={"action": "request_cancelled"})
            response = failures.stopping()
        else:
            response = failures.unexpected(error, method, path)
        if self.started:
            self._line.abort()
        elif not self.gone:
            self.keep_alive = False
            self._head(response.code, [(n.encode(), v.encode()) for n, v in _listed(response)])
            self._body(response.body, more=False)

    # ---- the request ------------------------------------------------------------------------

    @property
    def waits_for_continue(self) -> bool:
        """The client was not told to send its body. It may send it or never do so."""
        return self._expects

    def feed(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._expects = False
        if self.complete or self.gone:
            return
        self._pieces.append(piece)
        self.waiting += len(piece)
        if self._changed is not None:
            self._changed.set()

    def end(self) -> None:
        """The body is complete."""
        self.received = True
        if self._changed is not None:
            self._changed.set()

    def leave(self) -> None:
        """The client is gone, or has been answered without the application."""
        self.gone = True
        self._pieces.clear()
        if self._changed is not None:
            self._changed.set()

    async def receive(self) -> dict[str, Any]:
        """The next piece of the body, or after the last one the end of the exchange."""
        if self._expects and not self.received and not self.gone:
            self._expects = False
            self._line.write(_CONTINUE)
            self._source.body_is_due()
        while not self.gone and not self.complete:
            if self._pieces or (self.received and not self._told):
                pieces, self._pieces = self._pieces, []
                self.waiting = 0
                self._told = self.received
                self._source.resume_reading()
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                return {"type": "http.request", "body": body, "more_body": not self.received}
            self._source.resume_reading()
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        return _DISCONNECT

    # ---- the response -----------------------------------------------------------------------

    async def send(self, message: Any) -> None:
        """Send the head of the response, or a piece of its body. Waits for a slow client."""
        while self._line.choked is not None and not self.gone:
            await self._line.choked.wait()
        if self.gone:
            return
        if message["type"] == "http.response.start" and not self.started:
            self._head(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self.started and not self.complete:
            self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the message {message['type']!r} has no place here")

    def _head(self, code: int, headers: Any) -> None:
        length: int | None = None
        lines = [STATUS_LINES[code]]
        date = self._line.date
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                if b"close" in value.lower():
                    self.keep_alive = False
                continue
            elif name in (b"transfer-encoding", b"x-request-id"):
                continue
            elif name == b"date":  # of a target
                date = b""
            lines.append(name + b": " + value + b"\r\n")
        if date:
            lines.append(date)
        lines.append(b"x-request-id: " + self.id.encode("ascii") + b"\r\n")
        if self.scope["method"] == "HEAD" or code in WITHOUT_BODY:
            self._left = 0
        elif length is not None:
            self._left = length
        elif self.scope["http_version"] == "1.0":
            self.keep_alive = False  # the end of the connection is the end of the body
        else:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self._source.allows_reuse(self):
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise RuntimeError("a response's header has a line break or a NUL")
        self.started = True
        self.status = code
        self._line.write(head + b"\r\n")

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD" or self.status in WITHOUT_BODY:
            body = b""
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the response's body has another length than its header says")
        self.sent += len(body)
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if body:
            self._line.write(body)
        if not more:
            self.complete = True
            if self._changed is not None:
                self._changed.set()
            self._line.answered(self)


def refusal(code: int, response: Response, id_: str, date: bytes) -> bytes:
    """A complete answer to input that is not an exchange. The connection ends after it."""
    headers = [*_listed(response), ("x-request-id", id_), ("connection", "close")]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    return STATUS_LINES[code] + date + head + b"\r\n" + response.body


def _listed(response: Response) -> list[tuple[str, str]]:
    return [*response.headers.items(), ("content-length", str(len(response.body)))]
