"""What the gateway makes of a response, byte for byte: a table of what a back end says, each with what arrives.

The promise behind all of them: **the client gets one well-formed answer, or sees its connection cut**; a part is
never taken for the whole, and nothing of one response gets into another.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.acceptance.server import Server

from .conftest import Origin
from .wire import Wire, exchange, marker, request

CUT = -1


@dataclass(frozen=True)
class Case:
    """What the back end says and does then, and the answer of the client. ``CUT``: begun and broken off."""

    name: str
    says: bytes
    then: str
    code: int
    body: bytes | None = None
    pad: int = 0


def case(
    name: str, says: bytes, code: int, body: bytes | None = None, *, then: str = "close", pad: int = 0
) -> Case:
    return Case(name, says, then, code, body, pad)


OK = b"HTTP/1.1 200 OK\r\n"

CASES = [
    case("a length", OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", then="keep"),
    case("chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", 200, b"hi!", then="keep"),
    case("chunks with a trailer", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", 200, b"hi", then="keep"),
    case("until it closes", OK + b"\r\nhi", 200, b"hi"),
    case("until it closes one side", OK + b"\r\nhi", 200, b"hi", then="half"),
    case("a length, then one side closed", OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", then="half"),
    case("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nhi", 200, b"hi"),
    case("no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
    case("an odd reason", b"HTTP/1.1 200 All is well, isn't it\r\nContent-Length: 0\r\n\r\n", 200, b""),
    case("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", then="keep"),
    case("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n", 304, b"", then="keep"),
    case("an error", b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 503, b"busy", then="keep"),
    case("a redirect is not followed", b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", 302, b"", then="keep"),
    case("an unknown status", b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", 299, b"", then="keep"),
    case("early hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
    case("100 that nobody asked for", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
    case("compressed bytes stay as they are", OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00", 200, b"\x1f\x8b\x00", then="keep"),
    case("an unknown encoding", OK + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc", then="keep"),
    case("nothing at all", b"", 502),
    case("nothing, one side closed", b"", 502, then="half"),
    case("nothing, reset", b"", 502, then="reset"),
    case("nothing, and it stays", b"", 504, then="hold"),
    case("half a head", OK + b"Content-Le", 502),
    case("half a head, and it stays", OK + b"Content-Le", 504, then="hold"),
    case("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", 502),
    case("binary garbage", bytes(range(256)), 502),
    case("an endless head", OK + b"X: a", 502, then="endless"),
    case("too many headers", OK + b"X: a\r\n" * 500 + b"\r\n", 502),
    case("a large header", OK + b"X: " + b"a" * 20000 + b"\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    case("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", 502),
    case("a status beyond 599", b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", 502),
    case("a status of zero", b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", 502),
    case("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 502),
    case("HTTP/2", b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n", 502),
    case("two lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", 502),
    case("a length that is none", OK + b"Content-Length: x\r\n\r\nhi", 502),
    case("a negative length", OK + b"Content-Length: -1\r\n\r\nhi", 502),
    case("both lengths", OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("gzip, chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("identity, chunked", OK + b"Transfer-Encoding: identity, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("identity", OK + b"Transfer-Encoding: identity\r\n\r\nhi", 502),
    case("an unknown coding", OK + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("chunked twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("two codings", OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("an empty coding beside a length", OK + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
    case("the same length twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("two lengths in one", OK + b"Content-Length: 2, 2\r\n\r\nhi", 502),
    case("a length with a sign", OK + b"Content-Length: +2\r\n\r\nhi", 502),
    case("an empty length", OK + b"Content-Length:\r\n\r\nhi", 502),
    case("a length beyond 64 bits", OK + b"Content-Length: 18446744073709551618\r\n\r\nhi", 502),
    case("a chunk size beyond 64 bits", OK + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n", 502),
    case("a bare LF in an extension", OK + b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nhi\r\n0\r\n\r\n", 502),
    case("chunks in any case", OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, b"hi", then="keep"),
    case("a header with NUL", OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("a header with a lone CR", OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("a header without a colon", OK + b"X\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("a space before the colon", OK + b"X : 1\r\nContent-Length: 2\r\n\r\nhi", 502),
    case("a body that is cut", OK + b"Content-Length: 200000\r\n\r\n", CUT, pad=100000),
    case("a short body that is cut", OK + b"Content-Length: 5\r\n\r\nhi", CUT),
    case("a body that is cut on one side", OK + b"Content-Length: 5\r\n\r\nhi", CUT, then="half"),
    case("a body that is reset", OK + b"Content-Length: 5\r\n\r\nhi", CUT, then="reset"),
    case("a body that stops", OK + b"Content-Length: 5\r\n\r\nhi", CUT, then="hold"),
    case("chunks that are cut", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", CUT),
    case("chunks without an end", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", CUT),
    case("a chunk that is none", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\nhi\r\n0\r\n\r\n", 502),
    case("a chunk that is none, later", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", CUT, then="garble"),
    case("an endless body", OK + b"\r\nx", CUT, then="endless"),
    case("more than the length says", OK + b"Content-Length: 2\r\n\r\nhi" + OK + b"Content-Length: 3\r\n\r\nbad", 200, b"hi", then="keep"),
    case("a second response when it is idle", OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", then="late"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_response(gateway: Server, origin: Origin, case: Case) -> None:
    target = "/slow" if case.then in ("hold", "endless") else "/x"
    reply = exchange(gateway.address, request(target, reply=case.says, then=case.then, pad=case.pad))
    if case.code == CUT:
        assert reply.code == 200
        assert not reply.whole
    else:
        assert (reply.code, reply.whole) == (case.code, True), reply
        if case.body is not None:
            assert reply.body == case.body
        if case.code >= 500 and case.code != 503:
            assert reply.values("content-type") == ["application/problem+json"]
    if case.then == "late":
        origin.until("late")
    for _ in range(3):  # whatever came, the next ones get answers of their own
        mark = marker()
        reply = exchange(gateway.address, request(mark))
        assert (reply.code, reply.whole) == (200, True)
        assert mark.encode() in reply.body
        origin.seen(mark)


@pytest.mark.parametrize(
    "says",
    [
        OK + b"Set-Cookie: s3cret",
        OK + b"Set-Cookie: s3cret\x00\r\n\r\n",
        OK + b"Set-Cookie s3cret\r\n\r\n",
        b"s3cret\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\ns3cret\r\n",
        OK + b"Content-Length: 9\r\n\r\ns3cret",
    ],
)
def test_what_a_target_said_is_not_in_the_log(gateway: Server, says: bytes) -> None:
    with Wire(gateway.address) as wire:
        wire.send(request("/x", reply=says, then="close", pad=40000))
        wire.reply()
    assert exchange(gateway.address, request("/x")).code == 200
    assert "s3cret" not in gateway.err


def test_a_head_has_the_length_and_no_body(gateway: Server, origin: Origin) -> None:
    says = OK + b"Content-Length: 1000\r\n\r\n"
    with Wire(gateway.address) as wire:
        for _ in range(2):  # and the connection goes on
            wire.send(
                request("/x", reply=says, then="keep")
                .replace(b"GET", b"HEAD")
                .replace(b"close", b"keep-alive")
            )
            reply = wire.reply(head=True)
            assert (reply.code, reply.values("content-length"), reply.body) == (200, ["1000"], b"")


def test_headers_of_a_response(gateway: Server) -> None:
    says = (
        OK
        + b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nSET-COOKIE: c=3; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\n"
        b"Server: origin/1\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: keep-alive, X-Private, Set-Nothing\r\n"
        b"X-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\n"
        b"X-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\nX-Empty:\r\nX-Tab: a\tb\r\nContent-Length: 2\r\n\r\nhi"
    )
    reply = exchange(gateway.address, request("/x", reply=says, then="keep"))
    assert reply.body == b"hi"
    assert reply.values("set-cookie") == ["a=1; Path=/", "b=2", "c=3; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]
    assert reply.values("server") == ["origin/1"]
    assert reply.values("date") == ["Wed, 21 Oct 2015 07:28:00 GMT"]
    assert reply.values("x-latin") == ["café"]
    assert reply.values("x-utf8") == ["café".encode().decode("latin-1")]
    assert reply.values("x-empty") == [""]
    assert reply.values("x-tab") == ["a\tb"]
    for name in ("x-private", "keep-alive", "proxy-authenticate", "upgrade", "trailer", "transfer-encoding"):
        assert reply.values(name) == [], name


def test_a_client_of_http_1_0_gets_no_chunks(gateway: Server) -> None:
    chunks = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    old = request("/x", reply=chunks, then="keep").replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", 1)
    reply = exchange(gateway.address, old)
    assert (reply.code, reply.body, reply.values("content-length")) == (200, b"hi", ["2"])
    assert reply.values("transfer-encoding") == []
    large = request("/x", reply=OK + b"\r\n", then="close", pad=1_100_000)
    assert exchange(gateway.address, large).whole
    answer = exchange(gateway.address, large.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", 1))
    assert answer.code == 502
    assert b"too large" in answer.body
