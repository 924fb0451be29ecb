"""How a command finds the server of its database: by the socket beside it, and by what answers there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from framework import storage
from framework.errors import CannotOpen
from framework.serving import control
from framework.serving.control import Address, Server, Servers

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9099", Address("http://127.0.0.1:9099", "127.0.0.1", 9099)),
        ("http://127.0.0.1:9099/", Address("http://127.0.0.1:9099", "127.0.0.1", 9099)),
        ("http://a.example", Address("http://a.example", "a.example", 80)),
        ("HTTP://[::1]:9099", Address("http://[::1]:9099", "::1", 9099)),
    ],
)
def test_the_url_of_a_server_is_its_host_and_port(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9099",
        "https://127.0.0.1:9099",
        "http://",
        "http://:9099",
        "http://127.0.0.1:x",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:9099/v1",
        "http://127.0.0.1:9099?a=b",
        "http://[::1:9099",
    ],
)
def test_what_is_no_servers_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(CannotOpen, match="http://HOST:PORT") as refused:
        Address.parse(url)
    assert repr(url) in str(refused.value)


def test_a_server_has_the_url_that_it_listens_on() -> None:
    assert Server(1, "127.0.0.1", 9099, "s").url == "http://127.0.0.1:9099"
    assert Server(1, "::1", 9099, "s").url == "http://[::1]:9099"


@pytest.mark.parametrize(
    ("host", "url", "reached"),
    [
        ("127.0.0.1", "http://127.0.0.1:9099", True),
        ("127.0.0.1", "http://localhost:9099", True),
        ("127.0.0.1", "http://127.0.0.1:9098", False),
        ("127.0.0.1", "http://127.0.0.2:9099", False),
        ("0.0.0.0", "http://127.0.0.1:9099", True),
        ("::", "http://127.0.0.1:9099", True),
        ("0.0.0.0", "http://192.0.2.1:9099", False),  # another machine's
        ("192.0.2.1", "http://192.0.2.1:9099", True),
        ("0.0.0.0", f"http://{'a' * 64}:9099", False),  # no name that could be looked up
    ],
)
async def test_an_address_is_a_servers_if_it_reaches_it(host: str, url: str, reached: bool) -> None:
    assert await Server(1, host, 9099, "s").listens_on(Address.parse(url)) is reached


def test_a_server_tells_its_process_and_where_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert control.about(listener) == {"pid": os.getpid(), "host": "127.0.0.1", "port": port}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_a_server_may_listen_on_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert control.about(listener)["host"] == "::1"
    assert await Server(1, "::", 9099, "s").listens_on(Address.parse("http://[::1]:9099"))
    assert not await Server(1, "::", 9099, "s").listens_on(Address.parse("http://[2001:db8::1]:9099"))


# ---- servers of a database ------------------------------------------------------------------

TOLD = {"pid": 7, "host": "127.0.0.1", "port": 9099}


@asynccontextmanager
async def answering(url: str, body: bytes, status: str = "200 OK") -> AsyncIterator[list[bytes]]:
    """A process that listens on a control socket of the database, and gives this answer to everybody."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            asked.append(await reader.read(65536))
            if asked[-1]:
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()

    with control.offered(url) as listener:
        assert listener is not None
        server = await asyncio.start_unix_server(serve, sock=listener)
        try:
            yield asked
        finally:
            server.close()


async def found(url: str, address: Address | None = None) -> list[Server]:
    with closing(Servers(url)) as servers:
        return await servers.found(address)


def sockets(url: str) -> list[str]:
    with closing(storage.sockets(url)) as folder:
        return folder.names("gateway-")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/app.db"


async def test_a_server_is_found_by_its_socket_while_it_offers_one(url: str) -> None:
    assert await found(url) == []
    async with answering(url, json.dumps(TOLD).encode()) as asked:
        [name] = sockets(url)
        assert str(os.getpid()) in name
        [server] = await found(url)
        assert (server.pid, server.host, server.port) == (7, "127.0.0.1", 9099)
        assert Path(server.socket).name == name
        assert b"GET /-/server HTTP/1.1" in b"".join(asked)
    assert sockets(url) == []
    assert await found(url) == []


async def test_of_several_servers_an_address_names_one(url: str) -> None:
    other = json.dumps({**TOLD, "pid": 8, "port": 9098}).encode()
    async with answering(url, json.dumps(TOLD).encode()), answering(url, other):
        assert {server.pid for server in await found(url)} == {7, 8}
        assert [one.pid for one in await found(url, Address.parse("http://127.0.0.1:9098"))] == [8]
        assert await found(url, Address.parse("http://127.0.0.1:9097")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"7",
        *(json.dumps({**TOLD, key: None}).encode() for key in TOLD),
        *(json.dumps({**TOLD, key: [1]}).encode() for key in TOLD),
    ],
)
async def test_what_does_not_answer_as_a_server_is_none(url: str, body: bytes) -> None:
    async with answering(url, body):
        assert await found(url) == []


async def test_what_answers_with_a_failure_is_no_server(url: str) -> None:
    async with answering(url, json.dumps(TOLD).encode(), "503 Service Unavailable"):
        assert await found(url) == []
        assert len(sockets(url)) == 1  # it lives, so its socket stays


async def test_the_socket_of_a_process_that_has_died_is_removed(url: str) -> None:
    with closing(storage.sockets(url)) as folder:
        folder.make()
        folder.listen("gateway-1-dead").close()
        folder.listen("other").close()
        assert await found(url) == []
        assert folder.names("") == ["other"]


async def test_a_server_without_a_place_for_its_socket_serves_all_the_same(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with control.offered(f"sqlite:///{tmp_path}/missing/app.db") as listener:
        assert listener is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(tmp_path) in caplog.text


def test_a_child_that_a_server_leaves_behind_does_not_keep_its_socket(url: str) -> None:
    """Who connects would wait for an answer of the child. Faults of real children are tested with a server."""
    with control.offered(url) as listener:
        assert listener is not None
        number = listener.fileno()
        for _ in range(2):  # what was closed already is left alone
            control._close_in_child()
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)


async def test_a_server_that_does_not_answer_in_time_is_none(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_PATIENCE", 0.2)
    with control.offered(url) as listener:
        assert listener is not None
        assert await found(url) == []
        assert len(sockets(url)) == 1


async def test_a_server_whose_connections_are_all_waiting_holds_nobody_up(url: str) -> None:
    with closing(storage.sockets(url)) as folder, ExitStack() as opened:
        folder.make()
        listener = opened.enter_context(folder.listen("gateway-1-busy"))
        listener.listen(0)
        with suppress(BlockingIOError):
            while True:
                waiting = opened.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(folder.address("gateway-1-busy"))
        assert await found(url) == []
        assert folder.names("gateway-") == ["gateway-1-busy"]


async def test_what_is_no_socket_beside_them_is_in_no_servers_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tea.db'}"
    folder = tmp_path / "tea.db.run"
    folder.mkdir(mode=0o700)
    (folder / "gateway-1-folder" / "within").mkdir(parents=True)
    (folder / "gateway-1-file").touch()
    os.mkfifo(folder / "gateway-1-pipe")
    (folder / "gateway-1-link").symlink_to("/etc/passwd")
    with closing(Servers(url)) as servers:
        assert await servers.found() == []
    assert (folder / "gateway-1-folder" / "within").is_dir()
