"""Several hosts of one target: in turn, set aside when they cannot be reached, and asked again when that is safe."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from framework.gateway.forwarding import backends
from framework.gateway.forwarding.backends import Backends

from .backend import unused_port
from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Host:
    """A server that says the same to every request, and counts them; with nothing to say it closes."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.requests = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if not self.says:
                    break
                writer.write(self.says)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def hosting(
    *said: bytes, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[list[Host]]:
    hosts = [Host(says) for says in said]
    servers = [await asyncio.start_server(host.serve, "127.0.0.1", port, ssl=tls) for host in hosts]
    try:
        for host, server in zip(hosts, servers, strict=True):
            host.port = server.sockets[0].getsockname()[1]
        yield hosts
    finally:
        for server in servers:
            server.close()


def entry(*ports: int, scheme: str = "http:", host: str = "127.0.0.1", **keys: object) -> str:
    target = {"scheme": scheme, "authorities": [f"{host}:{port}" for port in ports]}
    return route("/{x}", "logger.debug('on it goes')", target=target, **keys)


async def test_hosts_are_taken_in_turn(serving: Serving) -> None:
    async with hosting(OK, OK, OK) as hosts, serving(entry(*(host.port for host in hosts))) as client:
        for _ in range(6):
            assert (await client.get("/a")).code == 200
        assert [host.requests for host in hosts] == [2, 2, 2]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_nothing_was_sent_so_the_next_host_is_asked(serving: Serving, method: str) -> None:
    async with hosting(OK) as [host], serving(entry(unused_port(), unused_port(), host.port)) as client:
        for _ in range(4):
            assert (await client.request(method, "/a", body=b"x")).code == 200
        assert host.requests == 4


@pytest.mark.parametrize(
    ("method", "code"), [("GET", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502), ("PATCH", 502)]
)
async def test_only_what_may_be_repeated_is(serving: Serving, method: str, code: int) -> None:
    """The first host takes the request and closes: who knows what it has done?"""
    async with hosting(b"", OK) as [bad, good], serving(entry(bad.port, good.port)) as client:
        assert (await client.request(method, "/a")).code == code
        assert (bad.requests > 0, good.requests) == (True, int(code == 200))
        if code == 502:
            assert bad.requests == 1


async def test_a_body_that_was_read_from_the_client_cannot_be_sent_again(serving: Serving) -> None:
    async with hosting(b"", OK) as [bad, good]:
        streamed = "- proxy: {path: /a, authorization: {auth_mode: none}}\n"
        streamed += f"  authorities: ['127.0.0.1:{bad.port}', '127.0.0.1:{good.port}']\n"
        async with serving(streamed) as client:
            assert (await client.request("PUT", "/a", body=b"x")).code == 502
            assert (await client.request("PUT", "/a", body=b"x")).code == 200
            assert (bad.requests, good.requests) == (1, 1)


@pytest.mark.parametrize("says", [b"garbage\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
async def test_an_answer_is_an_answer_and_is_not_asked_for_again(serving: Serving, says: bytes) -> None:
    async with hosting(says, OK) as [bad, good], serving(entry(bad.port, good.port)) as client:
        assert (await client.get("/a")).code in (500, 502)
        assert (bad.requests, good.requests) == (1, 0)


async def test_a_host_that_is_down_is_left_alone_for_a_while_and_then_tried_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(backends.time, "monotonic", lambda: now[0])
    known = Backends()
    both = ("http://a", "http://b")

    def first() -> str:
        backend = known.in_turn(both)[0]
        backend.begin()
        return backend.url

    down = known.in_turn(("http://a",))[0]
    down.fails()
    assert {first() for _ in range(4)} == {"http://b"}, "known to all routes"
    now[0] += backends.ASIDE_FIRST + 0.1
    assert sorted(first() for _ in range(4)) == ["http://a", "http://b", "http://b", "http://b"], "one tries"
    for _ in range(9):
        down.fails()
    assert down.aside_until - now[0] == backends.ASIDE_LAST
    down.works()
    assert sorted(first() for _ in range(4)) == ["http://a", "http://a", "http://b", "http://b"]


async def test_when_all_are_down_all_are_tried(serving: Serving) -> None:
    port = unused_port()
    async with serving(entry(port, unused_port())) as client:
        for _ in range(3):
            answer = await client.get("/a")
            assert answer.code == 502
            assert str(port).encode() not in answer.body, "where the hosts are is not for everybody"
        async with hosting(OK, port=port):
            assert (await client.get("/a")).code == 200


async def test_a_connection_that_is_not_made_in_time_is_504(
    serving: Serving, silent: Callable[[], int]
) -> None:
    async with serving(entry(silent(), connect_timeout=0.2)) as client:
        answer = await client.get("/a")
    assert answer.code == 504
    assert "reached in time" in answer.problem()["detail"]


async def test_a_name_without_an_address_is_502(serving: Serving) -> None:
    async with serving(entry(80, host="no-such-host.invalid")) as client:
        assert (await client.get("/a")).code == 502


async def test_a_connection_that_the_target_closed_while_idle_is_not_the_clients_trouble(
    serving: Serving,
) -> None:
    """Seen before it is used: also a POST gets its answer."""
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    async with hosting(closing) as [host], serving(entry(host.port)) as client:
        for method in ("POST", "GET", "POST"):
            assert (await client.request(method, "/a")).code == 200
            await asyncio.sleep(0.01)


# ---- https ----------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [openssl, *made, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return certificate, key


async def test_https_needs_a_certificate_that_holds(
    serving: Serving, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with (
        hosting(OK, tls=tls) as [host],
        serving(entry(host.port, scheme="https:", host="localhost")) as client,
    ):
        answer = await client.get("/a")
        assert answer.code == 502
        assert host.requests == 0


async def test_https_with_a_trusted_certificate(
    serving: Serving, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with hosting(OK, tls=tls) as [host]:
        named = entry(host.port, scheme="https:", host="localhost")
        async with serving(named) as client:
            assert (await client.get("/a")).code == 200
            assert host.requests == 1
        other_name = entry(host.port, scheme="https:")  # 127.0.0.1 does not stand in the certificate
        async with serving(other_name) as client:
            assert (await client.get("/a")).code == 502


# ---- itself ---------------------------------------------------------------------------------


async def test_via_tells_a_request_that_has_come_back(serving: Serving) -> None:
    seen: list[bytes] = []

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(back, "127.0.0.1", 0)
    async with server, serving(entry(server.sockets[0].getsockname()[1])) as client:
        assert (await client.get("/a")).code == 200
        via = next(line for line in seen[0].decode().splitlines() if line.startswith("via:"))
        answer = await client.get("/a", headers={"Via": via.partition(": ")[2]})
        assert answer.code == 508
        assert (await client.get("/a", headers={"Via": "1.1 framework-0123456789abcdef"})).code == 200
    assert len(seen) == 2
