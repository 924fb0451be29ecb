"""The head of a request while it is read: limited in size, and checked against the rules of HTTP.

The one rule: **an ambiguous head is refused here**, so that no back end reads it differently from this server.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httptools

from framework.gateway.wire import framing
from framework.gateway.wire.hops import HOST
from framework.gateway.wire.limits import Limits
from framework.observing.request_id import accepted, new

NO_URL = "invalid URL: percent-encode special characters (é → %C3%A9)"

_NOTED = frozenset({b"host", b"expect", b"upgrade", b"content-length", b"transfer-encoding", b"x-request-id"})


class Unfit(Exception):
    """A refused request: the status and the detail of the answer."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Head:
    """The URL and header fields of a request. Anything invalid raises ``Unfit``."""

    __slots__ = ("_fields", "_limits", "_noted", "_size", "_twice", "_url")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._noted: dict[bytes, bytes] = {}
        self._twice: set[bytes] = set()
        self._size = 0

    # ---- as it comes ------------------------------------------------------------------------

    def add_url(self, piece: bytes) -> None:
        """Add a piece of the URL. 414 if it is too long."""
        self._url += piece
        if len(self._url) > self._limits.max_url:
            raise Unfit(414, f"the URL is longer than {self._limits.max_url} bytes")

    def count(self, name: bytes, value: bytes) -> None:
        """Count the size of a field. 431 if all fields together, including those of a trailer, are too large."""
        self._size += len(name) + len(value) + 4
        if self._size > self._limits.max_header:
            raise Unfit(431, f"the header is larger than {self._limits.max_header} bytes")

    def add_field(self, name: bytes, value: bytes) -> None:
        """Add a header field. 431 if there are too many. An offer to upgrade is left out."""
        name = name.lower()
        if name in _NOTED:
            if name in self._noted:
                self._twice.add(name)
            self._noted[name] = value
            if name in (b"upgrade", b"x-request-id"):
                return
        self._fields.append((name, value))
        if len(self._fields) > self._limits.max_header_fields:
            raise Unfit(431, f"the header has more than {self._limits.max_header_fields} fields")

    # ---- once it is complete ----------------------------------------------------------------

    def check(self, method: str, version: str) -> None:
        """400 or 505 for an invalid request."""
        if version not in ("1.0", "1.1"):
            raise Unfit(505, "this server speaks HTTP/1.1")
        if b"host" in self._twice or (version == "1.1" and b"host" not in self._noted):
            raise Unfit(400, "a request must have exactly one Host header")
        if not HOST.fullmatch(self._noted.get(b"host", b"")):  # RFC 9112, 3.2
            raise Unfit(400, "the Host header is invalid")
        if method == "CONNECT":
            raise Unfit(400, "this server does not support CONNECT")
        if b"content-length" in self._noted or b"transfer-encoding" in self._noted:
            wrong = framing.mistake(self._all(b"transfer-encoding"), self._all(b"content-length"), version)
            if wrong is not None:
                raise Unfit(400, f"the length of the body is ambiguous: {wrong}")

    def _all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._fields if key == name]

    @property
    def id(self) -> str:
        """The request id: the client's if it is well formed, otherwise a new one."""
        if b"x-request-id" in self._twice:
            return new()
        return accepted(self._noted.get(b"x-request-id"))

    @property
    def expects_continue(self) -> bool:
        """Does the client wait for a 100 before it sends the body?"""
        return self._noted.get(b"expect", b"").lower() == b"100-continue"

    @property
    def content_length(self) -> int | None:
        """The announced length of the body, which ``check`` has validated, or None."""
        length = self._noted.get(b"content-length")
        return None if length is None else int(length)

    def scope(self, method: str, version: str, id_: str) -> dict[str, Any]:
        """The request as an ASGI scope, without the addresses. Its id is among the fields."""
        try:
            parsed = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            raise Unfit(400, NO_URL) from None
        if parsed.schema is not None:
            self._take_host(parsed)
        raw_path = parsed.path or b"/"
        path = raw_path.decode("ascii")
        self._fields.append((b"x-request-id", id_.encode("ascii")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method,
            "scheme": "http",
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": parsed.query or b"",
            "headers": self._fields,
        }

    def _take_host(self, url: Any) -> None:
        """If the URL has a host, it counts instead of the field ``Host`` (RFC 9112, 3.2.2)."""
        if url.userinfo is not None:  # RFC 9110, 4.2.4
            raise Unfit(400, "the URL must not contain a user name")
        host = b"[" + url.host + b"]" if b":" in url.host else url.host
        if url.port is not None:
            host += b":%d" % url.port
        self._fields = [pair for pair in self._fields if pair[0] != b"host"] + [(b"host", host)]

    def without_upgrade(self, method: bytes, version: str) -> bytes:
        """The head without the offer to upgrade."""
        given = self._noted.get(b"x-request-id")
        fields = [*self._fields, *([] if given is None else [(b"x-request-id", given)])]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        return method + b" " + self._url + f" HTTP/{version}\r\n".encode() + lines + b"\r\n"
