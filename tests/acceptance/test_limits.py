"""What a client can make the server hold is bounded: sizes, times and numbers, each broken on a real connection."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.backend import running

from .app import route
from .conftest import Serve
from .server import Server, run, until
from .wire import HOST, Wire

pytestmark = pytest.mark.timeout(90)

APP = (
    route("/small", "return 200, 'ok'")
    + route("/echo", "return 200, {'size': len(request.body), 'names': sorted(request.headers)}")
    + route("/large", "return 200, b'x' * 50_000_000")
    + route("/some", "return 200, b'x' * 5_000_000")
    + route("/slow", "await asyncio.sleep(0.5)\nreturn 200, 'slow'")
    + route("/axis", "return 200, len(request.body)", auth="axis")
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with the limits as they are by default."""
    folder = tmp_path_factory.mktemp("default")
    (folder / "app").mkdir()
    (folder / "app" / "app.yaml").write_text(APP, encoding="utf-8")
    started = Server(folder / "app", folder, "--no-workers")
    yield started.ready()
    started.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "app.yaml").write_text(APP, encoding="utf-8")
    return definitions


def limited(serve: Serve, folder: Path, **limits: object) -> Server:
    return serve(
        folder,
        "--no-workers",
        env={f"FRAMEWORK_{name.upper()}": str(value) for name, value in limits.items()},
    )


