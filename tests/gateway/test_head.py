"""The head of a request: bounded, unambiguous, and a bug of ours in reading it is no fault of the client."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from framework.gateway.wire.connection import protocol
from framework.gateway.wire.head import Head, Unfit
from framework.gateway.wire.limits import DEFAULTS
from framework.gateway.wire.sharing import Listening

pytestmark = pytest.mark.anyio


def head(*fields: tuple[bytes, bytes], url: bytes = b"/a") -> Head:
    made = Head(DEFAULTS)
    made.add_url(url)
    for name, value in fields:
        made.count(name, value)
        made.add_field(name, value)
    return made


def test_a_url_and_fields_become_the_scope_of_an_application() -> None:
    made = head((b"Host", b"a:80"), (b"X-A", b"1"), (b"x-a", b"2"), url=b"/a%20b?c=%64")
    assert made.scope("GET", "1.1", "an-id") == {  # as ASGI says it
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=%64",
        "headers": [(b"host", b"a:80"), (b"x-a", b"1"), (b"x-a", b"2"), (b"x-request-id", b"an-id")],
    }


def test_a_url_may_come_in_pieces_and_without_a_path_or_query() -> None:
    made = head(url=b"/long")
    made.add_url(b"/er?a=b")
    assert made.scope("GET", "1.1", "an-id")["raw_path"] == b"/long/er"
    bare = head(url=b"http://a.example").scope("GET", "1.1", "an-id")
    assert (bare["path"], bare["raw_path"], bare["query_string"]) == ("/", b"/", b"")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (b"http://other.example/a", b"other.example"),
        (b"http://other.example:81/a", b"other.example:81"),
        (b"https://[::1]:81", b"[::1]:81"),
        (b"HTTP://[::1]/a", b"[::1]"),
    ],
)
def test_the_host_of_a_url_counts_and_not_the_field(url: bytes, host: bytes) -> None:
    scope = head((b"X-A", b"1"), (b"Host", b"a"), url=url).scope("GET", "1.1", "an-id")
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]
    assert (b"x-a", b"1") in scope["headers"]


def test_a_url_with_a_user_in_it_is_refused() -> None:
    with pytest.raises(Unfit) as refused:
        head((b"Host", b"a"), url=b"http://user:secret@a/x").scope("GET", "1.1", "an-id")
    assert refused.value.code == 400


@pytest.mark.parametrize("url", [b"/a b", b"a", b"/caf\xe9", b"http://"])
def test_what_is_no_url_is_refused(url: bytes) -> None:
    with pytest.raises(Unfit) as refused:
        head(url=url).scope("GET", "1.1", "an-id")
    assert refused.value.code == 400


def test_what_just_reaches_each_limit_is_taken() -> None:
    made = Head(replace(DEFAULTS, max_url=6, max_header=40, max_header_fields=2))
    made.add_url(b"/ab")
    made.add_url(b"cde")
    for name in (b"Host", b"X-ab"):
        made.count(name, b"12345678" + b"9" * 4)  # and four bytes for the colon, the blank and the line's end
        made.add_field(name, b"12345678")
    with pytest.raises(Unfit, match="40"):
        made.count(b"", b"")


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_url": 3}, 414), ({"max_header": 20}, 431), ({"max_header_fields": 1}, 431)],
)
def test_each_limit_is_held_as_the_head_comes(limits: dict[str, Any], code: int) -> None:
    made = Head(replace(DEFAULTS, **limits))
    with pytest.raises(Unfit) as refused:
        made.add_url(b"/abc")
        for name in (b"host", b"accept"):
            made.count(name, b"12345678")
            made.add_field(name, b"12345678")
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("fields", "method", "version", "code"),
    [
        ([], "GET", "1.1", 400),
        ([(b"Host", b"a"), (b"host", b"a")], "GET", "1.1", 400),
        ([(b"Host", b"a/b")], "GET", "1.1", 400),
        ([(b"Host", b"a")], "CONNECT", "1.1", 400),
        ([(b"Host", b"a")], "GET", "2.0", 505),
        ([(b"Host", b"a"), (b"Content-Length", b"x")], "POST", "1.1", 400),
    ],
)
def test_what_can_be_understood_in_two_ways_is_refused(
    fields: list[tuple[bytes, bytes]], method: str, version: str, code: int
) -> None:
    with pytest.raises(Unfit) as refused:
        head(*fields).check(method, version)
    assert refused.value.code == code
    assert str(refused.value) == refused.value.detail != ""


@pytest.mark.parametrize(
    "value", [b"", b"identity", b"identity, chunked", b"gzip, chunked", b"chunked, chunked", b"chunked;q=1"]
)
def test_a_coding_that_a_parser_lets_pass_is_refused(value: bytes) -> None:
    with pytest.raises(Unfit):
        head((b"Host", b"a"), (b"Transfer-Encoding", value)).check("POST", "1.1")


def test_a_framing_that_a_parser_lets_pass_is_refused() -> None:
    host, chunked, length = (b"Host", b"a"), (b"Transfer-Encoding", b"Chunked"), (b"Content-Length", b"5")
    head(host, chunked).check("POST", "1.1")
    head(host, length).check("POST", "1.0")
    doubtful = [(chunked, length), (chunked, chunked), (length, length)]
    doubtful += [((b"Content-Length", value),) for value in (b"+5", b"5, 5", b"0x5", b"", b"1" * 19, b"1_0")]
    for fields in doubtful:
        with pytest.raises(Unfit):
            head(host, *fields).check("POST", "1.1")
    with pytest.raises(Unfit):
        head(host, chunked).check("POST", "1.0")


def test_an_older_client_needs_no_host() -> None:
    head().check("GET", "1.0")


def test_two_ids_are_none() -> None:
    one = head((b"X-Request-Id", b"mine"))
    two = head((b"X-Request-Id", b"mine"), (b"X-Request-Id", b"yours"))
    assert one.id == "mine"
    assert two.id not in ("mine", "yours")


def test_an_offer_to_upgrade_is_left_out_and_all_else_stays() -> None:
    made = head((b"Host", b"a"), (b"Upgrade", b"h2c"), (b"X-Request-Id", b"mine"))
    again = made.without_upgrade(b"GET", "1.1")
    assert again == b"GET /a HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\n\r\n"


async def test_a_bug_in_reading_is_a_500_and_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Head, method: str, version: str) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Head, "check", broken)
    state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
    make = protocol(None, Listening(DEFAULTS))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: make(config=None, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with caplog.at_level(logging.ERROR, "framework.gateway"):
            answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"a bug" not in answer
    assert "KeyError: 'a bug'" in caplog.text
