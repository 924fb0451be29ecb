"""What a script returned, as an HTTP response; and errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

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
    """A response ready to be sent. Header names in lower case."""

    code: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


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
    if isinstance(code, bool) or not isinstance(code, int) or not 200 <= code <= 599:
        raise TypeError(f"a script returned the status {code!r}; it is a number from 200 to 599")
    content, content_type = _content(None if code in WITHOUT_BODY else body)
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"a script returned headers that are no mapping but a {type(headers).__name__}")
    sent = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    for name, value in sent.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise TypeError(f"a script returned the header {name!r} with a name or value HTTP cannot carry")
    sent = {name: value for name, value in sent.items() if name not in _FRAMING}
    if content_type:
        sent.setdefault("content-type", content_type)
    return Response(int(code), content, sent)


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
    return Response(code, jsontext.encode(content).encode(), {"content-type": _PROBLEM})


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
