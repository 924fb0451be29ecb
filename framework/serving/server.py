"""The server: a runtime, its gateway on a port, and the signals that stop both.

The first signal lets requests and blocks in work end. A second one stops at once. ``framework.process.shutdown``
receives them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import cast

import uvicorn

from framework.definitions import Definitions
from framework.errors import CannotOpen, Stopping
from framework.gateway.app import Gateway
from framework.gateway.logon import DEFAULT_EXPIRY
from framework.gateway.wire.accesslog import AccessLog
from framework.gateway.wire.connection import ClientConnection, protocol
from framework.gateway.wire.limits import DEFAULTS, Limits
from framework.gateway.wire.sharing import Listening
from framework.process.shutdown import FORCED, LAST_WORD, Shutdown
from framework.serving import control
from framework.serving.runtime import Runtime, open_runtime

logger = logging.getLogger("framework.server")

_LOOK_EVERY = 5  # ticks of uvicorn, a tenth of a second each


_ByControl = tuple[socket.socket, Callable[..., asyncio.Protocol]]  # the control socket, and its protocol


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without its signal handling, because the workers must stop as well. Its clock drives the
    connections.

    uvicorn documents ``Config``, ``serve`` and ``should_exit``. Beyond that this module relies on ``startup``,
    ``on_tick``, ``shutdown``, ``capture_signals``, ``started``, ``servers`` and ``server_state``. The module
    ``framework.gateway.wire.connection`` says what its connections rely on.
    """

    def __init__(self, config: uvicorn.Config, listening: Listening, by_control: _ByControl | None) -> None:
        super().__init__(config)
        self._listening = listening
        self._by_control = by_control

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """The control socket is served like the port, and closed with it."""
        await super().startup(sockets)
        if self._by_control is not None:
            listener, make = self._by_control
            served = partial(make, config=self.config, server_state=self.server_state, app_state={})
            self.servers.append(await asyncio.get_running_loop().create_unix_server(served, sock=listener))

    async def on_tick(self, counter: int) -> bool:
        if counter % _LOOK_EVERY == 0:
            connections = cast("set[ClientConnection]", self.server_state.connections)
            self._listening.tick(connections, asyncio.get_running_loop().time())
        return self.should_exit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A shutdown does not wait for slow clients either."""
        self._listening.stopping = True
        looking = asyncio.create_task(self._look_on(), name="gateway-clock")
        try:
            await super().shutdown(sockets)
        finally:
            looking.cancel()

    async def _look_on(self) -> None:
        while True:
            await self.on_tick(0)
            await asyncio.sleep(_LOOK_EVERY / 10)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``CannotOpen``, which says what may use the address and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise CannotOpen(
            f"cannot listen on {host}:{port}: {reason.lower()}. Another server may run there; "
            "choose another address with --host and --port."
        ) from None
    except OverflowError:
        listener.close()
        raise CannotOpen(f"cannot listen on port {port}: a port is a number from 0 to 65535") from None
    listener.listen(2048)
    return listener


def stop_at_eof_of(number: int, shutdown: Shutdown) -> None:
    """Stop this process when no process holds the other end of this file any more."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(number, 4096):
                pass
        shutdown.ask("standard input has ended")

    threading.Thread(target=watch, name="framework-stop-at-eof", daemon=True).start()


async def serve(
    definitions: Definitions,
    *,
    url: str,
    listener: socket.socket | None,
    workers: bool,
    started: Callable[[Runtime], None],
    shutdown: Shutdown,
    logon_expiry: float = DEFAULT_EXPIRY,
    folder: str | None = None,
    limits: Limits = DEFAULTS,
    access_log: AccessLog | None = None,
) -> int:
    """Serve until a shutdown is requested. Return the exit code. ``listener`` is None for a process without a
    gateway."""
    opened = open_runtime(
        definitions,
        url,
        workers=workers,
        gateway=listener is not None,
        grace=shutdown.grace,
        logon_expiry=logon_expiry,
        folder=folder,
        limits=limits,
        stopping=lambda: shutdown.asked,
        address=None if listener is None else listener.getsockname()[:2],
    )
    with _watched(shutdown, listener) as stop:
        try:
            async with opened as (runtime, app), _control(url, listener) as offered:
                shutdown.holds(runtime.session.storage.give_back)
                server = _start(app, listener, Listening(limits, access_log), shutdown.grace, offered)
                if server is not None:
                    await _until_up(server)
                # Objects of the start live forever, so the garbage collector need not examine them repeatedly.
                gc.collect()
                gc.freeze()
                started(runtime)
                lost = await _until_over(stop, runtime, server, shutdown)
                return await _stop(runtime, server, shutdown) or lost
        except Stopping as error:
            logger.info("stopped: %s", error, extra={"action": "stop"})
    return 0


