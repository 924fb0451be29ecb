"""A client that calls the gateway as an ASGI server would, and holds every answer to the rules of HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from textwrap import indent
from typing import Any
from urllib.parse import unquote

from framework.gateway.app import Gateway
from framework.serving.runtime import Runtime

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


@dataclass(frozen=True)
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        """The body of an error, after a look at its form."""
        assert self.headers["content-type"] == "application/problem+json"
        content: dict[str, Any] = self.json()
        assert content["status"] == self.code
        assert content["title"]
        return content


class Client:
    """Sends requests to the application in this process."""

    def __init__(self, app: Gateway, runtime: Runtime) -> None:
        self.app = app
        self.runtime = runtime

    async def get(self, target: str | bytes, **more: Any) -> Answer:
        return await self.request("GET", target, **more)

    async def post(self, target: str | bytes, body: bytes = b"", **more: Any) -> Answer:
        return await self.request("POST", target, body=body, **more)

    async def request(
        self,
        method: str,
        target: str | bytes,
        *,
        body: bytes = b"",
        chunks: Sequence[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. ``chunks`` instead of ``body``: sent in pieces, without a content-length."""
        raw = target.encode("ascii") if isinstance(target, str) else target
        path, _, query = raw.partition(b"?")
        sent = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        if chunks is None and body:
            sent.append((b"content-length", str(len(body)).encode()))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "server": ("127.0.0.1", 9099),
            "client": ("127.0.0.1", 50000),
            "root_path": "",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "headers": [(b"host", b"localhost:9099"), *sent],
        }
        received = _receiver(chunks if chunks is not None else [body])
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(scope, received, send)
        return _well_formed(messages)


def _receiver(pieces: Sequence[bytes]) -> Callable[[], Awaitable[Any]]:
    """The messages of a request that is sent in pieces, by a client that then waits for its answer."""
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    left = iter(messages)

    async def receive() -> Any:
        for message in left:
            return message
        return await asyncio.Event().wait()

    return receive


def _well_formed(messages: list[Any]) -> Answer:
    """The answer, if it is one that a server can put on the wire as it is."""
    start, *rest = messages
    assert start["type"] == "http.response.start"
    assert {message["type"] for message in rest} == {"http.response.body"}
    assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
    body = b"".join(message.get("body", b"") for message in rest)
    pairs: list[tuple[bytes, bytes]] = list(start["headers"])
    for name, value in pairs:
        assert _TOKEN.fullmatch(name), name
        assert not set(value) & {0, 10, 13}, value
    names = [name for name, _ in pairs if name != b"set-cookie"]
    assert len(set(names)) == len(names), names
    headers = {name.decode(): value.decode("latin-1") for name, value in pairs}
    if "date" in headers:  # of a target or a script; else the connection adds it
        assert parsedate_to_datetime(headers.pop("date")).utcoffset() == timedelta()
    if start["status"] in (204, 304):
        assert body == b""
        assert "content-length" not in headers
    elif "content-length" in headers or len(rest) == 1:
        assert int(headers["content-length"]) == len(body)
    assert "transfer-encoding" not in headers
    return Answer(start["status"], headers, body)


def route(path: str, script: str, *, auth: str = "none", **keys: object) -> str:
    """A routing entry with a script, as YAML. Without a target, the script ends in an empty answer."""
    if "target" not in keys:
        script += "\nreturn 200, None"
    more = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in keys.items())
    return (
        f"- proxy:\n    path: '{path}'\n    authorization: {{auth_mode: {auth}}}\n{more}"
        f"  request_forbidden_process: |\n{indent(script.strip(), '    ')}\n"
    )


THING = """
name: Thing
attributes:
  identifier: {field_name: key, field_type: string}
  local_fields:
  - {field_name: number, field_type: integer, field_nullable: false, field_default: 1}
  - {field_name: colour, field_type: string, field_enum: [red, green]}
"""
