"""An answer that came before its connection broke is read, over TLS too, and no descriptor is left over."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from framework.gateway.forwarding.outgoing import Outgoing, Unanswered
from framework.gateway.forwarding.pool import Pool
from framework.gateway.requests import BodyStream

pytestmark = pytest.mark.anyio

REFUSES = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def refusing(says: bytes, tls: ssl.SSLContext | None) -> Iterator[int]:
    """A server that says this to each request as soon as it has the head, and resets the connection."""

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it is out before the reset
            try:
                talking = peer if tls is None else tls.wrap_socket(peer, server_side=True)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += talking.recv(65536)
                time.sleep(0.01)  # so that more of the body is on its way
                talking.sendall(says)
                talking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                talking.close()
            except OSError:
                peer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def upload() -> Outgoing:
    """A body without an end, so that a piece of it is always being written."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x" * 65536, "more_body": True}

    body = BodyStream(receive, lambda: None, lambda: None, late=True)
    return Outgoing("POST", "/", [("host", "a")], body, None, 5.0)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool()
    yield made
    await made.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_answer_is_read_although_the_connection_is_reset(
    pool: Pool, authority: trustme.CA, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with refusing(REFUSES, context if tls else None) as port:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        for _ in range(20):
            incoming = await pool.send(upload(), url)
            assert incoming.code == 413
            assert b"".join([piece async for piece in incoming.pieces()]) == b"no"
            incoming.close()


async def test_a_connection_that_breaks_without_an_answer_is_no_answer(pool: Pool) -> None:
    with refusing(b"", None) as port:
        for _ in range(5):
            with pytest.raises(Unanswered):
                await pool.send(upload(), f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("says", [REFUSES, b""])
async def test_no_descriptor_is_left_over(pool: Pool, says: bytes) -> None:
    counts = []
    with refusing(says, None) as port:
        for _ in range(10):
            try:
                (await pool.send(upload(), f"http://127.0.0.1:{port}")).close()
            except Unanswered:
                pass
            await asyncio.sleep(0.05)
            counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= counts[0] + 1, counts