def post(path: str, *headers: bytes, body: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


# ---- sizes ----------------------------------------------------------------------------------


def test_url_header_fields_and_body_have_a_size(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, max_url=200, max_header=2000, max_header_fields=10, max_body=1000)
    at = server.address
    refused = {
        414: b"GET /" + b"a" * 201 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        431: b"GET /small HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 2000 + b"\r\n\r\n",
        413: post("/echo", b"Content-Length: 1001", body=b"x" * 1001),
    }
    for code, request in refused.items():
        with Wire(at) as wire:
            reply = wire.send(request).reply()
            assert reply.code == code
            assert reply.problem()["detail"]
            assert reply.headers["x-request-id"]
    with Wire(at) as wire:
        assert wire.get("/small", *[b"X: a"] * 10).reply().code == 431
        assert wire.ended()
    with Wire(at) as wire:
        assert wire.get("/small", *[b"X: a"] * 9).reply().code == 200
        assert wire.get("/small?" + "a" * 190).reply().code == 200
        assert wire.send(post("/echo", b"Content-Length: 1000", body=b"x" * 1000)).reply().code == 200


@pytest.mark.parametrize(
    "endless",
    [b"a" * 1000, b"X: " + b"a" * 1000 + b"\r\n", b"X:\r\n" * 100],
    ids=["one field", "many fields", "no field"],
)
def test_a_header_without_an_end_is_refused_as_it_grows(server: Server, endless: bytes) -> None:
    with Wire(server.address) as wire:
        wire.send(b"GET /small HTTP/1.1\r\n" + HOST + b"A: ")
        flood(wire, endless)
        assert wire.reply().code == 431


def flood(wire: Wire, endless: bytes) -> None:
    """Send it again and again until there is an answer; that must not need much."""
    sent = 0
    while not wire.answered():
        wire.send(endless)
        sent += len(endless)
        assert sent < 10_000_000


@pytest.mark.parametrize("endless", [b"a" * 1000, b"X: " + b"a" * 1000 + b"\r\n"])
def test_a_trailer_without_an_end_is_refused_as_it_grows(server: Server, endless: bytes) -> None:
    with Wire(server.address) as wire:
        wire.send(post("/echo", b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\nT: "))
        flood(wire, endless)
        assert wire.reply().code in (400, 431)


def test_a_chunked_body_is_counted_as_it_comes(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, max_body=1000)
    with Wire(server.address) as wire:
        wire.send(post("/echo", b"Transfer-Encoding: chunked"))
        for _ in range(11):
            wire.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        assert wire.reply().code == 413
        assert wire.ended()


def test_before_the_token_is_checked_no_body_is_read(server: Server) -> None:
    with Wire(server.address) as wire:
        reply = wire.send(post("/axis", b"Content-Length: 1000000")).reply()
        assert reply.code == 401
        assert reply.headers["connection"] == "close"
        assert wire.ended()


# ---- times ----------------------------------------------------------------------------------


def test_a_header_or_a_body_that_stalls_is_408_and_an_idle_connection_is_closed(
    serve: Serve, folder: Path
) -> None:
    server = limited(serve, folder, header_timeout=0.5, body_timeout=0.5, keep_alive_timeout=0.5)
    at = server.address
    with Wire(at) as silent, Wire(at) as header, Wire(at) as body, Wire(at) as chunked, Wire(at) as idle:
        header.send(b"GET /small HTTP/1.1\r\nHost: a")
        body.send(post("/echo", b"Content-Length: 10", body=b"12345"))
        chunked.send(post("/echo", b"Transfer-Encoding: chunked", body=b"5\r\n123"))
        assert idle.get("/small").reply().code == 200
        for wire in (header, body, chunked):
            reply = wire.reply()
            assert (reply.code, reply.problem()["status"]) == (408, 408)
            assert wire.ended()
        assert silent.ended()
        assert idle.ended()


def test_a_body_that_trickles_for_ever_is_408(serve: Serve, folder: Path) -> None:
    """Each byte comes in time, all of them together do not."""
    server = limited(serve, folder, body_timeout=0.6)
    with Wire(server.address) as wire:
        wire.send(post("/echo", b"Content-Length: 100000"))
        trickling = threading.Event()

        def trickle() -> None:
            try:
                while not trickling.wait(0.1):
                    wire.send(b"x")
            except OSError:
                pass

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert wire.reply().code == 408
        finally:
            trickling.set()
            thread.join()


@contextlib.contextmanager
def trickling(wires: list[Wire], piece: bytes, pause: float) -> Iterator[None]:
    """Each of these sends the piece again and again."""
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(pause):
            for wire in wires:
                with contextlib.suppress(OSError):
                    wire.send(piece)

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_large_first_piece_buys_no_time(serve: Serve, folder: Path) -> None:
    """At 500 bytes a second a megabyte would be worth half an hour."""
    server = limited(serve, folder, body_timeout=0.6, max_body=10_000_000)
    with Wire(server.address) as wire:
        wire.send(post("/echo", b"Content-Length: 2000000", body=b"x" * 1_000_000))
        with trickling([wire], b"x", 0.1):
            assert wire.reply().code == 408
            assert wire.ended()


def test_a_body_that_comes_steadily_is_taken_and_ends_some_time(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, body_timeout=0.6, transfer_timeout=3)
    with Wire(server.address) as steady, Wire(server.address) as endless:
        steady.send(post("/echo", b"Content-Length: 10000"))
        endless.send(post("/echo", b"Content-Length: 1000000"))
        with trickling([steady, endless], b"x" * 500, 0.1):
            assert steady.reply().code == 200
            assert endless.reply().code == 408


def test_an_answer_that_is_taken_steadily_ends_some_time(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, transfer_timeout=1.5)
    with Wire(server.address, receive=4096) as wire:
        wire.get("/large")
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := wire.read(5000):
                received += len(data)
                time.sleep(0.01)
        assert received < 50_000_000


def test_slow_bodies_do_not_fill_a_route(serve: Serve, tmp_path: Path) -> None:
    """Where a script reads the body, they do not count; where it is passed on, they end."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    script = route("/script", "return 200, 'ok'") + "  max_in_flight: 5\n"
    onward = (
        "- proxy: {path: /echo, authorization: {auth_mode: none}}\n"
        "  max_in_flight: 5\n  target: {authorities: ['%s']}\n"
    )
    with running() as backend, contextlib.ExitStack() as stack:
        (definitions / "app.yaml").write_text(script + onward % backend.url, encoding="utf-8")
        server = serve(definitions, "--no-workers", env={"FRAMEWORK_BODY_TIMEOUT": "3"})
        slow = [stack.enter_context(Wire(server.address)) for _ in range(10)]
        normal = stack.enter_context(Wire(server.address))
        for number, wire in enumerate(slow):
            wire.send(post("/script" if number < 5 else "/echo", b"Content-Length: 100000"))
        with trickling(slow, b"x", 0.2):
            until(lambda: normal.get("/echo").reply().code == 503)
            assert normal.get("/script").reply().code == 200
            assert not any(wire.answered() for wire in slow)
            for wire in slow:
                assert wire.reply().code == 408
            until(lambda: normal.get("/echo").reply().code == 200)


def test_a_client_that_does_not_read_its_answer_is_cut_off(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, write_timeout=0.7)
    with Wire(server.address, receive=4096) as wire, Wire(server.address) as other:
        wire.get("/large")
        assert other.get("/small").reply().code == 200
        until(lambda: _connections(server) <= 1, what=lambda: "the end of the connection")
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := wire.read():
                received += len(data)
        assert received < 50_000_000


def test_a_client_that_reads_slowly_but_steadily_gets_all(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, write_timeout=0.7)
    with Wire(server.address, receive=65536) as wire:
        wire.get("/large")
        received, began = 0, time.monotonic()
        while received < 50_000_000:
            received += len(wire.read(1_000_000))
            if time.monotonic() - began < 2:
                time.sleep(0.05)


def test_a_script_that_takes_its_time_is_not_hurried(serve: Serve, folder: Path) -> None:
    server = limited(
        serve, folder, header_timeout=0.1, body_timeout=0.1, keep_alive_timeout=0.1, write_timeout=0.1
    )
    with Wire(server.address) as wire:
        assert wire.get("/slow").reply().code == 200


def test_200_slow_clients_hold_nobody_up(serve: Serve, folder: Path) -> None:
    """Slow in the header, slow in the body, slow to read: a normal client is served all the time, and they end."""
    server = limited(serve, folder, header_timeout=2, body_timeout=2, write_timeout=2)
    begins = (
        b"GET /small HTTP/1.1\r\nX: ",
        post("/echo", b"Content-Length: 100000"),
        post("/echo", b"Transfer-Encoding: chunked"),
        b"",
    )
    wires = [Wire(server.address, receive=4096) for _ in range(200)]
    try:
        for number, wire in enumerate(wires):
            wire.send(begins[number % 4])
        until(lambda: _connections(server) >= 200)
        served = 0
        with Wire(server.address) as normal:

            def rest() -> bool:
                nonlocal served
                for number, wire in enumerate(wires):
                    if number % 4 < 2:
                        try:
                            wire.send(b"a")
                        except OSError:
                            pass
                assert normal.get("/small").reply().code == 200
                served += 1
                return _connections(server) <= 1

            until(rest, pause=0.01)
        assert served > 10
    finally:
        for wire in wires:
            wire.close()


def _connections(server: Server) -> int:
    """Established connections of the server's port, as the system counts them: with a file open in the process."""
    here = Path(f"/proc/{server.process.pid}/fd")
    inodes = set()
    for entry in here.iterdir():
        try:
            target = entry.readlink().name
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    port = f":{server.address[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[2][-4:] != "0000" and row[9] in inodes for row in rows)


# ---- numbers --------------------------------------------------------------------------------


def test_one_connection_too_many_is_503_and_those_that_are_there_go_on(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, max_connections=5)
    wires = [Wire(server.address) for _ in range(5)]
    try:
        for wire in wires:
            assert wire.get("/small").reply().code == 200
        with Wire(server.address) as late:
            reply = late.reply()
            assert (reply.code, reply.headers["retry-after"]) == (503, "1")
            assert late.ended()
        for wire in wires:
            assert wire.get("/small").reply().code == 200
        wires.pop().close()

        def free() -> bool:
            with Wire(server.address) as wire:
                return wire.get("/small").reply().code == 200

        until(free)
        until(lambda: "connections were refused" in server.err)
    finally:
        for wire in wires:
            wire.close()


def test_one_client_has_as_many_connections_as_it_may(serve: Serve, folder: Path) -> None:
    """The addresses of the loopback network are clients of their own."""
    server = limited(serve, folder, max_connections_per_client=3)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(3)]
        for wire in wires:
            assert wire.get("/small").reply().code == 200
        with Wire(server.address) as late:
            reply = late.reply()
            assert (reply.code, reply.headers["retry-after"]) == (503, "1")
            assert "this client" in reply.problem()["detail"]
            assert late.ended()
        with Wire(server.address, source="127.0.0.2") as other:
            assert other.get("/small").reply().code == 200
        until(lambda: "FRAMEWORK_MAX_CONNECTIONS_PER_CLIENT" in server.err)
        assert "came from 127.0.0.1" in server.err
        wires[0].close()

        def free() -> bool:
            with Wire(server.address) as wire:
                return wire.get("/small").reply().code == 200

        until(free)
        crowd = [stack.enter_context(Wire(server.address)) for _ in range(60)]
        until(lambda: _connections(server) <= 24)  # those who are told so are few as well
        with Wire(server.address, source="127.0.0.2") as other:
            assert other.get("/small").reply().code == 200
        del crowd


def test_any_number_of_connections_of_a_client(serve: Serve, folder: Path) -> None:
    server = limited(serve, folder, max_connections_per_client=0)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(300)]
        for wire in wires:
            assert wire.get("/small").reply().code == 200


def test_a_limit_that_is_no_number_stops_the_start(folder: Path, tmp_path: Path) -> None:
    for value in ("none", "0", "-1", "1.5", "nan", ""):
        done = run("serve", folder, "--port", 0, cwd=tmp_path, env={"FRAMEWORK_MAX_URL": value})
        assert done.code == 2
        assert f"FRAMEWORK_MAX_URL='{value}'" in done.err


def test_a_route_takes_as_many_requests_at_a_time_as_it_says(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    two = "context.gate.inside += 1\nawait context.gate.event.wait()\nreturn 200, 'done'"
    opened = "context.gate.event.set()\ncontext.gate.event = asyncio.Event()\ncontext.gate.inside = 0\nreturn 200, None"
    limited = (
        route("/two", two)
        + "  max_in_flight: 2\n"
        + route("/body", "return 200, 'done'")
        + "  max_in_flight: 1\n  max_body: 10\n"
        + route("/callout", "answer = await callout('/two')\nreturn answer.code, answer.body")
        + route("/open", opened)
        + route("/inside", "return 200, context.gate.inside")
    )
    (definitions / "app.yaml").write_text(limited, encoding="utf-8")
    gate = "name: gate\ncode: |\n  event = asyncio.Event()\n  inside = 0\n"
    (definitions / "gate.yaml").write_text(gate, encoding="utf-8")
    server = serve(definitions)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(5)]
        for _ in range(2):
            for wire in wires[:2]:
                wire.get("/two")
            until(lambda: wires[4].get("/inside").reply().body == b"2")
            reply = wires[2].get("/two").reply()
            assert (reply.code, reply.headers["retry-after"]) == (503, "1")
            assert "2 requests" in reply.problem()["detail"]
            assert wires[3].get("/callout").reply().code == 503
            assert wires[4].get("/open").reply().code == 200
            assert [wire.reply().code for wire in wires[:2]] == [200, 200]
        # A body that is still on its way to a script does not count.
        wires[0].send(post("/body", b"Content-Length: 5", body=b"12"))
        assert wires[1].get("/body").reply().code == 200
        wires[0].close()
        assert wires[2].send(post("/body", b"Content-Length: 11", body=b"x" * 11)).reply().code == 413
        assert wires[1].get("/body").reply().code == 200


# ---- HTTP -----------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order_whatever_they_take(
    serve: Serve, folder: Path
) -> None:
    server = limited(serve, folder)
    with Wire(server.address) as wire:
        wire.get("/slow").get("/small").send(post("/echo", b"Content-Length: 3", body=b"abc")).get("/none")
        replies = [wire.reply() for _ in range(4)]
    assert [reply.code for reply in replies] == [200, 200, 200, 404]
    assert [replies[0].body, replies[1].body] == [b"slow", b"ok"]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 4


