"""The control socket: commands reach the very server of their database, and nobody in between learns anything.

Impostors and relays are real processes' sockets on real ports; what they are sent is looked at.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from framework.serving import control
from tests.acceptance.app import app
from tests.acceptance.conftest import Serve
from tests.acceptance.server import Result, Server, run, until

GET = ("call", "GET", "/v1/orders")


class Ear:
    """Listens on a port and remembers what it hears; with a ``target``, it passes all of it on and back."""

    def __init__(self, port: int = 0, target: tuple[str, int] | None = None) -> None:
        self.heard = b""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as opened, suppress(OSError):
            opened.enter_context(connection)
            upstream = None
            if self._target is not None:
                upstream = opened.enter_context(socket.create_connection(self._target))
                threading.Thread(target=_pump, args=(upstream, connection), daemon=True).start()
            while piece := connection.recv(65536):
                self.heard += piece
                if upstream is not None:
                    upstream.sendall(piece)
                else:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
                    )

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)


@contextmanager
def listening(port: int = 0, target: tuple[str, int] | None = None) -> Iterator[Ear]:
    ear = Ear(port, target)
    try:
        yield ear
    finally:
        ear.close()


def asked(server: Server, *arguments: object, **options: object) -> Result:
    return run(*arguments, "--database", server.database, cwd=server.folder, **options)  # type: ignore[arg-type]


def repl(server: Server, *arguments: object) -> Result:
    return asked(
        server,
        "repl",
        server.folder / "definitions",
        *arguments,
        stdin="(await callout('/v1/orders')).code\n",
        env={"XDG_STATE_HOME": str(server.folder / "state")},
    )


@pytest.fixture
def orders(serve: Serve, tmp_path: Path) -> Server:
    return serve(app(tmp_path), "--no-workers")


def sockets(server: Server) -> list[Path]:
    return list((server.folder / "orders.db.run").glob("gateway-*"))


# ---- the server of the database -------------------------------------------------------------


def test_a_command_finds_the_server_of_its_database_on_any_port_and_makes_no_token(orders: Server) -> None:
    order_id = orders.order("a")
    tokens = len(json.loads(asked(orders, "token", "list", "--format", "json").out))
    _, port = orders.address
    for where in (
        (),
        ("--url", orders.url),
        ("--url", f"http://localhost:{port}"),
        ("--url", f"{orders.url}/"),
    ):
        done = asked(orders, *GET, *where)
        assert (done.code, done.err) == (0, "200\n")
        assert [order["orderId"] for order in json.loads(done.out)] == [order_id]
    done = repl(orders)
    assert (done.code, done.out) == (0, "200\n"), done.err
    assert len(json.loads(asked(orders, "token", "list", "--format", "json").out)) == tokens


def test_the_socket_is_its_owners_alone_and_goes_with_the_server(orders: Server) -> None:
    [path] = sockets(orders)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert orders.stop() == 0
    assert sockets(orders) == []


def test_what_a_killed_server_left_is_passed_over_and_removed(orders: Server, serve: Serve) -> None:
    orders.kill()
    [left] = sockets(orders)
    done = asked(orders, *GET)
    assert done.code == 2
    assert "no server of sqlite:///orders.db runs on this machine" in done.err
    again = serve(orders.folder / "definitions", "--no-workers")
    assert asked(orders, *GET).code == 0
    assert left not in sockets(again)


def test_a_forked_child_does_not_keep_the_socket(tmp_path: Path) -> None:
    with control.offered(f"sqlite:///{tmp_path}/orders.db") as listener:
        assert listener is not None
        number = listener.fileno()
        child = os.fork()
        if child == 0:
            try:
                os.fstat(number)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert listener.fileno() == number


def test_a_server_that_hangs_is_given_up(orders: Server, serve: Serve) -> None:
    other = serve(orders.folder / "definitions", "--no-workers")
    orders.send(signal.SIGSTOP)
    try:
        assert asked(orders, *GET).code == 0  # the other one answers
    finally:
        orders.send(signal.SIGCONT)
    assert other.get("/-/ready", token=None).code == 200


def test_of_several_servers_the_one_is_called_that_the_url_names(orders: Server, serve: Serve) -> None:
    other = serve(orders.folder / "definitions", "--no-workers")
    for server in (orders, other):
        seen = server.err.count("(operator)")
        assert asked(server, *GET, "--url", server.url).code == 0
        until(lambda server=server, seen=seen: server.err.count("(operator)") == seen + 1)  # type: ignore[misc]


def test_a_call_by_the_socket_is_the_operators_and_a_token_that_is_given_counts(orders: Server) -> None:
    run("account", "add", "alice", "--role", "none", "--database", orders.database, cwd=orders.folder)
    (orders.folder / "token").write_text("wrong\n")
    (orders.folder / "token").chmod(0o600)
    (orders.folder / "good").write_text(asked(orders, "token", "--header").out)
    for given in ({"env": {"FRAMEWORK_TOKEN": "wrong"}}, {}, {"stdin": "wrong\n"}):
        file = [] if "env" in given else ["--token-file", "-" if "stdin" in given else "token"]
        done = asked(orders, *GET, *file, **given)
        assert (done.code, done.err) == (1, "401\n")
    done = asked(orders, *GET, "--token-file", "good")
    assert done.code == 0
    assert done.err == "framework: other users can read good: chmod 600 good\n200\n"
    assert asked(orders, *GET, "--token-file", "good", "--body", "-").code == 0
    for file, why in (("none", "no such file"), ("definitions", "is a directory"), ("/dev/null", "no token")):
        done = asked(orders, *GET, "--token-file", file)
        assert (done.code, why in done.err.lower()) == (2, True), done.err
    assert asked(orders, *GET, "--token-file", "-", "--body", "-").code == 2


def test_what_the_server_tells_of_itself_it_tells_by_the_socket_only(orders: Server) -> None:
    [path] = sockets(orders)
    assert orders.get("/-/server").code == 404
    assert orders.get("/-/server", token=None).code == 404
    told = json.loads(asked(orders, "call", "GET", "/-/server").out)
    assert told == {"pid": orders.process.pid, "host": "127.0.0.1", "port": orders.address[1]}
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY)
    connection.sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)
    connection.request("GET", "/v1/orders", headers={"X-Account": "root"})  # nobody says who he is
    assert connection.getresponse().status == 200
    connection.close()


# ---- who listens where it should ------------------------------------------------------------


@pytest.mark.parametrize("command", ["call", "repl"])
def test_an_impostor_on_the_servers_port_learns_nothing(orders: Server, command: str) -> None:
    port = orders.address[1]
    orders.kill()
    with listening(port) as impostor:
        ask = (
            (lambda *more: asked(orders, *GET, *more))
            if command == "call"
            else (lambda *more: repl(orders, *more))
        )
        done = ask("--url", impostor.url)
        assert done.code == 2
        assert "is not a server of sqlite:///orders.db" in done.err
        assert b"token" not in impostor.heard.lower()
        assert b"/v1/orders" not in impostor.heard
        assert b"HTTP" not in impostor.heard  # not even a question


@pytest.mark.parametrize("command", ["call", "repl"])
def test_a_relay_before_the_server_is_passed_by(orders: Server, command: str) -> None:
    with listening(target=orders.address) as relay:
        ask = (
            (lambda *more: asked(orders, *GET, *more))
            if command == "call"
            else (lambda *more: repl(orders, *more))
        )
        done = ask("--url", relay.url)
        assert done.code == 2
        assert b"HTTP" not in relay.heard
        assert ask().code == 0  # without a URL the server itself is found
        assert b"HTTP" not in relay.heard


def test_a_token_that_is_given_goes_where_the_url_says_and_only_then(orders: Server) -> None:
    token = asked(orders, "token").out.strip()
    with listening(target=orders.address) as relay:
        done = asked(orders, *GET, "--url", relay.url)
        assert "gets no token: name the database of that server with --database, or give a token" in done.err
        assert relay.heard == b""
        done = asked(orders, *GET, "--url", relay.url, env={"FRAMEWORK_TOKEN": token})
        assert (done.code, done.err) == (0, "200\n")
        assert token.encode() in relay.heard


def test_a_url_names_a_server_by_the_address_that_it_listens_on(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path), "--no-workers", "--host", "127.0.0.2", wait=False)
    until(lambda: sockets(server) and asked(server, *GET).code == 0)
    port = server.out.partition("127.0.0.2:")[2].partition(";")[0]
    assert asked(server, *GET, "--url", f"http://127.0.0.2:{port}").code == 0
    for other in (f"http://127.0.0.1:{port}", f"http://192.0.2.1:{port}", "http://127.0.0.2:1"):
        done = asked(server, *GET, "--url", other)
        assert (done.code, "is not a server of" in done.err) == (2, True), done.err


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("bound", "url", "reached"),
    [
        ("127.0.0.1", "http://localhost:9099", True),
        ("0.0.0.0", "http://127.0.0.1:9099", True),
        ("0.0.0.0", "http://127.9.9.9:9099", True),
        ("0.0.0.0", "http://192.0.2.1:9099", False),
        ("127.0.0.1", "http://127.0.0.1:9098", False),
        ("127.0.0.1", "http://127.0.0.2:9099", False),
        ("127.0.0.1", "http://no-such-host.invalid:9099", False),
    ],
)
async def test_which_addresses_lead_to_a_server(bound: str, url: str, reached: bool) -> None:
    assert await control.Server(1, bound, 9099, "/none").listens_on(control.Address.parse(url)) is reached


def test_a_folder_that_others_can_write_to_is_not_believed(orders: Server) -> None:
    folder = orders.folder / "orders.db.run"
    folder.chmod(0o777)
    done = asked(orders, *GET)
    assert done.code == 2
    assert "chmod 700" in done.err
