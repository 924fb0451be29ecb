"""Headers on their way from one connection to the next, in both directions.

The one rule: **headers that belong to one connection, or that only the gateway may set, never pass through.** Headers
that describe a connection (RFC 9110, 7.6.1) end here, including those that the client's ``Connection`` names. Only
the gateway tells a back end who called (``X-Forwarded-For``, ``Forwarded``). Headers about the caller that back ends
trust pass only if the route allows it or a script has set them.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Set

from framework.definitions.believed import SAID_BY_THE_GATEWAY, is_believed, plain, plain_bytes

Headers = list[tuple[bytes, bytes]]

# The framing of a body is set anew for each connection. The server answers ``Expect``.
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
# The gateway sets these itself, whatever the client and the script say.
_OURS = _CONNECTION - {b"proxy-authenticate", b"proxy-authorization"} | {b"content-length", b"expect"}
# A ``Connection`` header cannot remove these: they are framing, or the gateway's own.
_NOT_NAMED = frozenset((b"content-length", b"host", b"close", b"keep-alive", b"x-request-id", b""))

_REMEMBERED = 64  # the longest name to remember, in bytes, because clients choose the names

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# A registered name, an address, a port (RFC 3986, 3.2.2). Whether it is one of ours is unknown here.
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class Unsendable(Exception):
    """A header that HTTP, or aiohttp, cannot carry. ``by_script``: a script has set it."""

    def __init__(self, name: bytes, why: str, *, by_script: bool = False) -> None:
        super().__init__(f"the header {name.decode('ascii', 'replace')!r} {why}")
        self.by_script = by_script


class _Fate(enum.IntEnum):
    """The fate of a header on its way to a target."""

    PASSES = 0
    IF_SCRIPT = 1  # it passes if a script has set it
    IF_ALLOWED = 2  # or if the route lets the client's header pass
    ENDS = 3


@functools.lru_cache(maxsize=1024)
def _known(name: bytes) -> tuple[_Fate, bytes, str | None]:
    """The fate of a name, its plain form, and the name as it is sent, or None for an invalid name."""
    if not _NAME.fullmatch(name):
        return _Fate.PASSES, name, None
    text = name.decode("ascii")
    same = plain(text)
    key = same.encode("ascii")
    if key in _OURS or same in SAID_BY_THE_GATEWAY:
        fate = _Fate.ENDS
    elif key in _CONNECTION or key == b"host":
        fate = _Fate.IF_SCRIPT
    else:
        fate = _Fate.IF_ALLOWED if is_believed(same) else _Fate.PASSES
    return fate, key, text


def to_target(received: Headers, sent: Headers, allowed: Set[bytes] = frozenset()) -> list[tuple[str, str]]:
    """The headers of a request as its target sees them.

    ``received`` came from the client. ``sent`` is what the request script made of them. A pair in both, compared by
    identity, belongs to the client. ``allowed`` are the plain names of those that clients may send although back ends
    trust them. Raises ``Unsendable`` for anything that is not UTF-8.
    """
    theirs = None if sent is received else {id(pair) for pair in received}
    named = _named(received)
    passed = []
    hosts = 0
    for pair in sent:
        name, value = pair
        fate, key, text = _known(name) if len(name) <= _REMEMBERED else _known.__wrapped__(name)
        scripted = theirs is not None and id(pair) not in theirs
        if fate and (fate is _Fate.ENDS or not (scripted or (fate is _Fate.IF_ALLOWED and key in allowed))):
            continue
        if key in named and not scripted:
            continue
        if text is None or CONTROL.search(value):
            raise Unsendable(name, "has a name or value that HTTP cannot carry", by_script=scripted)
        if key == b"host":
            hosts += 1
            if hosts > 1 or text != "host" or not HOST.fullmatch(value):
                raise Unsendable(name, "names no host, or several", by_script=scripted)
        try:
            passed.append((text, value.decode()))
        except UnicodeDecodeError:
            raise Unsendable(name, "is not UTF-8", by_script=scripted) from None
    return passed


def to_client(raw: Iterable[tuple[bytes, bytes]], *, framing: bool) -> Headers:
    """The headers of a response as the client sees them. ``framing``: with its ``Content-Length``.

    Raises ``Unsendable`` for what HTTP cannot carry, because it would end a header elsewhere than the back end did.
    """
    lowered = [(name.lower(), value) for name, value in raw]
    ended = _named(lowered)
    passed = []
    for name, value in lowered:
        if name in _CONNECTION or (name == b"content-length" and not framing):
            continue
        if ended and plain_bytes(name) in ended:
            continue
        if CONTROL.search(value) or not _NAME.fullmatch(name):
            raise Unsendable(name, "has a name or value that HTTP cannot carry")
        passed.append((name, value))
    return passed


def forwarded(scheme: str, host: str | None, client: tuple[str, int] | None) -> list[tuple[str, str]]:
    """The caller, for the back end: ``X-Forwarded-For/Proto/Host`` and ``Forwarded`` (RFC 7239).

    All names are in lower case, because aiohttp treats other spellings as other headers.
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
    """The names that ``Connection`` lists. These headers end here as well."""
    lists = [value for name, value in headers if name == b"connection"]
    if not lists:
        return frozenset()
    names = {plain_bytes(name.strip().lower()) for name in b",".join(lists).split(b",")}
    return frozenset(names - _NOT_NAMED)
