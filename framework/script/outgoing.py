"""The request of a callout: from a script's words to what is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from framework.errors import FrameworkError
from framework.observing.request_id import HEADER, REQUEST_ID
from framework.values import jsontext


class Call(NamedTuple):
    """A request as it is sent."""

    method: str
    headers: dict[str, str]
    body: bytes


class Outgoing(NamedTuple):
    """The request as a script words it."""

    method: str
    path: str | None
    url: str | None
    endpoint: str | None
    body: Any
    headers: Mapping[str, str] | None
    authentication: Sequence[str] | None
    auto_url_encode: bool

    @property
    def is_elsewhere(self) -> bool:
        """Whether it names a server, instead of a path of the gateway."""
        return self.url is not None or self.endpoint is not None

    def encoded_path(self) -> str | None:
        if self.auto_url_encode and self.path:
            return quote(self.path, safe="/?&=%:@+,;~!$'()*")
        return self.path

    def call(self, token: str | None = None) -> Call:
        """The request as it is sent, with a token if it has none of its own."""
        headers = self.headers
        if token is not None:
            headers = _with(headers, "X-Auth-Token", token, instead=False)
        if self.authentication:
            headers = _with(headers, "Authorization", _basic(self.authentication), instead=True)
        return Call(str(self.method).upper(), *_encoded(self.body, headers))


def _encoded(body: Any, headers: Mapping[str, str] | None) -> tuple[dict[str, str], bytes]:
    sent = {str(name): str(value) for name, value in (headers or {}).items()}
    request_id = REQUEST_ID.get()
    if request_id is not None and not any(name.lower() == HEADER for name in sent):
        sent["X-Request-Id"] = request_id
    if body is None:
        return sent, b""
    if isinstance(body, bytes | bytearray | memoryview):
        return sent, bytes(body)
    if isinstance(body, str):
        return sent, body.encode()
    if not any(name.lower() == "content-type" for name in sent):
        sent["Content-Type"] = "application/json"
    return sent, jsontext.encode(body).encode()


def _basic(authentication: Sequence[str]) -> str:
    if isinstance(authentication, str | bytes) or len(authentication) != 2:
        raise FrameworkError("callout: authentication is (user, password)")
    return "Basic " + base64.b64encode(":".join(map(str, authentication)).encode()).decode("ascii")


def _with(headers: Mapping[str, Any] | None, name: str, value: str, *, instead: bool) -> dict[str, Any]:
    """The headers with one more: ``instead`` of one of this name, in whatever case, or only if there is none."""
    own = dict(headers or {})
    same = [other for other in own if str(other).lower() == name.lower()]
    if same and not instead:
        return own
    for other in same:
        del own[other]
    return {name: value, **own}
