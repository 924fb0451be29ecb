"""What a script returns, and what the client gets."""

from __future__ import annotations

import json
import logging
import re
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
        ("return 200, None", 200, JSON, b"null"),
        ("return 304, None", 304, None, b""),
        ("return 204, None", 204, None, b""),
        ("return 200, [1, 2]", 200, JSON, b"[1,2]"),
        ("finish({'a': 1})", 200, JSON, b'{"a":1}'),
        ("finish('text', code=201)", 201, TEXT, b"text"),
        ("finish('text', 203)", 203, TEXT, b"text"),
        ("finish()", 200, JSON, b"null"),
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
    [("'text'", "text"), ("''", ""), ("'caf\\xe9'", "caf\xe9"), ("'a b\\tc'", "a b\tc"), ("1.5", "1.5")],
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


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("None", "None"),
        ("b'bytes'", "bytes"),
        ("{'a': 1}", "dict"),
        ("{'a'}", "set"),
        ("True", "bool"),
        ("object()", "object"),
        ("float('nan')", "float"),
        ("datetime.date(2026, 1, 1)", "date"),
        ("['a', None]", "NoneType"),
        ("['a', ['b']]", "list"),
        ("['a', 'b\\r\\nc']", "line break"),
        ("'a\\0'", "control character"),
    ],
)
@pytest.mark.parametrize("answer", ["return 200, '', {{'X-Odd': {}}}", "finish('', headers={{'X-Odd': {}}})"])
async def test_a_header_value_that_is_no_text_is_named_with_the_scripts_line(
    serving: Serving, caplog: pytest.LogCaptureFixture, value: str, told: str, answer: str
) -> None:
    async with serving(route("/a", f"a = 1\n{answer.format(value)}")) as client:
        assert (await client.get("/a")).code == 500
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "'X-Odd'" in record.getMessage()
    assert told in record.getMessage()
    assert f" at {folder_of(record)}000.yaml:6" in record.getMessage()


def folder_of(record: logging.LogRecord) -> str:
    """What stands before the file's name in a record's place."""
    found = re.search(r" at (\S*?)000\.yaml", record.getMessage())
    assert found is not None
    return found[1]


async def test_a_list_is_several_lines_of_one_header(serving: Serving) -> None:
    cookies = "return 200, '', {'Set-Cookie': ['a=1', 'b=2'], 'X-Pair': (1, 'two'), 'X-None': []}"
    async with serving(
        route("/a", cookies),
        route("/b", "return 1", idempotency=True),
        route("/c", cookies, idempotency=True),
    ) as client:
        for path in ("/a", "/c", "/c"):  # and from what is kept for a repeated request
            called = await client.app.call("POST", path, {"idempotency-key": "k"}, b"")
            assert called.headers.getlist("set-cookie") == ["a=1", "b=2"]
            assert called.headers.getlist("x-pair") == ["1", "two"]
            assert "x-none" not in called.headers


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("{1, 2}", "the type set is not a JSON value"),
        ("200, {'a': {1}}", "the type set is not a JSON value"),
        ("{'a': 1}, 202", "write `return 202, body`"),
        ("{'a': 1}, 202, {}", "write `return 202, body`"),
        ("object()", "the type object is not a JSON value"),
        ("True, 'a'", "the status True"),
        ("700, 'a'", "the status 700"),
        ("202, 'a', {}, 1", "not 4 values"),
        ("float('nan')", "cannot be sent"),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_logged_with_the_line_of_its_return(
    serving: Serving, caplog: pytest.LogCaptureFixture, answer: str, told: str
) -> None:
    script = (
        "if request.method == GET:\n    return 1\ntry:\n    await asyncio.sleep(0)\n"
        f"    return {answer}\nfinally:\n    a = 2\nreturn 3"
    )
    async with serving(route("/a", script)) as client:
        assert (await client.post("/a", b"{}")).code == 500
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"{folder_of(record)}000.yaml:9: BadAnswer: " in record.getMessage()
    assert told in record.getMessage()
    trace = record.traceback  # type: ignore[attr-defined]
    assert f"    return {answer}" in trace
    assert "framework/" not in trace.replace(folder_of(record), "")


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
