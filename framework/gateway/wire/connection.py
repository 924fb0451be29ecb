"""A client's connection, which uvicorn makes and the event loop drives.

It connects three parts: the ``RequestReader`` for input, the ``Responder`` for output, and the ``Clock`` for the
client's time limits.

uvicorn documents ``Config`` (its ``http`` is the class, or function, that makes a connection's protocol) and
``Server``. What a connection relies on beyond that is all in this module:

- the arguments of such a function: ``config``, ``server_state``, ``app_state`` and ``_loop``;
- ``server_state.connections``: the server calls ``shutdown()`` on each of them when it stops, and waits for their end;
- ``server_state.tasks``: it waits for them too, and cancels them when the grace of the stop is over.

``framework.serving.server`` has what the server itself relies on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from framework.gateway.wire.clock import Clock
from framework.gateway.wire.exchange import Exchange
from framework.gateway.wire.reader import Phase, RequestReader
from framework.gateway.wire.responder import Responder
from framework.gateway.wire.sharing import Admission, Listening, client_of


class ServerState(Protocol):
    """What is used of uvicorn's ``server_state``."""

    connections: set[Any]
    tasks: set[asyncio.Task[None]]


class ClientConnection(asyncio.Protocol):
    """One connection. ``listening`` is what all connections of a server share.

    ``control`` is what the server tells about itself to clients of its control socket, and None for any other client.
    """

    _transport: asyncio.Transport  # this and the following exist once the connection is made
    _client: str | None
    _clock: Clock
    _responder: Responder
    _reader: RequestReader

    def __init__(
        self,
        app: Any,
        state: ServerState,
        listening: Listening,
        loop: asyncio.AbstractEventLoop,
        control: Mapping[str, Any] | None = None,
    ) -> None:
        self._state = state
        # It does not refer to the connection, so no cycle of objects is left.
        self._start = partial(_start, app, state, loop)
        self._listening = listening
        self._loop = loop
        self._control = control

    # ---- called by the event loop -----------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        limits, peer = self._listening.limits, _address(transport.get_extra_info("peername"))
        ends = {
            "server": _address(transport.get_extra_info("sockname")),
            "client": peer,
            "control": self._control,
        }
        self._transport = transport
        self._state.connections.add(self)
        self._clock = Clock(limits, self._loop.time)
        self._clock.expect_header()
        self._responder = Responder(
            transport, self._clock, listening=self._listening, client=peer, start=self._start
        )
        self._reader = RequestReader(transport, self._clock, self._responder, limits=limits, ends=ends)
        self._responder.input = self._reader
        self._client = client_of(peer[0] if peer is not None else None)
        admission = self._listening.enter(self._client)
        if admission is Admission.CUT:
            self._responder.abort()
        elif admission is not Admission.WELCOME:
            who = "the server has" if admission is Admission.FULL else "this client has"
            self._reader.refuse(503, f"{who} as many connections as it may have. Try again later.")

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def eof_received(self) -> None:
        """The client sends no more, so it counts as gone. A half-closed connection looks like a closed one."""

    def pause_writing(self) -> None:
        self._responder.pause_writing()

    def resume_writing(self) -> None:
        self._responder.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._listening.left(self._client)
        self._clock.stop()
        self._responder.close()
        self._reader.close()

    # ---- called by the server ---------------------------------------------------------------

    def tick(self, now: float) -> None:
        """End whatever takes too long. Called regularly."""
        if now >= self._clock.deadline:
            self._expired()
        self._responder.check_uptake(now)

    def _expired(self) -> None:
        self._clock.stop()
        if self._reader.discarding:
            self._responder.lingered()
        elif self._reader.phase is not Phase.IDLE:
            self._reader.expired()
        elif self._responder.idle:
            self._transport.close()

    def shutdown(self) -> None:
        """Take no further request, because the server stops."""
        self._responder.finish()


def _start(app: Any, state: ServerState, loop: asyncio.AbstractEventLoop, exchange: Exchange) -> None:
    """Let the application answer, in a task that the server knows."""
    task = loop.create_task(exchange.run(app))
    state.tasks.add(task)
    task.add_done_callback(state.tasks.discard)


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None


def protocol(app: Any, listening: Listening, control: Mapping[str, Any] | None = None) -> Any:
    """The factory with which ``uvicorn.Server`` makes the protocol of a connection. ``control`` is for the control
    socket."""
    loop = asyncio.get_running_loop()

    def make(
        *, config: Any, server_state: ServerState, app_state: Any, _loop: Any = None
    ) -> ClientConnection:
        return ClientConnection(app, server_state, listening, loop, control)

    return make
