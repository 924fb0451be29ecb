"""The result of a script as an HTTP response, and errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from framework.client import contentcoding
from framework.errors import Error, HTTPError
from framework.gateway.response_headers import BadAnswer, ResponseHeaders, written
from framework.observing import trace
from framework.values import jsontext

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_PROBLEM = b"application/problem+json"

# The server alone decides the framing of a body.
_FRAMING = (b"connection", b"content-length", b"transfer-encoding")
WITHOUT_BODY = (204, 304)

# Headers of a target that describe exactly the body that it sent: its coding, its length, its range, its digests, and
# its cache validators.
_OF_THE_BODY = (
    *("content-encoding", "content-length", "content-range", "accept-ranges"),
    *("content-md5", "digest", "content-digest", "repr-digest", "etag", "last-modified"),
)


class Nothing:
    """A body without bytes and type, for an answer whose status says everything."""


NOTHING = Nothing()


@dataclass(slots=True)
class Response:
    """A response ready to be sent. Header names are case-insensitive. A name may have several values."""

    code: int
    body: bytes
    headers: ResponseHeaders = field(default_factory=ResponseHeaders)

    async def send(self, send: Any) -> None:
        """Send it, whole."""
        headers = [*self.headers.raw]
        if self.code not in WITHOUT_BODY and not _has(headers, b"content-length"):
            headers.append((b"content-length", b"%d" % len(self.body)))  # RFC 9110, 8.6
        await send({"type": "http.response.start", "status": self.code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def from_result(result: Any, place: tuple[str, int] | None = None) -> Response:
    """``body``, ``code, body`` or ``code, body, headers``. A dict, list, ATOM or MU is sent as JSON.

    Raises ``BadAnswer`` for any other result, and for one that cannot be sent. ``place`` is the location of the
    ``return``.
    """
    try:
        return _from_result(result)
    except BadAnswer as error:
        error.place = place
        raise


def _from_result(result: Any) -> Response:
    code: Any = 200
    headers: Mapping[str, Any] | None = None
    body = result
    if isinstance(result, tuple):
        if len(result) == 2:
            code, body = result
        elif len(result) == 3:
            code, body, headers = result
        else:
            raise BadAnswer(
                f"a script returns body, (code, body) or (code, body, headers), not {len(result)} values"
            )
    if isinstance(body, int) and _is_code(body) and not _is_code(code):
        raise BadAnswer(f"a script returned the status {body} last: write `return {body}, body`")
    return make(code, body, headers)


def make(code: Any, body: Any, headers: Mapping[str, Any] | None = None) -> Response:
    """A response of these parts. The type of the body decides its content type, unless ``headers`` has one.

    A body of None is ``null``, except for a status without a body. Raises ``BadAnswer`` for what cannot be sent.
    """
    _check_code(code)
    content, content_type = _content(NOTHING if code in WITHOUT_BODY else body)
    raw: list[tuple[bytes, bytes]] = []
    if headers is not None:
        if not isinstance(headers, Mapping):
            raise BadAnswer(
                f"a script returned headers that are not a mapping but a {type(headers).__name__}"
            )
        raw = [line for line in written(headers) if line[0] not in _FRAMING]
    if content_type and not _has(raw, b"content-type"):
        raw.append((b"content-type", content_type.encode("ascii")))
    return Response(int(code), content, ResponseHeaders(raw=raw))


def remade(response: Response, *, came: Response) -> Response:
    """A target's response as a script has left it, if it can be sent. ``came`` is the original one.

    A new body is written like a returned one. Then headers that described the old body are dropped, unless the script
    has set them, and a partial response becomes a whole one.
    """
    _check_code(response.code)
    headers = response.headers = _set_anew(response.headers)
    if response.code in WITHOUT_BODY:
        response.body = b""
    elif response.body is not came.body:
        response.body, content_type = _content(NOTHING if response.body is None else response.body)
        if content_type == _JSON or "content-type" not in headers:
            headers["content-type"] = content_type or _TEXT
        for name in _OF_THE_BODY:
            if name not in headers.given:
                del headers[name]
        if response.code == came.code == 206:
            response.code = 200
    for name in ("connection", "transfer-encoding"):
        del headers[name]
    if headers.get("content-length") != came.headers.get("content-length") or response.code in WITHOUT_BODY:
        del headers["content-length"]  # the script does not decide the length of the body
    return response


async def readable(response: Response, limit: int) -> Response:
    """A target's response as its script sees it: decompressed, if the target has compressed it.

    A response with another coding, of more than ``limit`` bytes, or with a broken body is shown as it is.
    """
    seen = Response(response.code, response.body, response.headers.mutablecopy())
    coding = ", ".join(response.headers.getlist("content-encoding"))
    if not coding or not response.body:
        return seen
    try:
        decoded = contentcoding.Body(coding, limit)
        if decoded.is_coded:
            await decoded.add(response.body)
            seen.body = decoded.whole()
            del seen.headers["content-encoding"]
    except (contentcoding.Malformed, contentcoding.TooLarge):
        pass
    return seen


def _set_anew(headers: Any) -> ResponseHeaders:
    """The headers of a response, also where a script has set another mapping for them."""
    if isinstance(headers, ResponseHeaders):
        return headers
    if not isinstance(headers, Mapping):
        raise BadAnswer(f"response.headers was set to a {type(headers).__name__}; it is a mapping")
    made = ResponseHeaders()
    made.update(headers)
    return made


def _is_code(code: Any) -> bool:
    return isinstance(code, int) and not isinstance(code, bool) and 200 <= code <= 599


def _has(headers: list[tuple[bytes, bytes]], name: bytes) -> bool:
    for one, _ in headers:  # noqa: SIM110 - a generator would make a frame at each request
        if one == name:
            return True
    return False


def _check_code(code: Any) -> None:
    if not _is_code(code):
        raise BadAnswer(f"a script returned the status {code!r:.60}; it is a number from 200 to 599")


def _content(body: Any) -> tuple[bytes, str | None]:
    if body is NOTHING:
        return b"", None
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), _BYTES
    try:
        if isinstance(body, str):
            return body.encode(), _TEXT
        return jsontext.encode(body).encode(), _JSON
    except (TypeError, ValueError) as error:
        if trace.place(error) is not None:  # from code of the definitions that makes a part of the body
            raise
        raise BadAnswer(f"a script returned a value that cannot be sent: {error}") from None


def problem(code: int, detail: str | None = None, **members: Any) -> Response:
    """An error as problem+json. ``title`` is the phrase of the status.

    Lone surrogates, which UTF-8 cannot carry and which a client may use in a name, are sent escaped.
    """
    try:
        title = HTTPStatus(code).phrase
    except ValueError:
        title = "Error"
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": code}
    if detail and detail != title:
        content["detail"] = _escaped(detail)
    content |= {name: _escaped(value) for name, value in members.items()}
    headers = ResponseHeaders(raw=[(b"content-type", _PROBLEM)])
    return Response(code, jsontext.encode(content).encode(), headers)


def _escaped(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def from_http_error(error: HTTPError) -> Response:
    """The answer for an ``HTTPError`` or ``Error`` that a script has raised."""
    if isinstance(error, Error):
        if error.body is not None:
            return make(error.code, error.body)
        if error.moreInfo is not None:
            return problem(error.code, error.reason, moreInfo=error.moreInfo)
    return problem(error.code, error.reason)