@contextlib.contextmanager
def _watched(shutdown: Shutdown, listener: socket.socket | None) -> Iterator[asyncio.Event]:
    """The shutdown watches this event loop, and sets the event when it is requested. The block ends the server."""
    with contextlib.ExitStack() as ending:
        stop = asyncio.Event()
        shutdown.attach(stop.set)
        ending.callback(shutdown.detach)
        ending.callback(shutdown.ending)
        keeping = asyncio.create_task(shutdown.signals.keep(), name="keep the signals")
        ending.callback(keeping.cancel)
        if listener is not None:
            ending.callback(listener.close)
            shutdown.children.listens(listener.getsockname()[1])
        yield stop


async def _until_over(
    stop: asyncio.Event, runtime: Runtime, server: _Serving | None, shutdown: Shutdown
) -> int:
    """Wait for the shutdown, the loss of the database (exit code 1), or the end of the server."""
    lost = asyncio.create_task(runtime.until_lost(), name="database lost")
    asked = asyncio.create_task(stop.wait(), name="stop")
    gateway = [] if server is None else [server.task]
    await asyncio.wait([asked, lost, *gateway], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not lost.done():
        lost.cancel()
        return 0
    logger.error("%s", lost.result(), extra={"action": "database_lost"})
    shutdown.ask("the files of the database are lost")
    return 1


async def _stop(runtime: Runtime, server: _Serving | None, shutdown: Shutdown) -> int:
    """Let requests and blocks in work end. Return the gateway's exit code."""
    code = 0
    asked = shutdown.asked
    shutdown.ask("the gateway has ended")
    runtime.ask_to_stop()
    if server is not None:
        server.uvicorn.should_exit = True
        # The workers end at the same time as the requests. What both use is closed afterwards.
        await asyncio.gather(server.ended(), runtime.stop(shutdown.grace))
        code = server.code(asked=asked)
    else:
        await runtime.stop(shutdown.grace)
    if runtime.stuck or (server is not None and server.stuck):
        # While the storage is open, items in work are given back, and nothing can work on them any more.
        shutdown.end(FORCED, "the process is ended by force: a script does not end by itself")
    return code


class _Serving:
    """uvicorn and the task it runs in."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self.uvicorn = server
        self.task = asyncio.create_task(server.serve(sockets=[listener]), name="gateway")
        self.stuck = False  # the script of a request did not end when it was cancelled

    async def ended(self) -> None:
        """Wait for the last request, including those that were cancelled at the end of the grace."""
        await asyncio.wait({self.task})
        if self.task.cancelled() or self.task.exception() is not None:
            await self.uvicorn.shutdown()  # uvicorn has left its sockets open
        cancelled = set(self.uvicorn.server_state.tasks)
        if cancelled:
            _, stuck = await asyncio.wait(cancelled, timeout=LAST_WORD)
            self.stuck = bool(stuck)

    def code(self, *, asked: bool) -> int:
        """0 if it has ended on request, otherwise 1, with a log entry."""
        error = None if self.task.cancelled() else self.task.exception()
        if error is not None:
            logger.error(
                "the gateway has ended by an error", exc_info=error, extra={"action": "gateway_error"}
            )
        elif not asked:
            logger.error("the gateway has ended unasked", extra={"action": "gateway_error"})
        return 0 if asked and error is None else 1


@contextlib.asynccontextmanager
async def _control(url: str, listener: socket.socket | None) -> AsyncIterator[socket.socket | None]:
    """The control socket of a listening server. A process without a gateway has none."""
    if listener is None:
        yield None
        return
    with control.offered(url) as offered:
        yield offered


def _start(
    app: Gateway | None,
    listener: socket.socket | None,
    listening: Listening,
    grace: float | None,
    offered: socket.socket | None,
) -> _Serving | None:
    if app is None or listener is None:
        return None
    by_control = None if offered is None else (offered, protocol(app, listening, control.about(listener)))
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,  # a target's own is passed on; the gateway adds one to answers without it
        proxy_headers=False,
        http=protocol(app, listening),
        loop="none",
        ws="none",
        timeout_graceful_shutdown=None if grace is None else max(1, math.ceil(grace)),
        backlog=2048,
    )
    return _Serving(_Uvicorn(config, listening, by_control), listener)


async def _until_up(server: _Serving) -> None:
    while not server.uvicorn.started and not server.task.done():  # noqa: ASYNC110 - uvicorn sets a plain flag
        await asyncio.sleep(0.005)
    if server.task.done():
        server.task.result()
