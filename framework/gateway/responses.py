"""What a script returned, as an HTTP response; and errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders

from framework import jsontext
from framework.errors import Error, HTTPError

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_PROBLEM = "application/problem+json"

# What HTTP allows in a header (RFC 9110, 5.1 and 5.5); the framing of a body is the server's to say.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = ("connection", "content-length", "transfer-encoding")
WITHOUT_BODY = (204, 304)


@dataclass(slots=True)
class Response:
    """A response ready to be sent. Header names are found in any case; one name may have several values."""

    code: int
    body: bytes
    headers: MutableHeaders = field(default_factory=MutableHeaders)

    async def send(self, send: Any) -> None:
        """Send it, whole."""
        headers = [*self.headers.raw]
        if self.code not in WITHOUT_BODY and "content-length" not in self.headers:
            headers.append((b"content-length", str(len(self.body)).encode()))  # RFC 9110, 8.6
        if "date" not in self.headers:
            headers.append((b"date", date()))
        await send({"type": "http.response.start", "status": self.code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def date() -> bytes:
    """The time as HTTP writes it, made anew once a second."""
    return _written(int(time.time()))


@functools.lru_cache(maxsize=1)
def _written(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()


def from_result(result: Any) -> Response:
    """``body``, ``code, body`` or ``code, body, headers``; a dict, list, ATOM or MU is sent as JSON.

    ``TypeError`` for a result that is none of these, or that cannot be sent.
    """
    code: Any = 200
    headers: Mapping[str, Any] = {}
    body = result
    if isinstance(result, tuple):
        if len(result) == 2:
            code, body = result
        elif len(result) == 3:
            code, body, headers = result
        else:
            raise TypeError(
                f"a script returns body, (code, body) or (code, body, headers), not {len(result)} values"
            )
    return make(code, body, headers)


def make(code: Any, body: Any, headers: Mapping[str, Any] | None = None) -> Response:
    """A response of these parts; its content type by the body's type, unless ``headers`` has one."""
    _check_code(code)
    content, content_type = _content(None if code in WITHOUT_BODY else body)
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"a script returned headers that are no mapping but a {type(headers).__name__}")
    sent = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    for name, value in sent.items():
        _check_header(name, value)
    sent = {name: value for name, value in sent.items() if name not in _FRAMING}
    if content_type:
        sent.setdefault("content-type", content_type)
    return Response(int(code), content, MutableHeaders(sent))


def remade(response: Response, *, came: Response) -> Response:
    """A target's response as a script has left it, if that can be sent. ``came`` is what it was before.

    A body that was set is written as a returned one is; then what described the old one is dropped.
    """
    _check_code(response.code)
    if response.code in WITHOUT_BODY:
        response.body = b""
        del response.headers["content-length"]
    elif response.body is not came.body:
        response.body, content_type = _content(response.body)
        if content_type == _JSON or "content-type" not in response.headers:
            response.headers["content-type"] = content_type or _TEXT
        del response.headers["content-length"]
        if response.headers.get("content-encoding") == came.headers.get("content-encoding"):
            del response.headers["content-encoding"]
    for name, value in response.headers.items():
        _check_header(name, value)
    for name in ("connection", "transfer-encoding"):
        del response.headers[name]
    if response.headers.get("content-length") != came.headers.get("content-length"):
        del response.headers["content-length"]  # the body's length is not the script's to say
    return response


def _check_code(code: Any) -> None:
    if isinstance(code, bool) or not isinstance(code, int) or not 200 <= code <= 599:
        raise TypeError(f"a script returned the status {code!r}; it is a number from 200 to 599")


def _check_header(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise TypeError(f"a script returned the header {name!r} with a name or value HTTP cannot carry")


def _content(body: Any) -> tuple[bytes, str | None]:
    if body is None:
        return b"", None
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), _BYTES
    try:
        if isinstance(body, str):
            return body.encode(), _TEXT
        return jsontext.encode(body).encode(), _JSON
    except ValueError as error:
        # Not a ValueError any more: the client's body is never to blame for the script's answer.
        raise TypeError(f"a script returned what cannot be sent: {error}") from None


def problem(code: int, detail: str | None = None, **members: Any) -> Response:
    """An error as problem+json; ``title`` is the status's own phrase.

    What no UTF-8 can carry (lone surrogates: a client may name a field so) is sent as an escape of it.
    """
    try:
        title = HTTPStatus(code).phrase
    except ValueError:
        title = "Error"
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": code}
    if detail and detail != title:
        content["detail"] = _escaped(detail)
    content |= {name: _escaped(value) for name, value in members.items()}
    headers = MutableHeaders({"content-type": _PROBLEM})
    return Response(code, jsontext.encode(content).encode(), headers)


def _escaped(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def from_http_error(error: HTTPError) -> Response:
    """The answer that a script asked for by raising ``HTTPError`` or ``Error``."""
    if isinstance(error, Error):
        if error.body is not None:
            return make(error.code, error.body)
        if error.moreInfo is not None:
            return problem(error.code, error.reason, moreInfo=error.moreInfo)
    return problem(error.code, error.reason)
