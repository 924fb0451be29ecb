"""The request as a routing script sees it, and may change it before it is forwarded to a target."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from starlette.datastructures import URL

from framework.access.caller import OPEN, Caller
from framework.definitions.believed import TOKEN
from framework.errors import HTTPError
from framework.gateway.bodies import EMPTY
from framework.gateway.forwarding.target_paths import mistake
from framework.gateway.headers import RequestHeaders

_URL = re.compile(r"[!-~]+")  # printable ASCII


class Request:
    """``method``, ``path`` (decoded), ``query`` (as sent), ``headers`` (any case), ``body`` (bytes), ``url`` (text).

    All may be set. A set value counts for the target, even if it equals the old one. A value that cannot be sent
    raises ``TypeError`` at the line that sets it. ``body`` is None if no script reads it. ``account`` and ``client``
    identify the caller, and cannot be set.
    """

    __slots__ = (
        "_caller",
        "_headers",
        "_method",
        "_path",
        "_query",
        "_scope",
        "_url",
        "authority",
        "body",
        "given",
    )

    def __init__(self, scope: Any, body: bytes | None, caller: Caller = OPEN) -> None:
        self._scope = scope
        self._caller = caller
        self.given: frozenset[str] = frozenset()  # the names of what the script has set
        self._method: str = scope["method"]
        self._path: str = scope["path"]
        self._url = ""
        self.authority: str | None = None  # the host of a URL that was set
        self._query: Any = None  # read from the scope on demand
        self._headers = RequestHeaders(scope["headers"])
        self.body: Any = EMPTY if body == b"" else body

    @property
    def account(self) -> Caller | None:
        """The caller: ``name``, ``roles``, ``unrestricted``. None on an open route, where it is unknown."""
        return None if self._caller is OPEN else self._caller

    @property
    def client(self) -> str | None:
        """The address of the connection, or None for a call by a script or by a command on this machine."""
        client = self._scope.get("client")
        return None if client is None else str(client[0])

    @property
    def method(self) -> str:
        return self._method

    @method.setter
    def method(self, value: str) -> None:
        if not isinstance(value, str) or not TOKEN.fullmatch(value):
            raise TypeError(f"request.method was set to {value!r}, which is not a method")
        if value.upper() in ("TRACE", "CONNECT"):
            raise TypeError(f"request.method was set to {value!r}, which is not forwarded")
        self._method = value
        self.given |= {"method"}

    @property
    def path(self) -> str:
        return self._path

    @path.setter
    def path(self, value: str) -> None:
        wrong = mistake(value)
        if wrong is not None:
            raise self._unfit_path(value, wrong)
        self._path = value
        self.given |= {"path"}

    @property
    def query(self) -> Any:
        if "query" in self.given:
            return self._query
        return self._scope["query_string"].decode("latin-1")

    @query.setter
    def query(self, value: Any) -> None:
        if not isinstance(value, str | bytes | Mapping):
            raise TypeError(f"request.query was set to a {type(value).__name__}: it is text, or a mapping")
        self._query = value
        self.given |= {"query"}

    @property
    def headers(self) -> RequestHeaders:
        return self._headers

    @headers.setter
    def headers(self, value: Any) -> None:
        if value is not self._headers:  # `request.headers |= {...}` sets it to itself
            raise TypeError(
                "request.headers cannot be replaced, since it holds what the client sent: "
                "write `request.headers.update({...})`, or `del request.headers[name]`"
            )

    @property
    def url(self) -> str:
        """The whole URL as it was sent, including the query. Its path is not decoded."""
        if "url" in self.given:
            return self._url
        return str(URL(scope={**self._scope, "path": self._scope["raw_path"].decode("latin-1")}))

    @url.setter
    def url(self, value: str) -> None:
        """The encoded path and query for the target. A whole URL also sets the host instead of those of the route."""
        parts = _split(value)
        path = parts.path or "/"
        wrong = mistake(path)
        if wrong is not None:
            raise self._unfit_path(path, wrong)
        self.path = unquote(path)
        self.query = parts.query
        self.authority = f"{parts.scheme}://{parts.netloc}" if parts.netloc else None
        self._url = value
        self.given |= {"url"}

    def _unfit_path(self, value: Any, wrong: str) -> Exception:
        """The error for an invalid path. It is the client's mistake if one of its values makes the path invalid."""
        if isinstance(value, str) and any(text in value and mistake(f"/{text}") for text in self._values()):
            return HTTPError(400, f"a value of the request cannot be a part of a path: it {wrong}")
        return TypeError(f"request.path was set to {value!r}: it {wrong}")

    def _values(self) -> Iterator[str]:
        """Every text that the client has sent in its path, its query, or a body that is JSON."""
        yield from self._scope["path"].split("/")
        try:
            for texts in parameters(self._scope["query_string"]).values():
                yield from texts
            yield from _texts(json.loads(self.body or b"null"))
        except (HTTPError, ValueError, TypeError, RecursionError):
            return

    def __repr__(self) -> str:
        return f"<request {self.method} {self.path}>"


def _split(url: Any) -> SplitResult:
    """The parts of a URL that a script sets. Raises ``TypeError`` for a URL that cannot be forwarded to."""
    wrong = None
    if not isinstance(url, str):
        wrong = f"is not text but a {type(url).__name__}"
    elif not _URL.fullmatch(url):
        wrong = "is not a URL: percent-encode what is not ASCII, a blank or a control character"
    else:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            wrong = f"is not a URL: {error}"
        else:
            if (
                bool(parts.scheme) != bool(parts.netloc)
                or parts.scheme not in ("", "http", "https")
                or port == 0
            ):
                wrong = "is neither a path nor a URL that begins with http:// or https://"
            elif "@" in parts.netloc or parts.fragment or (parts.netloc and not parts.hostname):
                wrong = "has a user, a fragment, or no host: a target cannot be asked for that"
            else:
                return parts
    raise TypeError(f"request.url was set to {url!r:.200}: it {wrong}")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _texts(below)


def parameters(query: bytes) -> dict[str, list[str]]:
    """The query string by name. Each value is a list. Raises ``HTTPError(400)`` if it is not UTF-8."""
    if not query:
        return {}
    try:
        return parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise HTTPError(
            400, "the query string cannot be read: it is not UTF-8, or has over 1000 fields"
        ) from None


async def read_body(scope: Any, receive: Any, limit: int) -> bytes:
    """The whole body. Raises ``HTTPError(413)`` beyond the limit, as soon as that is known.

    Raises ``ClientGone`` if the client goes away before the end, so that a part never counts as the whole.
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
    """The announced size of the body in bytes, or None if it comes in chunks."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    return length


class BodyStream:
    """A body on its way to a target. It is read from the client as fast as the target takes it, and only once.

    If it has more than ``limit`` bytes, it ends with ``HTTPError(413)`` and is ``too_large``.
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
        self._late = late  # it hardly ever arrives with the head, so the target gets the head first
        self._on_piece = on_piece
        self._on_gone = on_gone
        self._limit = limit
        self.size = 0  # so far
        self.begun = False  # so the request cannot be sent again
        self.complete = False

    @property
    def too_large(self) -> bool:
        """Is it already larger than allowed?"""
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
    """The client closed the connection before its request was complete. Nobody waits for an answer."""


def too_large(limit: int) -> HTTPError:
    """The error for a body of more bytes than that."""
    return HTTPError(413, f"the body is larger than {limit} bytes")
