"""Interim responses of back ends and of servers that scripts call, sent by a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from framework.client.interim import MOST_INTERIM
from framework.gateway.forwarding.outgoing import Outgoing, TargetFailed
from framework.gateway.forwarding.pool import Pool
from framework.script.callout import Callout

pytestmark = pytest.mark.anyio

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


class Origin:
    """Says ``says`` to each request; ``lost`` is set when a client has given its connection up."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.lost = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.connections += 1
                with peer, suppress(OSError):
                    while peer.recv(65536):
                        peer.sendall(self._says)
                self.lost.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def saying(says: bytes) -> Iterator[Origin]:
    origin = Origin(says)
    try:
        yield origin
    finally:
        origin.close()


def outgoing() -> Outgoing:
    return Outgoing("GET", "/", [("host", "a")], None, 0, 5.0)


async def test_a_target_that_floods_with_interim_responses_is_given_up() -> None:
    pool = Pool()
    with saying(INTERIM * (MOST_INTERIM + 1) + FINAL) as origin:
        with pytest.raises(TargetFailed, match="over 100 interim responses"):
            await pool.send(outgoing(), origin.url)
        assert await asyncio.to_thread(origin.lost.wait, 10)
    await pool.close()


async def test_interim_responses_of_a_target_are_read_over_before_each_answer() -> None:
    pool = Pool()
    with saying(INTERIM * MOST_INTERIM + FINAL) as origin:
        for _ in range(3):  # on one connection: they count for one answer only
            incoming = await pool.send(outgoing(), origin.url)
            assert (incoming.code, incoming.whole) == (200, b"ok")
            incoming.close()
        assert origin.connections == 1
    await pool.close()


async def test_a_server_that_floods_a_script_with_interim_responses_is_given_up() -> None:
    callout = Callout()
    with saying(INTERIM * (MOST_INTERIM + 1) + FINAL) as origin:
        answer = await callout(url=origin.url)
        assert (answer.code, answer.body) == (599, b"the answer is not HTTP: over 100 interim responses")
        assert await asyncio.to_thread(origin.lost.wait, 10)
    await callout.close()


async def test_interim_responses_to_a_script_are_read_over() -> None:
    callout = Callout()
    with saying(INTERIM * MOST_INTERIM + FINAL) as origin:
        for _ in range(3):
            answer = await callout(url=origin.url)
            assert (answer.code, answer.body) == (200, b"ok")
        assert origin.connections == 1
    await callout.close()


async def test_the_reason_for_no_answer_quotes_neither_the_answer_nor_the_url() -> None:
    callout = Callout()
    with saying(b"HTTP/1.1 204 No Content\r\n\r\nsecret of the server\r\n\r\n") as origin:
        for _ in range(2):
            answer = await callout(url=origin.url + "/?key=secret")
            assert b"secret" not in answer.body
    with saying(b"secret of the server\r\n\r\n") as origin:
        answer = await callout(url=origin.url + "/?key=secret")
    assert answer.code == 599
    assert answer.body.startswith(b"the answer is not HTTP: ")
    assert b"secret" not in answer.body
    await callout.close()
