"""The framework's own pages: what each answers, to clients and to scripts, and what an error in one becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from framework.errors import HTTPError, StorageError
from framework.gateway.logon import Logon

from .client import Client, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

JSON, PROBLEM = {"content-type": "application/json"}, {"content-type": "application/problem+json"}
NOTHING = "nothing is here; /-/live, /-/ready and /-/logon are"
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"]


async def told(client: Client, **scope: Any) -> tuple[list[Any], dict[str, Any]]:
    """The messages of an answer, and the scope as it is left for the access log."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    seen = {"type": "http", "method": "GET", "scheme": "http", "headers": [], "query_string": b"", **scope}
    seen["path"] = seen["raw_path"].decode()
    await client.app(seen, None, send)
    return messages, seen


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("path", "template", "body"),
    [
        (b"/-/live", "/-/live", b'{"status":"live"}'),
        (b"/-/live/", "/-/live", b'{"status":"live"}'),
        (b"/%2d/%6Cive", "/-/live", b'{"status":"live"}'),
        (b"/-/ready", "/-/ready", b'{"status":"ready"}'),
    ],
)
async def test_health_is_told_whatever_the_method_is(
    serving: Serving, method: str, path: bytes, template: str, body: bytes
) -> None:
    async with serving() as client:
        (start, end), scope = await told(client, method=method, raw_path=path)
    assert (start["status"], end) == (200, {"type": "http.response.body", "body": body})
    assert [name for name, _ in start["headers"]] == [b"content-type", b"content-length"]
    assert (b"content-type", b"application/json") in start["headers"]
    assert (b"content-length", b"%d" % len(body)) in start["headers"]
    assert scope["template"] == template


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path", ["/-", "/-/", "/-/other", "/-//live", "/-/live//", "/-/Live", "/-/live%20", "/-/logon/more"]
)
async def test_what_is_no_page_is_404_and_never_a_redirection(
    serving: Serving, method: str, path: str
) -> None:
    async with serving() as client:
        answer = await client.request(method, path)
        _, scope = await told(client, method=method, raw_path=path.encode())
    assert (answer.code, answer.problem()["detail"]) == (404, NOTHING)
    assert answer.headers == {**PROBLEM, "content-length": str(len(answer.body))}
    assert "template" not in scope


async def test_the_control_socket_alone_has_a_page_of_the_server(serving: Serving) -> None:
    async with serving() as client:
        (start, end), scope = await told(client, raw_path=b"/-/server", control={"version": "1"})
        assert (start["status"], end["body"], scope["template"]) == (200, b'{"version":"1"}', "/-/server")
        (start, end), scope = await told(client, raw_path=b"/-/server", control=None)
        assert (start["status"], json.loads(end["body"])["detail"]) == (404, NOTHING)


async def test_a_script_reaches_the_pages_by_a_callout(serving: Serving) -> None:
    ask = "answer = await callout('/-/' + resources['page'])\nreturn answer.code, answer.body, answer.headers"
    async with serving(route("/ask/{page}", ask)) as client:
        live, none = await client.get("/ask/live"), await client.get("/ask/server")
    assert (live.code, live.json()) == (200, {"status": "live"})
    assert live.headers == {**JSON, "content-length": "17"}
    assert (none.code, none.problem()["detail"]) == (404, NOTHING)


@pytest.mark.parametrize(
    ("error", "code"), [(HTTPError(418, "no"), 418), (StorageError("secret"), 503), (KeyError("secret"), 500)]
)
async def test_an_error_in_a_page_is_answered_once(
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: int,
) -> None:
    async def failing(self: Logon, scope: Any) -> Any:
        raise error

    monkeypatch.setattr(Logon, "answer", failing)
    async with serving() as client:
        answer = await client.post("/-/logon")
    assert answer.code == code
    assert b"secret" not in answer.body
    assert len([one for one in caplog.records if one.name == "framework.gateway"]) == (code != 418)