def test_a_pipelined_header_that_was_here_in_time_is_not_late(serve: Serve, folder: Path) -> None:
    """Its rest waits in the socket, since two requests before it are not answered yet."""
    server = limited(serve, folder, header_timeout=0.2)
    with Wire(server.address) as wire:
        wire.send((b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n") * 2 + b"GET /small HTTP/1.1\r\n")
        time.sleep(0.1)
        wire.send(HOST + b"\r\n")
        assert [wire.reply().body for _ in range(3)] == [b"slow", b"slow", b"ok"]


def test_who_reads_slowly_gets_all_that_was_answered_before_the_end(server: Server) -> None:
    with Wire(server.address, receive=4096) as wire:
        wire.get("/some").send(b"\x16\x03\x01 garbage\r\n\r\n")
        time.sleep(3.5)  # longer than an ended connection is listened to
        assert len(wire.reply().body) == 5_000_000
        assert wire.reply().code == 400
        assert wire.ended()


def test_garbage_behind_a_request_is_answered_behind_it(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.get("/slow").send(b"\x16\x03\x01 garbage\r\n\r\n")
        assert wire.reply().body == b"slow"
        assert wire.reply().code == 400
        assert wire.ended()


def test_a_flood_of_pipelined_requests_is_cut_short(server: Server) -> None:
    with Wire(server.address) as wire:
        wire.send((b"GET /small HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
        replies = [wire.reply()]
        while replies[-1].headers.get("connection") != "close":
            replies.append(wire.reply())
        assert {reply.code for reply in replies} == {200}
        assert len(replies) < 1000


def test_an_upgrade_is_not_taken_up_and_no_script_sees_it(server: Server) -> None:
    for offer in (b"websocket", b"h2c"):
        with Wire(server.address) as wire:
            wire.get("/echo", b"Connection: Upgrade", b"Upgrade: " + offer).get("/small")
            reply = wire.reply()
            assert reply.code == 200
            assert b"upgrade" not in reply.body
            assert wire.reply().body == b"ok"
    with Wire(server.address) as wire:
        request = post("/echo", b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 3", body=b"abc")
        assert b'"size":3' in wire.send(request).get("/small").reply().body
        assert wire.reply().body == b"ok"


def test_an_upgrade_of_http_1_0_stays_http_1_0(server: Server) -> None:
    with Wire(server.address) as wire:
        reply = wire.send(b"GET /small HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").reply()
        assert (reply.code, reply.body, reply.headers["connection"]) == (200, b"ok", "close")


@pytest.mark.parametrize("host", [b"", b"a", b"a.example:8080", b"[::1]:80", b"a_b.example", b"10.0.0.1"])
def test_a_host_may_have_any_name(server: Server, host: bytes) -> None:
    with Wire(server.address) as wire:
        assert wire.send(b"GET /small HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").reply().code == 200


def test_a_method_that_is_unknown_is_told_so(server: Server) -> None:
    for method in (b"get", b"FETCH"):  # methods are in capital letters
        with Wire(server.address) as wire:
            reply = wire.send(method + b" /small HTTP/1.1\r\n" + HOST + b"\r\n").reply()
            assert reply.code == 400
            assert "method is unknown" in reply.problem()["detail"]


def test_a_url_that_is_not_encoded_is_told_so(server: Server) -> None:
    with Wire(server.address) as wire:
        reply = wire.send("GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n").reply()
        assert reply.code == 400
        assert "percent-encode special characters (é → %C3%A9)" in reply.problem()["detail"]


def test_trailers_are_dropped(server: Server) -> None:
    body = b"3\r\nabc\r\n0\r\nX-Auth-Token: t\r\nX-Late: 1\r\n\r\n"
    with Wire(server.address) as wire:
        reply = wire.send(post("/echo", b"Transfer-Encoding: chunked", b"Trailer: x-late", body=body)).reply()
        assert b'"size":3' in reply.body
        assert b"x-late" not in reply.body
        assert b"x-auth-token" not in reply.body
        assert wire.get("/small").reply().code == 200


def test_100_continue_comes_when_the_body_is_wanted_and_only_then(server: Server) -> None:
    expect = (b"Expect: 100-continue", b"Content-Length: 3")
    with Wire(server.address) as wire:
        wire.send(post("/echo", *expect))
        assert wire.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert wire.send(b"abc").reply().code == 200
    with Wire(server.address) as wire:
        reply = wire.send(post("/axis", *expect)).reply()
        assert (reply.code, reply.headers["connection"]) == (401, "close")
        assert wire.ended()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /small\r\n\r\n", 505),
        (b"GET /small HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a/b?c@d\r\n\r\n", 400),
        (b"GET /small HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_no_proper_request_is_refused_and_the_connection_ends(
    server: Server, request_: bytes, code: int
) -> None:
    with Wire(server.address) as wire:
        reply = wire.send(request_).reply()
        assert (reply.code, reply.problem()["status"], reply.headers["connection"]) == (code, code, "close")
        assert wire.ended()


def test_a_client_of_http_1_0_gets_an_answer_and_the_end(server: Server) -> None:
    with Wire(server.address) as wire:
        assert wire.send(b"GET /small HTTP/1.0\r\n\r\n").reply().body == b"ok"
        assert wire.ended()
    with Wire(server.address) as wire:
        wire.send(b"GET /small HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\nGET /small HTTP/1.1\r\n\r\n")
        assert wire.reply().headers["connection"] == "close"
        assert wire.ended()


def test_head_has_the_length_and_no_body(server: Server) -> None:
    with Wire(server.address) as wire:
        reply = wire.send(b"HEAD /small HTTP/1.1\r\n" + HOST + b"\r\n").reply(head=True)
        assert reply.headers["content-length"] == "2"
        assert wire.get("/small").reply().body == b"ok"
