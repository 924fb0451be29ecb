"""Headers on their way from one connection to the next, in both directions.

The one rule: **what belongs to one connection, or speaks for the gateway, never passes through.** Headers
that describe a connection (RFC 9110, 7.6.1) end here, also those that ``Connection`` names; and what tells a
back end who called (``X-Forwarded-*``, ``Forwarded``) is the gateway's word alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

# The framing of a body is said anew for each connection; ``Expect`` is answered by the server.
_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
_REQUEST = _CONNECTION | {b"content-length", b"expect", b"host", b"forwarded", b"x-real-ip"}
_FORWARDED = b"x-forwarded-"

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Unsendable(Exception):
    """A header that HTTP, or the client of the back ends, cannot carry."""

    def __init__(self, name: bytes, why: str, value: bytes) -> None:
        super().__init__(f"the header {name.decode('ascii', 'replace')!r} {why}")
        self.header = (name, value)


def to_target(received: Headers, sent: Headers) -> list[tuple[str, str]]:
    """The headers of a request as its target is to see them.

    ``received`` came from the client, ``sent`` is what the request script made of them: a ``Host`` that it has
    set is kept. ``Unsendable`` for what is not UTF-8.
    """
    ended = _named(sent)
    passed = []
    for name, value in sent:
        plain = name.replace(b"_", b"-") if b"_" in name else name  # CGI and WSGI do not tell them apart
        ends = plain in _REQUEST or plain in ended or plain.startswith(_FORWARDED)
        if ends and (name != b"host" or (name, value) in received):
            continue
        if _CONTROL.search(value) or not _NAME.fullmatch(name):
            raise Unsendable(name, "has a name or value that HTTP cannot carry", value)
        try:
            passed.append((name.decode("ascii"), value.decode()))
        except UnicodeDecodeError:
            raise Unsendable(name, "is not UTF-8", value) from None
    return passed


def to_client(raw: Iterable[tuple[bytes, bytes]], *, framing: bool) -> Headers:
    """The headers of a response as the client is to see them; ``framing``: with its ``Content-Length``.

    ``Unsendable`` for what HTTP cannot carry: it would end a header where the back end did not.
    """
    lowered = [(name.lower(), value) for name, value in raw]
    ended = _named(lowered)
    passed = []
    for name, value in lowered:
        if name in _CONNECTION or name in ended or (name == b"content-length" and not framing):
            continue
        if _CONTROL.search(value) or not _NAME.fullmatch(name):
            raise Unsendable(name, "has a name or value that HTTP cannot carry", value)
        passed.append((name, value))
    return passed


def forwarded(scheme: str, host: str | None, client: tuple[str, int] | None) -> list[tuple[str, str]]:
    """Who called, for the back end: ``X-Forwarded-For/Proto/Host`` and ``Forwarded`` (RFC 7239).

    The names are in lower case, as all are: the client of the back ends takes others for other headers.
    """
    told = [("x-forwarded-proto", scheme)]
    node = "unknown"  # a call from inside
    if client is not None:
        told.append(("x-forwarded-for", client[0]))
        node = f'"[{client[0]}]"' if ":" in client[0] else client[0]
    element = f"for={node};proto={scheme}"
    if host is not None:
        told.append(("x-forwarded-host", host))
        quoted = host.replace("\\", "\\\\").replace('"', '\\"')
        element += f';host="{quoted}"'
    return [*told, ("forwarded", element)]


def _named(headers: Headers) -> frozenset[bytes]:
    """The names that ``Connection`` lists: headers that end here as well."""
    lists = [value for name, value in headers if name == b"connection"]
    if not lists:
        return frozenset()
    names = {name.strip().lower() for name in b",".join(lists).split(b",")}
    return frozenset(names - {b"content-length", b"host", b"close", b"keep-alive", b""})
