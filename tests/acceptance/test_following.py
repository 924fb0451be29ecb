"""An order is followed by its request's id: from POST through its item and the worker's log lines to done."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .app import app, route
from .conftest import Serve
from .server import COMMAND, Server, environment, run, until
from .wire import HOST, Wire

pytestmark = pytest.mark.timeout(90)

ID = "order-4711.a:b"


def ask(server: Server, method: str, path: str, body: bytes = b"", *, id_: str | None = ID) -> dict[str, str]:
    """The headers of the answer to a request that carries an id."""
    given = b"" if id_ is None else b"X-Request-Id: " + id_.encode() + b"\r\n"
    token = b"X-Auth-Token: " + server.token.encode() + b"\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    with Wire(server.address) as wire:
        wire.send(
            method.encode() + b" " + path.encode() + b" HTTP/1.1\r\n" + HOST + given + token + length + body
        )
        return wire.reply().headers


def records(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.err.splitlines()]


def listed(server: Server, *arguments: object) -> Any:
    done = run("fifo", *arguments, "--format", "json", "--database", server.database, cwd=server.folder)
    assert done.code == 0, done.err
    return json.loads(done.out)


WORK = """
logger.info("cooking %s", order.parameters.name)
assert fifo.request_id is not None
if order.parameters.name == "bad":
    raise Reject("no such tea")
