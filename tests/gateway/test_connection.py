"""A client's connection and its three parts: what they hold together, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from framework.gateway.wire.connection import ClientConnection, protocol
from framework.gateway.wire.limits import DEFAULTS
from framework.gateway.wire.sharing import Listening

pytestmark = pytest.mark.anyio


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HT", b"nonsense\r\n\r\n"]
)
async def test_a_connection_that_is_closed_leaves_no_cycle_of_objects_behind(sent: bytes) -> None:
    state = SimpleNamespace(connections=set(), tasks=set())
    make = protocol(answer, Listening(DEFAULTS))
    made: list[weakref.ref[Any]] = []

    def connection() -> ClientConnection:
        one: ClientConnection = make(config=None, server_state=state, app_state={})
        made.append(weakref.ref(one))
        return one

    loop = asyncio.get_running_loop()
    gc.disable()
    try:
        async with await loop.create_server(connection, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            if sent.startswith(b"GET / HTTP"):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
            elif sent.startswith(b"nonsense"):
                assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            else:
                async with asyncio.timeout(10):
                    while not made:
                        await asyncio.sleep(0.005)
            parts = [weakref.ref(part) for part in vars(made[0]()).values() if _is_part(part)]
            assert len(parts) == 2, "the reader and the responder"
            writer.close()
            async with asyncio.timeout(10):
                while state.connections or any(one() is not None for one in [*made, *parts]):
                    await asyncio.sleep(0.005)
    finally:
        gc.enable()


def _is_part(value: Any) -> bool:
    return type(value).__module__ in ("framework.gateway.wire.reader", "framework.gateway.wire.responder")
