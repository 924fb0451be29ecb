"""SIGTERM and SIGINT: what is begun may end, nothing is lost, nothing is left behind."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.gateway.backend import running

from .app import app, begun, ended, notes, route
from .conftest import Serve
from .server import Answer, Server, until

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


def assert_nothing_is_left(server: Server) -> None:
    assert server.family() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, timeout=2)
    # The address and the database are free for the next one at once.
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(server.address)
    assert "Traceback" not in server.err


@SIGNALS
def test_an_order_in_work_ends_normally_and_no_other_is_begun(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(1)")
    server = serve(definitions)
    for name in "ab":
        server.order(name)
    until(lambda: begun(tmp_path) == ["a"])
    asked = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - asked < 4
    assert (begun(tmp_path), ended(tmp_path)) == (["a"], ["a"])
    assert_nothing_is_left(server)

    server = serve(definitions)
    until(lambda: server.statuses() == ["done"] * 2)
    assert begun(tmp_path) == ["a", "b"]  # a was acknowledged: it does not come again


@SIGNALS
def test_an_idle_server_stops_at_once(serve: Serve, tmp_path: Path, number: signal.Signals) -> None:
    server = serve(app(tmp_path))
    asked = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - asked < 2
    assert_nothing_is_left(server)


def test_a_server_without_a_gateway_stops_as_well(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path), "--no-gateway")
    assert server.stop() == 0
    assert server.family() == []


def test_a_second_signal_stops_at_once_and_the_order_comes_again(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(30 if fifo.attempt == 1 and not again() else 0)")
    worker = definitions / "Dispatcher.yaml"
    again = f"  def again():\n      return os.path.exists({str(tmp_path / 'again')!r})\n\n  async def consume"
    worker.write_text(worker.read_text().replace("  async def consume", again))
    server = serve(definitions)
    server.order("a")
    until(lambda: begun(tmp_path) == ["a"])
    asked = time.monotonic()
    server.send(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None  # the first one waits for the order
    server.send(signal.SIGTERM)
    assert server.wait(3) == 130
    assert time.monotonic() - asked < 3
    assert "at once" in server.err
    assert_nothing_is_left(server)

    (tmp_path / "again").touch()
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert begun(tmp_path) == ["a", "a"]


@pytest.mark.long
@SIGNALS
def test_an_order_that_takes_too_long_is_offered_again_without_being_counted(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(12)")
    for round_number in (1, 2):
        server = serve(definitions)
        if round_number == 1:
            server.order("a")
            server.order("b")
        until(lambda round_number=round_number: begun(tmp_path) == ["a"] * round_number)
        asked = time.monotonic()
        assert server.stop(number) == 0
        assert 7.5 < time.monotonic() - asked < 12
        assert_nothing_is_left(server)
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"] * 2, 40)
    assert begun(tmp_path) == ["a", "a", "a", "b"]
    assert [note["attempt"] for note in notes(tmp_path) if note["what"] == "begin"] == [1, 1, 1, 1]


@SIGNALS
def test_requests_in_flight_are_answered_and_new_ones_are_not_taken(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    definitions = app(tmp_path)
    (definitions / "slow.yaml").write_text(
        route("/slow", "open('slow', 'a').write('x')\nawait asyncio.sleep(1)\n"
              "await FIFO('orders').length()\nreturn 200, 'late'")
    )  # fmt: skip
    server = serve(definitions)
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(server.get("/slow", token=None))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: (tmp_path / "slow").exists() and (tmp_path / "slow").read_text() == "xxx")
    server.send(number)
    time.sleep(0.3)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.get("/-/ready", token=None)
    for thread in threads:
        thread.join()
    assert [(answer.code, answer.body) for answer in answers] == [(200, b"late")] * 3
    assert server.wait(5) == 0
    assert_nothing_is_left(server)


def test_a_callout_of_a_request_in_flight_gets_its_answer(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    with running() as backend:
        script = (
            f"answers = [await callout(url='{backend.url}/slow/1') for _ in range(2)]\n"
            "return 200, [[answer.code, answer.body.decode()] for answer in answers]"
        )
        (definitions / "out.yaml").write_text(route("/out", script))
        server = serve(definitions)
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/out", token=None)))
        asking.start()
        until(lambda: backend.requests)
        server.send()
        asking.join()
        assert [(answer.code, answer.json()) for answer in answers] == [(200, [[200, "late"]] * 2)]
        assert server.wait(5) == 0
    assert "Unclosed" not in server.err
    assert_nothing_is_left(server)


def test_a_client_that_keeps_its_connection_does_not_hold_up_the_stop(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path))
    silent = socket.create_connection(server.address)
    half = socket.create_connection(server.address)
    half.sendall(b"GET /v1/orders HTTP/1.1\r\nHost: x\r\n")
    kept = http.client.HTTPConnection(*server.address)
    kept.request("GET", "/-/live")
    kept.getresponse().read()
    with silent, half:
        asked = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - asked < 4
    kept.close()
    assert_nothing_is_left(server)


def test_a_client_that_has_its_answer_and_stays_does_not_hold_up_the_stop(
    serve: Serve, tmp_path: Path
) -> None:
    """It had sent one more request, so that it gets time to read before its connection is cut."""
    definitions = app(tmp_path)
    slow = "open('begun', 'a').write('x')\nawait asyncio.sleep(0.5)\nreturn 200, 'late'"
    (definitions / "slow.yaml").write_text(route("/slow", slow))
    server = serve(definitions)
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        until(lambda: (tmp_path / "begun").exists())
        server.send()
        answers = b""
        while data := client.recv(65536):
            answers += data
        assert answers.count(b"HTTP/1.1 200") == 1
        assert answers.endswith(b"late")
        assert server.wait() == 0
    assert "exceeded" not in server.err
    assert_nothing_is_left(server)


DEAF = """
while True:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        pass
"""


@pytest.mark.long
def test_a_script_that_does_not_end_is_ended_with_the_process(serve: Serve, tmp_path: Path) -> None:
    """It swallows its cancellation; the grace and the last word go by, and the item is offered again."""
    server = serve(app(tmp_path, work=DEAF))
    server.order("a")
    until(lambda: begun(tmp_path) == ["a"])
    assert server.stop(timeout=20) == 1
    assert "does not end" in server.err
    definitions = tmp_path / "definitions"
    text = (definitions / "Dispatcher.yaml").read_text()
    (definitions / "Dispatcher.yaml").write_text(text.replace("while True:", "for _ in ():"))
    server = serve(definitions)
    until(lambda: server.statuses() == ["done"])
    assert begun(tmp_path) == ["a", "a"]