await callout(url=context.settings.KETTLE)
"""


def test_an_order_is_followed_from_post_to_done(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path, work=WORK)
    heard = "heard.yaml"
    (definitions / heard).write_text(
        route("/kettle", "logger.info('heating for %s', request.headers['x-request-id'])\nreturn 200, None"),
        "utf-8",
    )
    kettle = serve(definitions, "--no-workers", database="sqlite:///kettle.db")
    server = serve(
        definitions,
        "--log-format",
        "json",
        "--no-workers",
        env={"FRAMEWORK_SETTING_KETTLE": f"{kettle.url}/kettle"},
    )
    # POST: the answer, the access log and the item have the client's id.
    assert ask(server, "POST", "/v1/orders/", b'{"name": "green"}')["x-request-id"] == ID
    assert ask(server, "POST", "/v1/orders/", b'{"name": "bad"}', id_="second")["x-request-id"] == "second"
    assert [item["request_id"] for item in listed(server, "peek", "orders", "-n", "5")] == [ID, "second"]
    assert listed(server, "show", "orders")["head"]["request_id"] == ID
    until(lambda: len([line for line in records(server) if line.get("action") == "request"]) == 2)
    first = next(line for line in records(server) if line.get("request_id") == ID)
    assert (first["method"], first["route"], first["status"]) == ("POST", "/v1/orders/{orderId}", 202)
    assert first["account"]
    assert first["bytes"] > 0
    assert first["duration_ms"] > 0
    # The log tells that a token was made, and never which: neither the secret nor the header that carried it.
    assert server.token not in server.err
    assert "x-auth-token" not in server.err.lower()

    # Another process takes the items, by a worker: its lines, and those of the one it calls, have the id as well.
    worker = serve(
        definitions,
        "--log-format",
        "json",
        "--no-gateway",
        env={"FRAMEWORK_SETTING_KETTLE": f"{kettle.url}/kettle"},
        wait=False,
    )
    until(lambda: "done" in server.statuses() and listed(server, "dead", "list"), what=lambda: worker.err)
    lines = [line for line in records(worker) if line.get("request_id")]
    assert [
        (line["message"], line["request_id"])
        for line in lines
        if line["logger"].startswith("framework.script")
    ] == [
        ("cooking green", ID),
        ("cooking bad", "second"),
    ]
    failed = [line for line in lines if line.get("action") in ("dead_letter", "worker_error")]
    assert {line["request_id"] for line in failed} == {"second"}
    assert len(failed) == 2
    until(lambda: f"[{ID}] heating for {ID}\n" in kettle.err)

    # The dead letter keeps it, and so does what is made of it.
    [letter] = listed(server, "dead", "list")
    assert letter["request_id"] == "second"
    worker.stop()
    redriven = run("fifo", "dead", "redrive", letter["id"], "--database", server.database, cwd=server.folder)
    assert redriven.code == 0, redriven.err
    assert [item["request_id"] for item in listed(server, "peek", "orders")] == ["second"]


@pytest.mark.parametrize(
    "bad", ["", "a b", "a" * 129, "a\tb", "é", 'a"b', "a[b", "<x>", "a;b"], ids=lambda value: repr(value[:5])
)
def test_an_id_that_could_mislead_a_reader_is_replaced(order_app: Server, bad: str) -> None:
    answered = ask(order_app, "GET", "/v1/orders", id_=bad)["x-request-id"]
    assert answered != bad
    assert re.fullmatch(r"[0-9a-f]{16}", answered)


def test_each_answer_has_an_id_of_its_own(order_app: Server) -> None:
    paths = ["/v1/orders", "/v1/orders/none", "/nothing", "/-/live", "/%ff"]
    ids = {ask(order_app, "GET", path, id_=None)["x-request-id"] for path in paths}
    assert len(ids) == len(paths)
    with Wire(order_app.address) as wire:
        assert wire.send(b"GET / HTTP/1.1\r\nX-Request-Id: a\r\n\r\n").reply().headers["x-request-id"] == "a"


@pytest.fixture(scope="module")
def order_app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("orders")
    server = Server(Path(__file__).parents[2] / "definitions", folder)
    yield server.ready()
    server.close()


# ---- the access log -------------------------------------------------------------------------


def test_the_access_log_as_text_has_a_line_a_request_and_no_path_that_nobody_defined(
    serve: Serve, tmp_path: Path
) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "a.yaml").write_text(route("/tea/{kind}", "return 200, 'tea'"), encoding="utf-8")
    server = serve(definitions)
    ask(server, "GET", "/tea/secret-green?key=secret-key", id_="one")
    ask(server, "GET", "/secret-path", id_="two")
    ask(server, "GET", "/-/live", id_="three")
    with Wire(server.address) as wire:
        wire.send(b"secret garbage\r\n\r\n").reply()
    until(lambda: " - - 400 " in server.err)
    lines = [line for line in server.err.splitlines() if " bytes in " in line]
    time_, rest = lines[0].split(" ", 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time_)
    assert re.fullmatch(r"INFO    \[one\] GET /tea/\{kind\} 200 3 bytes in [\d.]+ ms.*", rest)
    assert "[two] GET - 404 " in lines[1]
    assert len(lines) == 3
    assert "secret" not in server.err


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_access_log_has_the_address_of_each_connection_also_of_what_is_no_request(
    serve: Serve, tmp_path: Path, log_format: str
) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "a.yaml").write_text(route("/who", "return 200, request.client"), encoding="utf-8")
    server = serve(definitions, "--log-format", log_format)
    forged = b"GET /who HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n\r\n"
    with Wire(server.address) as wire:
        assert wire.send(forged).reply().body == b"127.0.0.1"
    with Wire(server.address) as wire:
        assert wire.send(b"nonsense\r\n\r\n").reply().code == 400
    mark = " bytes in " if log_format == "text" else '"bytes": '
    until(lambda: server.err.count(mark) == 2)
    lines = [line for line in server.err.splitlines() if mark in line]
    wanted = " from 127.0.0.1" if log_format == "text" else '"client": "127.0.0.1", '
    assert [wanted in line for line in lines] == [True, True], lines


def test_without_an_access_log_errors_are_logged_with_the_id(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "a.yaml").write_text(route("/bad", "return 1 / 0"), encoding="utf-8")
    server = serve(definitions, "--no-access-log")
    ask(server, "GET", "/bad", id_="one")
    until(lambda: "ZeroDivisionError" in server.err)
    assert "ERROR   [one] error " in server.err
    assert " bytes in " not in server.err


def test_a_client_that_goes_away_is_in_the_log(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "a.yaml").write_text(route("/slow", "await asyncio.sleep(1)\nreturn 1"), encoding="utf-8")
    server = serve(definitions)
    with Wire(server.address) as wire:
        wire.get("/slow", b"X-Request-Id: gone")
        time.sleep(0.2)
    until(lambda: "[gone] GET /slow 499 " in server.err)


def test_what_a_client_sends_forges_no_line_of_the_log(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    script = "logger.warning('got %s', request.body.decode())\nraise RuntimeError(request.body.decode())"
    (definitions / "a.yaml").write_text(route("/log", script), encoding="utf-8")
    server = serve(definitions)
    forged = '"x\\n' + "\n12:00:00 ERROR   forged\r12:00:00 ERROR   forged\x1b[2K\u2028\x85".encode().decode()
    server.post("/log", ('"' + forged + '"').encode())
    until(lambda: "Traceback" in server.err)
    text = server._err.read_bytes().decode()
    assert "forged" in text
    for line in re.split(r"[\n\r\x85\u2028]", text):
        assert not line.startswith("12:00:00")
    assert "\x1b" not in text


# ---- a log that nobody reads ----------------------------------------------------------------


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_who_does_not_read_the_log_or_the_output_holds_up_nobody(tmp_path: Path, stream: str) -> None:
    """The pipe is full after 64 KB; the server goes on, and tells how much is missing when it is read again."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    script = (
        "logger.info('l' * 2000)\nprint('p' * 2000)\nprint('e' * 2000, file=sys.stderr)\nreturn 200, None"
    )
    (definitions / "a.yaml").write_text(route("/log", "import sys\n" + script), encoding="utf-8")
    port = _free_port()
    arguments = [
        "serve",
        "definitions",
        "--port",
        port,
        "--log-format",
        "json",
        "--database",
        "sqlite:///a.db",
    ]
    pipes = {name: subprocess.PIPE if name == stream else subprocess.DEVNULL for name in ("stdout", "stderr")}
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=tmp_path, env=environment(), **pipes)  # type: ignore[call-overload]
    try:
        until(lambda: _answers(port))
        with Wire(("127.0.0.1", port)) as wire:
            for _ in range(300):
                assert wire.get("/log").reply().code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_at_a_stop_the_log_is_whole(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    script = "for n in range(2000):\n    logger.info('line %d', n)\nprint('printed')\nreturn 200, None"
    (definitions / "a.yaml").write_text(route("/log", script), encoding="utf-8")
    server = serve(definitions, "--log-format", "json")
    ask(server, "GET", "/log", id_="last")
    assert server.stop() == 0
    lines = records(server)
    assert [line["message"] for line in lines if line["message"].startswith("line ")] == [
        f"line {n}" for n in range(2000)
    ]
    assert [line["status"] for line in lines if line.get("action") == "request"] == [200]
    assert "printed\n" in server.out


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with Wire(("127.0.0.1", port)) as wire:
            return wire.get("/-/ready").reply().code == 200
    except OSError:
        return False
