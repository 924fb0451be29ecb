"""Bodies and headers on their way through the real server, by raw sockets."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.server import Server, until

from .conftest import Origin
from .wire import Wire, exchange, marker, request

MEGABYTE = 1024 * 1024
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"


def headers_of(seen: dict[str, object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    pairs: list[tuple[str, str]] = seen["headers"]  # type: ignore[assignment]
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def test_headers_of_a_request(gateway: Server, origin: Origin) -> None:
    sent = (
        b"GET /x HTTP/1.1\r\nHost: gateway.example:81\r\nCookie: a=1\r\nCookie: b=2\r\nAccept: a\r\nACCEPT: b\r\n"
        b"Accept-Encoding: gzip\r\nUser-Agent: me\r\nX-Empty:\r\nX-Utf8: caf\xc3\xa9\r\nX-Tab: a\tb\r\nX-Space:   a  \r\n"
        b"Via: 1.0 elsewhere\r\nContent-Type: odd\r\nX-Under_score: 1\r\n"
        b"Authorization: Basic YTpi\r\nX-Request-Id: r-1\r\n\r\n"
    )
    assert exchange(gateway.address, sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).code == 200
    seen = headers_of(origin.until("target"))
    assert seen["host"] == [f"127.0.0.1:{origin.port}"]
    assert seen["cookie"] == ["a=1", "b=2"]
    assert seen["accept"] == ["a", "b"]
    assert (seen["accept-encoding"], seen["user-agent"], seen["content-type"]) == (["gzip"], ["me"], ["odd"])
    assert seen["x-empty"] == [""]
    assert seen["x-utf8"] == ["café".encode().decode("latin-1")]
    assert (seen["x-tab"], seen["x-space"], seen["x-under_score"]) == (["a\tb"], ["a"], ["1"])
    assert seen["authorization"] == ["Basic YTpi"]
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == ["gateway.example:81"]
    assert seen["forwarded"] == ['for=127.0.0.1;proto=http;host="gateway.example:81"']
    assert seen["via"][0] == "1.0 elsewhere"
    assert re.fullmatch(r"1\.1 framework-[0-9a-f]{16}", seen["via"][1])


def test_headers_that_end_at_the_gateway(gateway: Server, origin: Origin) -> None:
    sent = (
        b"POST /x HTTP/1.1\r\nHost: gateway.example\r\nConnection: close, X-Private , x-other,Cookie,Content-Length,Host\r\n"
        b"Connection: X-Third\r\nX-Private: 1\r\nX-Other: 1\r\nX-Third: 1\r\nCookie: c\r\nContent-Length: 2\r\n"
        b"Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\nTrailer: X-T\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: x\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 1\r\n"
        b"X-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Host: evil\r\n"
        b"Content_Length: 99\r\nTransfer_Encoding: chunked\r\nX-Kept: 1\r\n\r\nhi"
    )
    assert exchange(gateway.address, sent).code == 200
    seen = origin.until("target")
    assert (seen["body"], seen["framing"]) == ("hi", "2")
    found = headers_of(seen)
    assert found.keys() == {
        "host",
        "x-kept",
        "x-request-id",
        "content-length",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
        "via",
    }
    assert found["x-forwarded-for"] == ["127.0.0.1"]
    assert found["x-forwarded-host"] == ["gateway.example"]


@pytest.mark.parametrize(
    "sent",
    [
        b"Connection: close, X-Role\r\n",
        b"Connection: close\r\nX-Role: admin\r\nX-Role: guest\r\nX_Role: admin\r\nX_ROLE: admin\r\n",
        b"Connection: close, x_role\r\nX-ROLE: guest\r\n",
    ],
)
def test_a_header_that_a_script_sets_arrives_alone(gateway: Server, origin: Origin, sent: bytes) -> None:
    assert exchange(gateway.address, b"GET /guest HTTP/1.1\r\nHost: g\r\n" + sent + b"\r\n").code == 200
    found = headers_of(origin.until("target"))
    assert {name: values for name, values in found.items() if "role" in name} == {"x-role": ["guest"]}


def test_what_back_ends_believe_comes_from_no_client(gateway: Server, origin: Origin) -> None:
    believed = (
        b"X-HTTP-Method-Override: DELETE\r\nX_Original-URL: /admin\r\nTrue-Client-IP: 6.6.6.6\r\n"
        b"Remote_User: root\r\nRemote.User: root\r\nX~Original!URL: /admin\r\nSCRIPT_NAME: /x\r\nPath-Info: /admin\r\n"
        b"X-SSL-Client-Cert: x\r\nProxy: http://evil\r\nX-Kept: 1\r\nConnection: close\r\n\r\n"
    )
    names = set()
    for path in (b"/x", b"/overridden", b"/guest"):
        sent = b"GET %s HTTP/1.1\r\nHost: g\r\n" % path + believed
        assert exchange(gateway.address, sent).code == 200
        found = headers_of(origin.until("target"))
        assert "x-kept" in found
        names |= found.keys() & {line.split(b":")[0].decode().lower() for line in believed.split(b"\r\n")}
        assert ("x-http-method-override" in found) == (path == b"/overridden")
    assert names == {"x-kept", "x-http-method-override"}


def test_a_header_that_is_not_utf_8_is_400(gateway: Server, origin: Origin) -> None:
    sent = b"GET /x HTTP/1.1\r\nHost: gateway.example\r\nX-A: caf\xe9\r\nConnection: close\r\n\r\n"
    assert exchange(gateway.address, sent).code == 400


def test_the_gateways_own_credentials_never_reach_a_target(gateway: Server, origin: Origin) -> None:
    token = gateway.token.encode()
    for header in (
        b"X-Auth-Token: " + token,
        b"Authorization: Bearer " + token,
        b"authorization: bearer " + token,
    ):
        for path in (b"/token", b"/x"):
            sent = b"GET %s HTTP/1.1\r\nHost: g\r\n%s\r\nX-Xaas-Api-Key: key\r\nConnection: close\r\n\r\n" % (
                path,
                header,
            )
            assert exchange(gateway.address, sent).code == 200
            found = headers_of(origin.until("target"))
            assert not {"x-auth-token", "x-xaas-api-key", "authorization"} & found.keys()
    assert (
        exchange(gateway.address, b"GET /token HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").code == 401
    )


def test_a_connection_carries_one_request_after_the_other(gateway: Server, origin: Origin) -> None:
    with Wire(gateway.address) as wire:
        one = b"POST /one HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\none"
        two = b"POST /two HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
        wire.send(one + two + b"GET /three HTTP/1.1\r\nHost: g\r\n\r\n")  # all at once
        bodies = [wire.reply().body for _ in range(3)]
    for name, body in zip((b"one", b"two", b"three"), bodies, strict=True):
        assert b"/" + name in body


def test_expect_is_answered_when_the_target_takes_the_body(gateway: Server, origin: Origin) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with Wire(gateway.address) as wire:
        wire.send(head)
        assert wire.reply().code == 100
        wire.send(b"hello")
        assert wire.reply().code == 200
    seen = origin.until("target")
    assert seen["body"] == "hello"
    assert "expect" not in headers_of(seen)


def test_a_target_may_answer_before_it_has_the_body(gateway: Server, origin: Origin) -> None:
    """The client gets it whole, whatever becomes of the rest of its body."""
    early = request(
        "/x", reply=b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", then="close", before="slow"
    )
    early = early.replace(b"GET", b"POST").replace(
        b"Connection: close\r\n", b"Expect: 100-continue\r\nContent-Length: 200000\r\n"
    )
    with Wire(gateway.address) as wire:
        wire.send(early)
        reply = wire.reply()
        if reply.code == 100:
            reply = wire.reply()
        assert (reply.code, reply.body, reply.whole) == (413, b"no", True)


REFUSES = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
UNAUTHORISED = b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
BODY = b"x" * 3 * MEGABYTE


@pytest.mark.parametrize("then", ["close", "reset", "half", "keep", "hold"])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_an_early_answer_reaches_every_client(
    gateway: Server, origin: Origin, then: str, expect: bytes
) -> None:
    """The target answers with the body unread, and closes, which resets the connection; or it leaves it open."""
    for path, reply in (("/x", REFUSES), ("/held", UNAUTHORISED)):
        body = BODY if path == "/x" else BODY[:1_000_000]  # a script holds it, and it is sent in one go
        if then == "hold":  # the target hears no further request on this connection
            reply = reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        head = request(path, reply=reply, then=then, before="slow").replace(b"GET", b"POST")
        head = head.replace(b"Connection: close\r\n", expect + b"Content-Length: %d\r\n" % len(body))
        for _ in range(8):
            with Wire(gateway.address) as wire:
                wire.send(head)
                wire.send(body)
                got = wire.reply()
                got = wire.reply() if got.code == 100 else got
                assert (got.code, got.body, got.whole) == (int(reply[9:12]), b"no", True)
    assert "Traceback" not in gateway.err


def test_a_client_that_sends_all_before_it_reads_gets_an_early_answer(
    gateway: Server, origin: Origin
) -> None:
    """Longer than an ended connection is listened to when nothing comes."""
    head = request("/x", reply=REFUSES, then="close", before="slow").replace(b"GET", b"POST")
    with Wire(gateway.address) as wire:
        wire.send(head.replace(b"Connection: close\r\n", b"Content-Length: 1000000000\r\n"))
        for _ in range(7):
            time.sleep(0.5)
            wire.socket.sendall(b"x" * 100_000)  # fails where the gateway has reset the connection
        got = wire.reply()
        assert (got.code, got.body, got.whole) == (413, b"no", True)


def test_a_body_is_passed_on_as_it_comes(gateway: Server, origin: Origin) -> None:
    """The target has the first piece before the client has sent the last, and the client likewise."""
    with Wire(gateway.address) as wire:
        wire.send(
            b"POST /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nX-Before: slow\r\n\r\n3\r\none\r\n"
        )
        seen = origin.until("target")
        assert seen["framing"] == "unread"
        assert wire.reply().code == 200
    first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    with Wire(gateway.address) as wire:
        wire.send(request("/x", reply=first, then="hold"))
        deadline = time.monotonic() + 5
        received = b""
        while b"one" not in received:
            assert time.monotonic() < deadline
            received += wire.socket.recv(1000)


def test_a_client_that_goes_away_ends_the_call_of_the_target(gateway: Server, origin: Origin) -> None:
    """While it waits for an answer, and in the middle of one."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    for reply in (b"", begun):
        wire = Wire(gateway.address)
        wire.send(request("/x", reply=reply, then="hold"))
        number = origin.until("target")["connection"]
        wire.socket.close()
        while origin.until("closed")["closed"] != number:
            pass
    wire = Wire(gateway.address)  # and in the middle of its own body
    wire.send(b"POST /x HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nhalf")
    time.sleep(0.3)  # so that it has gone on
    wire.socket.close()
    assert "cut off" in origin.until("malformed")["malformed"]


