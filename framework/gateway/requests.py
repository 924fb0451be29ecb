"""What a routing script sees of the request, and may change before it goes on to a target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import URL, MutableHeaders

from framework.caller import OPEN, Caller
from framework.errors import HTTPError


class Request:
    """``method``, ``path`` (decoded), ``query`` (as sent), ``headers`` (any case), ``body`` (bytes), ``url`` (text).

    All but ``url`` may be set; what is set counts for the target. ``body`` is None where no script reads it.
    ``account`` and ``client`` say who calls, and cannot be set.
    """

    __slots__ = ("_caller", "_scope", "body", "headers", "method", "path", "query")

    def __init__(self, scope: Any, body: bytes | None, caller: Caller = OPEN) -> None:
        self._scope = scope
        self._caller = caller
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = MutableHeaders(raw=list(scope["headers"]))
        self.body: Any = body

    @property
    def account(self) -> Caller | None:
        """Who calls: ``name``, ``roles``, ``unrestricted``. None on an open route, where nobody knows."""
        return None if self._caller is OPEN else self._caller

    @property
    def client(self) -> str | None:
        """The address of the connection. None for a call of a script, or of a command on this machine."""
        client = self._scope.get("client")
        return None if client is None else str(client[0])

    @property
    def url(self) -> str:
        """The whole URL as it was sent, query included: the path is not decoded in it."""
        return str(URL(scope={**self._scope, "path": self._scope["raw_path"].decode("latin-1")}))

    def __repr__(self) -> str:
        return f"<request {self.method} {self.path}>"


def parameters(query: bytes) -> dict[str, list[str]]:
    """The query string by name; each value is a list. ``HTTPError(400)`` if it is not UTF-8."""
    if not query:
        return {}
    try:
        return parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise HTTPError(
            400, "the query string cannot be read: it is not UTF-8, or has over 1000 fields"
        ) from None


async def read_body(scope: Any, receive: Any, limit: int) -> bytes:
    """The whole body; ``HTTPError(413)`` beyond the limit, as soon as that is known.

    ``ClientGone`` when the client goes away before all of it is here: a part is never taken for the whole.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def announced(headers: list[tuple[bytes, bytes]]) -> int | None:
    """How many bytes of body a request announces; None for one that comes in chunks."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    return length


class BodyStream:
    """A body on its way to a target: read from the client as the target takes it, and only once.

    One of more than ``limit`` bytes ends by ``HTTPError(413)``, and is ``too_large``.
    """

    def __init__(
        self,
        receive: Any,
        on_piece: Callable[[], None],
        on_gone: Callable[[], None],
        *,
        late: bool,
        limit: int | None = None,
    ) -> None:
        self._receive = receive
        self._late = late  # it is not likely to come with the head, so the target gets the head before
        self._on_piece = on_piece
        self._on_gone = on_gone
        self._limit = limit
        self.size = 0  # so far
        self.begun = False  # so the request cannot be sent again
        self.complete = False

    @property
    def too_large(self) -> bool:
        """Is there already more of it than there may be?"""
        return self._limit is not None and self.size > self._limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        if self._late:
            yield b""
        while not self.complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._on_gone()
                raise ClientGone
            self.complete = not message.get("more_body", False)
            self._on_piece()
            piece = message.get("body", b"")
            self.size += len(piece)
            if self._limit is not None and self.too_large:
                raise too_large(self._limit)
            if piece:
                yield piece


class ClientGone(Exception):
    """The client closed the connection before its request was complete: nobody waits for an answer."""


def too_large(limit: int) -> HTTPError:
    """The error for a body of more bytes than that."""
    return HTTPError(413, f"the body is larger than {limit} bytes")
