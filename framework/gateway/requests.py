"""What a routing script sees of the request."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import URL, Headers

from framework.errors import HTTPError


class Request:
    """``method``, ``path`` (decoded), ``headers`` (any case), ``body`` (bytes), ``url`` (text)."""

    __slots__ = ("_scope", "body", "headers", "method", "path")

    def __init__(self, scope: Any, body: bytes) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = Headers(scope=scope)
        self.body = body

    @property
    def query(self) -> bytes:
        """The query string as it came."""
        query: bytes = self._scope["query_string"]
        return query

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
            raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


class ClientGone(Exception):
    """The client closed the connection before its request was complete: nobody waits for an answer."""


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"the body is larger than {limit} bytes")
