"""What the gateway makes of a request, byte for byte: a table of shapes, each with its answer and what arrives.

The promise behind all of them: **whatever passes reaches the back end as exactly one request that can be read in
one way only**. ``None`` in ``arrives`` means that the back end saw nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.server import Server

from .conftest import Origin
from .wire import exchange, marker, request

H = b"Host: gateway.example\r\n"


@dataclass(frozen=True)
class Case:
    """A request as it goes over the wire, the status that answers it, and what the back end sees of it."""

    name: str
    sent: bytes
    code: int  # 0: the connection is closed without an answer
    arrives: tuple[str, str, str] | None = None  # method, target, body
    framing: str | None = None  # of what arrives: its length, "chunked", or "" for none


def case(name: str, sent: bytes, code: int, *arrives: str, framing: str | None = None) -> Case:
    return Case(name, sent, code, (*arrives, "", "", "")[:3] if arrives else None, framing)  # type: ignore[arg-type]


def get(target: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (target, H)


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\n%s%s\r\n%s" % (H, headers, body)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: gateway.example\r\n\r\n"

FRAMING = [
    case("a body with its length", post(b"Content-Length: 5\r\n", b"hello"), 200, "POST", "/x", "hello", framing="5"),
    case("a body in chunks", post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 200, "POST", "/x", "hello!", framing="chunked"),
    case("chunks in any case", post(b"Transfer-Encoding: ChUnKeD\r\n", b"5\r\nhello\r\n0\r\n\r\n"), 200, "POST", "/x", "hello", framing="chunked"),
    case("a chunk with an extension", post(b"Transfer-Encoding: chunked\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n"), 200, "POST", "/x", "hello", framing="chunked"),
    case("chunks with a trailer", post(b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"), 200, "POST", "/x", "hello", framing="chunked"),
    case("no body, no length", post(b""), 200, "POST", "/x", "", framing="0"),
    case("a length of nothing", post(b"Content-Length: 0\r\n"), 200, "POST", "/x", "", framing="0"),
    case("a GET with a body", b"GET /x HTTP/1.1\r\n" + H + b"Content-Length: 2\r\n\r\nhi", 200, "GET", "/x", "hi", framing="2"),
    case("a DELETE with chunks", b"DELETE /x HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "DELETE", "/x", "hi", framing="chunked"),
    case("a length with leading zeros", post(b"Content-Length: 005\r\n", b"hello"), 200, "POST", "/x", "hello", framing="5"),
    case("chunks with blanks around", post(b"Transfer-Encoding:   chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"), 200, "POST", "/x", "hello", framing="chunked"),
    case("a length in HTTP/1.0", b"POST /x HTTP/1.0\r\n" + H + b"Content-Length: 5\r\n\r\nhello", 200, "POST", "/x", "hello", framing="5"),
    case("more than the length says", post(b"Content-Length: 0\r\nConnection: close\r\n", SMUGGLED), 200, "POST", "/x", "", framing="0"),
]  # fmt: skip

SMUGGLING = [
    case("both lengths", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    case("both lengths, the other way round", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    case("the same length twice", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400),
    case("two lengths", post(b"Content-Length: 0\r\nContent-Length: 50\r\n", SMUGGLED), 400),
    case("two lengths in one", post(b"Content-Length: 5, 5\r\n", b"hello"), 400),
    case("a negative length", post(b"Content-Length: -1\r\n", b"hello"), 400),
    case("a length with a sign", post(b"Content-Length: +5\r\n", b"hello"), 400),
    case("a hexadecimal length", post(b"Content-Length: 0x5\r\n", b"hello"), 400),
    case("a length with a point", post(b"Content-Length: 5.0\r\n", b"hello"), 400),
    case("an empty length", post(b"Content-Length:\r\n", b"hello"), 400),
    case("a length with a space inside", post(b"Content-Length: 1 0\r\n", b"hellohello"), 400),
    case("a length beyond 64 bits", post(b"Content-Length: 18446744073709551617\r\n", b"h"), 400),
    case("xchunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    case("chunked twice", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    case("chunked, then identity", post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), 400),
    case("identity", post(b"Transfer-Encoding: identity\r\n", b"hello"), 400),
    case("two transfer codings", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"), 400),
    case("identity before chunked", post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    case("gzip before chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    case("gzip", post(b"Transfer-Encoding: gzip\r\n", b"hello"), 400),
    case("chunked on two lines", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    case("identity on a line of its own", post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    case("an empty list before chunked", post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"), 400),
    case("chunked with a parameter", post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"), 400),
    case("chunked with a control character", post(b"Transfer-Encoding: chunked\x0b\r\n", b"0\r\n\r\n"), 400),
    case("chunked with a letter that is not ASCII", post("Transfer-Encoding: chunKed\r\n".replace("K", "\u212a").encode(), b"0\r\n\r\n"), 400),
    case("an empty coding", post(b"Transfer-Encoding:\r\n", b"hello"), 400),
    case("an empty coding beside a length", post(b"Transfer-Encoding:\r\nContent-Length: 5\r\n", b"hello"), 400),
    case("a length before an empty coding", post(b"Content-Length: 5\r\nTransfer-Encoding: \r\n", b"hello"), 400),
    case("chunks in HTTP/1.0", b"POST /x HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
    case("both lengths in HTTP/1.0", b"POST /x HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    case("a length of 19 digits", post(b"Content-Length: 1000000000000000000\r\n", b"h"), 400),
    case("a length in Arabic digits", post("Content-Length: \u0665\r\n".encode(), b"hello"), 400),
    case("an underlined length", post(b"Content-Length: 1_0\r\n", b"hellohello"), 400),
    case("a bare CR after a header", b"POST /x HTTP/1.1\r\n" + H + b"X-A: 1\rContent-Length: 5\r\n\r\nhello", 400),
    case("a NUL in a name", post(b"Content-Length\x00: 5\r\n", b"hello"), 400),
    case("a chunk of no size", post(b"Transfer-Encoding: chunked\r\n", b"\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk size with a plus", post(b"Transfer-Encoding: chunked\r\n", b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk size with a line", post(b"Transfer-Encoding: chunked\r\n", b"1_0\r\nhello\r\n0\r\n\r\n"), 400),
    case("a bare LF in an extension", post(b"Transfer-Encoding: chunked\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400),
    case("a bare CR in an extension", post(b"Transfer-Encoding: chunked\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk without its line end", post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello0\r\n\r\n"), 400),
    case("a chunk ended by bare LF", post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\n0\r\n\r\n"), 400),
    case("chunks ended by bare LF", post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\n\n" + SMUGGLED), 400),
    case("a folded trailer", post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX-T: 1\r\n 2\r\n\r\n"), 400),
    case("a coding in quotes", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400),
    case("a vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    case("a space before the colon", post(b"Content-Length : 5\r\n", b"hello"), 400),
    case("a space before the colon of a coding", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    case("a space before a name", post(b" Content-Length: 5\r\n", b"hello"), 400),
    case("a folded coding", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
    case("a folded header", post(b"X-A: 1\r\n 2\r\nContent-Length: 0\r\n"), 400),
    case("a header with NUL", post(b"X-A: a\x00b\r\nContent-Length: 0\r\n"), 400),
    case("a header with a lone CR", post(b"X-A: a\rContent-Length: 5\r\nContent-Length: 0\r\n"), 400),
    case("a header with another control character", post(b"X-A: a\x01b\r\nContent-Length: 0\r\n"), 400),
    case("a header without a colon", post(b"X-A\r\nContent-Length: 0\r\n"), 400),
    case("a header without a name", post(b": x\r\nContent-Length: 0\r\n"), 400),
    case("a name that is no token", post(b"X(A): 1\r\nContent-Length: 0\r\n"), 400),
    case("bare LF after a header", b"POST /x HTTP/1.1\r\n" + H + b"X-A: 1\nContent-Length: 0\r\n\r\n", 400),
    case("bare LF at the end of the head", b"POST /x HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\n", 400),
    case("bare LF after the request line", b"POST /x HTTP/1.1\n" + H + b"Content-Length: 0\r\n\r\n", 400),
    case("a chunk size that is none", post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk size with 0x", post(b"Transfer-Encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    case("a negative chunk size", post(b"Transfer-Encoding: chunked\r\n", b"-5\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk size beyond 64 bits", post(b"Transfer-Encoding: chunked\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk that is longer than it says", post(b"Transfer-Encoding: chunked\r\n", b"3\r\nhello\r\n0\r\n\r\n"), 400),
    case("a chunk size ended by bare LF", post(b"Transfer-Encoding: chunked\r\n", b"5\nhello\r\n0\r\n\r\n"), 400),
    case("a space after a chunk size", post(b"Transfer-Encoding: chunked\r\n", b"5 \r\nhello\r\n0\r\n\r\n"), 400),
]  # fmt: skip

LINES = [
    case("HTTP/1.2", b"GET /x HTTP/1.2\r\n" + H + b"\r\n", 400),
    case("HTTP/0.9", b"GET /x\r\n\r\n", 505),
    case("HTTP/2.0", b"GET /x HTTP/2.0\r\n" + H + b"\r\n", 505),
    case("HTTP/1.0", b"GET /x HTTP/1.0\r\n" + H + b"\r\n", 200, "GET", "/x"),
    case("an unknown method", b"BREW /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    case("a method in lower case", b"get /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    case("TRACE", b"TRACE /x HTTP/1.1\r\n" + H + b"\r\n", 405),
    case("CONNECT", b"CONNECT gateway.example:80 HTTP/1.1\r\n" + H + b"\r\n", 400),
    case("HEAD", b"HEAD /x HTTP/1.1\r\n" + H + b"\r\n", 200, "HEAD", "/x"),
    case("OPTIONS", b"OPTIONS /x HTTP/1.1\r\n" + H + b"\r\n", 200, "OPTIONS", "/x"),
    case("PATCH", b"PATCH /x HTTP/1.1\r\n" + H + b"Content-Length: 1\r\n\r\n!", 200, "PATCH", "/x", "!"),
    case("the asterisk", b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", 400),
    case("an absolute target", get(b"http://elsewhere.example/x?a=1"), 200, "GET", "/x?a=1"),
    case("two spaces in the request line", b"GET  /x HTTP/1.1\r\n" + H + b"\r\n", 200, "GET", "/x"),
    case("a tab in the request line", b"GET\t/x HTTP/1.1\r\n" + H + b"\r\n", 400),
    case("more after the version", b"GET /x HTTP/1.1 x\r\n" + H + b"\r\n", 400),
]  # fmt: skip

PATHS = [
    case("an encoded letter stays encoded", get(b"/%78"), 200, "GET", "/%78"),
    case("hexadecimal digits in small letters", get(b"/a%c3%a9"), 200, "GET", "/a%c3%a9"),
    case("what need not be encoded", get(b"/a!$&'()*+,;=:@~-._"), 200, "GET", "/a!$&'()*+,;=:@~-._"),
    case("an encoded per cent", get(b"/%25"), 200, "GET", "/%25"),
    case("a slash at the end", get(b"/x/"), 200, "GET", "/x/"),
    case("two slashes at the end", get(b"/x//"), 404),
    case("an empty segment", get(b"/x//y"), 404),
    case("two slashes at the beginning", get(b"//x"), 404),
    case("an encoded slash", get(b"/a%2Fb"), 400),
    case("an encoded slash in small letters", get(b"/a%2fb"), 400),
    case("an encoded backslash", get(b"/a%5Cb"), 400),
    case("a backslash", get(b"/a\\b"), 400),
    case("a dot segment", get(b"/./x"), 400),
    case("a double dot segment", get(b"/../x"), 400),
    case("encoded dots", get(b"/%2e%2E/x"), 400),
    case("dots before a semicolon", get(b"/..;/x/y"), 400),
    case("encoded dots before a semicolon", get(b"/%2e%2e;a=b/x/y"), 400),
    case("an encoded semicolon after dots", get(b"/..%3Bx/x/y"), 400),
    case("three dots are a name", get(b"/..."), 200, "GET", "/..."),
    case("a parameter of a segment", get(b"/x;v=1"), 200, "GET", "/x;v=1"),
    case("not UTF-8", get(b"/%FF"), 400),
    case("an encoding that is none", get(b"/%zz"), 200, "GET", "/%zz"),
    case("bytes that are not encoded", get(b"/\xc3\xa9"), 400),
    case("an encoded NUL", get(b"/%00"), 400),
    case("an encoded line end", get(b"/%0d%0aX:1"), 400),
    case("a variable in its encoded form", get(b"/renamed/a%20b%C3%A9"), 200, "GET", "/new/a%20b%C3%A9"),
    case("an empty variable", get(b"/renamed"), 200, "GET", "/new"),
    case("an empty variable with its slash", get(b"/renamed/"), 200, "GET", "/new/"),
    case("a variable with a slash", get(b"/renamed/7/"), 200, "GET", "/new/7/"),
    case("a query as it came", get(b"/x?a=%FF&&b==%zz&c=a+b%20c&d=/../?"), 200, "GET", "/x?a=%FF&&b==%zz&c=a+b%20c&d=/../?"),
    case("odd characters of a query", get(b"/x?a=[1]|{2}\"'<>^`"), 200, "GET", "/x?a=[1]|{2}\"'<>^`"),
    case("a fragment is not sent", get(b"/x?a=1#b"), 200, "GET", "/x?a=1"),
    case("a query without a name", get(b"/x?="), 200, "GET", "/x?="),
    case("a query that is not encoded", get(b"/x?a=\xc3\xa9"), 400),
    case("a query that a script reads and that is not UTF-8", get(b"/held?a=%FF"), 400),
]  # fmt: skip

EVERY = [*FRAMING, *SMUGGLING, *LINES, *PATHS]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_a_request(gateway: Server, origin: Origin, case: Case) -> None:
    reply = exchange(gateway.address, case.sent)
    seen = until_marker(gateway, origin)
    assert reply.code == case.code, (reply, seen)
    if case.code:
        assert reply.whole
    if case.arrives is None:
        assert seen == []
    else:
        [only] = seen
        assert (only["method"], only["target"], only["body"]) == case.arrives
        if case.framing is not None:
            assert only["framing"] == case.framing


def until_marker(gateway: Server, origin: Origin) -> list[dict[str, Any]]:
    """What arrived before another request that goes the same way, perhaps on the same connection."""
    mark = marker()
    assert exchange(gateway.address, request(mark)).code == 200
    return origin.seen(mark)
