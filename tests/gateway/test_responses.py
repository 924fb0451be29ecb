"""What a script returns, and what the client gets."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from .client import THING, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("script", "code", "content_type", "body"),
    [
        ("return {'a': 1}", 200, JSON, b'{"a":1}'),
        ("return []", 200, JSON, b"[]"),
        ("return [1, 'é', None, True, 1.5]", 200, JSON, '[1,"é",null,true,1.5]'.encode()),
        ("return 7", 200, JSON, b"7"),
        ("return False", 200, JSON, b"false"),
        ("return 10 ** 30", 200, JSON, b"1" + b"0" * 30),
        ("return 'text é'", 200, TEXT, "text é".encode()),
        ("return ''", 200, TEXT, b""),
        ("return b'\\x00\\xff'", 200, BYTES, b"\x00\xff"),
        ("return bytearray(b'ab')", 200, BYTES, b"ab"),
        ("return memoryview(b'ab')", 200, BYTES, b"ab"),
        ("return MU({'a': {'b': 1}, 'items': []})", 200, JSON, b'{"a":{"b":1},"items":[]}'),
        ("return [MU({'a': 1})]", 200, JSON, b'[{"a":1}]'),
        (
            "return datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)",
            200,
            JSON,
            b'"2026-01-02T00:00:00+00:00"',
        ),
        ("return 201, {'a': 1}", 201, JSON, b'{"a":1}'),
        ("return 202, 'text'", 202, TEXT, b"text"),
        ("return 404, {'a': 1}", 404, JSON, b'{"a":1}'),
        ("return 599, b''", 599, BYTES, b""),
        ("return 200, None", 200, None, b""),
        ("return 204, None", 204, None, b""),
        ("return 200, [1, 2]", 200, JSON, b"[1,2]"),
        ("finish({'a': 1})", 200, JSON, b'{"a":1}'),
        ("finish('text', code=201)", 201, TEXT, b"text"),
        ("finish('text', 203)", 203, TEXT, b"text"),
        ("finish()", 200, None, b""),
        ("finish('first')\nfinish('second')\nreturn 'third'", 200, TEXT, b"first"),
    ],
)
async def test_a_script_answers_by_what_it_returns(
    serving: Serving, script: str, code: int, content_type: str | None, body: bytes
) -> None:
    async with serving(route("/a", script)) as client:
        answer = await client.get("/a")
    assert (answer.code, answer.headers.get("content-type"), answer.body) == (code, content_type, body)


async def test_a_status_alone_is_a_body_and_warned_of_once_a_route(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    scripts = ["return 204", "return 404", "return 99", "return True", "return 204, None", "return 200, 404"]
    routes = [route(f"/{number}", script) for number, script in enumerate(scripts)]
    async with serving(*routes) as client:
        for _ in range(2):
            answers = [await client.get(f"/{number}") for number in range(len(scripts))]
    assert [(answer.code, answer.body) for answer in answers[:2]] == [(200, b"204"), (200, b"404")]
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 2
    for number, code in enumerate((204, 404)):
        assert f"00{number}.yaml:" in warned[number]
        assert f"`return {code}, None`" in warned[number]


async def test_an_atom_is_sent_as_its_fields(serving: Serving) -> None:
    script = "thing = atom.Thing(key='k', number=2)\nreturn 200, {'one': thing, 'all': [thing]}"
    async with serving(THING, route("/a", script)) as client:
        sent = (await client.get("/a")).json()
    assert sent["one"]["key"] == "k"
    assert sent["one"]["number"] == 2
    assert "colour" not in sent["one"]
    assert sent["all"] == [sent["one"]]


async def test_headers_of_the_script_are_sent_and_its_content_type_wins(serving: Serving) -> None:
    headers = "{'X-Number': 7, 'Content-Type': 'text/csv', 'Retry-After': '1', 'ETag': '\"a\"'}"
    async with serving(route("/a", f"return 200, 'a,b', {headers}")) as client:
        sent = (await client.get("/a")).headers
    assert (sent["x-number"], sent["content-type"], sent["retry-after"]) == ("7", "text/csv", "1")
    assert sent["etag"] == '"a"'


@pytest.mark.parametrize(
    ("value", "sent"),
    [("'text'", "text"), ("''", ""), ("'caf\\xe9'", "caf\xe9"), ("'a b\\tc'", "a b\tc"), ("None", "None")],
)
async def test_header_values_that_http_can_carry_pass(serving: Serving, value: str, sent: str) -> None:
    async with serving(route("/a", f"return 200, '', {{'X-Value': {value}}}")) as client:
        answer = await client.get("/a")
    assert (answer.code, answer.headers["x-value"]) == (200, sent)


@pytest.mark.parametrize(
    "header",
    [
        {"X": "a\r\nSet-Cookie: b=c"},
        {"X": "a\nb"},
        {"X": "a\rb"},
        {"X": "a\0b"},
        {"X": "\u6ce8\u6587"},
        {"X": "\ud800"},
        {"X\r\nY": "a"},
        {"X Y": "a"},
        {"X:": "a"},
        {"": "a"},
        {"X\u00e9": "a"},
        {"X\x00": "a"},
    ],
    ids=repr,
)
async def test_no_header_of_a_script_can_break_the_response(
    serving: Serving, caplog: pytest.LogCaptureFixture, header: dict[str, str]
) -> None:
    async with serving(route("/a", f"return 200, 'body', json.loads({json.dumps(header)!r})")) as client:
        answer = await client.post("/a", b"{}")
    assert answer.code == 500
    assert answer.problem()["id"] in caplog.text


async def test_lengths_and_framing_are_never_the_scripts_to_say(serving: Serving) -> None:
    headers = "{'Content-Length': '3', 'Transfer-Encoding': 'chunked', 'Connection': 'close', 'X-A': 'b'}"
    async with serving(route("/a", f"return 200, 'whole body', {headers}")) as client:
        answer = await client.get("/a")
    assert answer.body == b"whole body"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["x-a"] == "b"


@pytest.mark.parametrize("code", [204, 304])
async def test_a_status_without_a_body_is_sent_without_one(serving: Serving, code: int) -> None:
    async with serving(route("/a", f"return {code}, {{'a': 1}}")) as client:
        answer = await client.get("/a")
    assert (answer.code, answer.body) == (code, b"")


@pytest.mark.parametrize(
    "script",
    [
        "return 200, 'a', {}, 'b'",
        "return ()",
        "return 'a', 200",
        "return True, 'a'",
        "return 99, 'a'",
        "return 101, 'a'",
        "return 600, 'a'",
        "return 200.0, 'a'",
        "return '200', 'a'",
        "return object()",
        "return {1, 2}",
        "return 200, {'a': object()}",
        "return 200, 'a', 'headers'",
        "return 200, 'a', 7",
        "return float('nan')",
        "return 200, {'a': float('inf')}",
        "return [float('-inf')]",
        "return '\\ud800'",
        "return {'a': '\\ud800'}",
        "loop = []\nloop.append(loop)\nreturn loop",
        "finish(float('nan'))",
        "finish('a', code=99)",
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}", b"{not json"], ids=["no-body", "json", "not-json"])
async def test_an_answer_that_cannot_be_sent_is_the_scripts_fault_whatever_the_body(
    serving: Serving, caplog: pytest.LogCaptureFixture, script: str, body: bytes
) -> None:
    async with serving(route("/a", script)) as client:
        answer = await client.post("/a", body)
    assert answer.code == 500
    assert answer.problem()["id"] in caplog.text
    assert "000.yaml" in caplog.text


async def test_a_route_that_answers_nothing_says_so(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    target = {"authorities": ["http://127.0.0.1:1"]}
    with caplog.at_level(logging.ERROR):
        async with serving(route("/a", "logger.info('seen')", target=target)) as client:
            answer = await client.get("/a")
    assert 500 <= answer.code < 600
    answer.problem()


async def test_large_answers_are_whole(serving: Serving) -> None:
    async with serving(route("/a", "return ['x' * 1000] * 5000")) as client:
        answer: Any = (await client.get("/a")).json()
    assert answer == ["x" * 1000] * 5000