@pytest.mark.parametrize("then", ["close", "reset", "garble"])
def test_a_target_that_breaks_off_is_told_of_once(gateway: Server, origin: Origin, then: str) -> None:
    before = len(gateway.err)
    reply = exchange(gateway.address, request("/x", reply=BEGUN, then=then))
    assert (reply.code, reply.whole) == (200, False)
    assert exchange(gateway.address, request("/x")).code == 200  # the log is written in order
    until(lambda: "cut off" in gateway.err[before:])
    told = gateway.err[before:]
    assert told.count("cut off") == 1
    assert "without a complete response" not in told
    assert "Traceback" not in told


def test_a_client_that_goes_away_while_both_talk_is_no_error(gateway: Server, origin: Origin) -> None:
    """The target has begun its answer before the request's body is complete."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    both = request("/x", reply=begun, then="hold", before="slow").replace(b"GET", b"POST")
    wire = Wire(gateway.address)
    wire.send(both.replace(b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n") + b"3\r\none\r\n")
    wire.socket.recv(1000)
    number = origin.until("target")["connection"]
    wire.socket.close()
    while origin.until("closed")["closed"] != number:
        pass
    assert exchange(gateway.address, request("/x")).code == 200  # the log is written in order
    assert "cancelled" not in gateway.err


def test_a_response_script_does_not_say_how_long_a_body_is(gateway: Server) -> None:
    reply = exchange(
        gateway.address, request("/miscounted", reply=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    )
    assert (reply.code, reply.body, reply.whole) == (200, b"hi", True)


@pytest.mark.parametrize(
    ("framed", "whole"),
    [
        (b"Content-Length: 10\r\n\r\n0123456789", True),
        (b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", True),
        (b"Content-Length: 11\r\n\r\n0123456789a", False),
        (b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n", False),
    ],
)
def test_a_body_that_is_passed_on_has_the_size_that_its_route_allows(
    gateway: Server, origin: Origin, framed: bytes, whole: bool
) -> None:
    reply = exchange(gateway.address, b"PUT /narrow HTTP/1.1\r\nHost: g\r\n" + framed)
    assert (reply.code, reply.whole) == (200 if whole else 413, True)
    end = marker()
    assert exchange(gateway.address, request(end)).code == 200
    told = origin.seen(end)
    assert [one["body"] for one in told if "body" in one] == (["0123456789"] if whole else [])


def test_a_body_beyond_its_size_is_cut_as_it_comes(gateway: Server, origin: Origin) -> None:
    with Wire(gateway.address) as wire:
        wire.send(b"PUT /narrow HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        time.sleep(0.3)  # so that it has gone on
        wire.send(b"6\r\nsecond\r\n")
        assert wire.reply().code == 413
        assert wire.at_end()
    end = marker()
    assert exchange(gateway.address, request(end)).code == 200
    assert not [one for one in origin.seen(end) if "body" in one]


def test_a_hundred_megabytes_pass_both_ways_and_are_held_nowhere(gateway: Server, origin: Origin) -> None:
    size = 100 * MEGABYTE
    piece = b"x" * MEGABYTE
    with Wire(gateway.address, timeout=60) as wire:
        wire.send(b"PUT /x HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(100):
            wire.send(piece)
        assert wire.reply().code == 200
    assert origin.until("target")["size"] == size
    with Wire(gateway.address, timeout=60) as wire:
        says = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100_000 * 1000)
        wire.send(request("/x", reply=says, then="keep", pad=100_000 * 1000))
        time.sleep(0.3)  # a client that does not read holds up the target, not the gateway's memory
        received = 0
        while received < 100_000 * 1000:
            got = len(wire.socket.recv(MEGABYTE))
            assert got
            received += got
    assert peak(gateway) < 150 * MEGABYTE


def peak(server: Server) -> int:
    """The most memory that the process has had resident so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("then", ["close", "half", "reset", "hold", "garble", "endless"])
def test_fifty_bad_ends_leak_nothing(gateway: Server, origin: Origin, then: str) -> None:
    bad_ends(gateway, then, 50)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("then", ["close", "half", "reset", "hold", "garble", "endless"])
def test_a_thousand_bad_ends_leak_nothing(gateway: Server, origin: Origin, then: str) -> None:
    bad_ends(gateway, then, 1000)


ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nx"


def bad_ends(gateway: Server, then: str, times: int) -> None:
    """So many before the response and so many within it, and no socket is left that was not there before."""
    before = sockets(gateway)
    target = {"hold": "/slow", "endless": "/brief"}.get(then, "/x")
    for reply in (b"\n", ENDLESS if then == "endless" else BEGUN):
        crowd = 10 if then == "endless" else 50
        for _ in range(times // crowd):
            with ExitStack() as stack:
                wires = [stack.enter_context(Wire(gateway.address, timeout=30)) for _ in range(crowd)]
                for wire in wires:
                    wire.send(request(target, reply=reply, then=then))
                for wire in wires:
                    got = wire.reply()
                    assert got.code == 200 if reply != b"\n" else got.code in (502, 504)
                    assert got.whole == (reply == b"\n")
    until(lambda: sockets(gateway) <= before, what=lambda: f"{sockets(gateway)} sockets, {before} before")


def sockets(server: Server) -> int:
    found = 0
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return found
