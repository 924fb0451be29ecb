"""A client's connection: requests are parsed, bounded in size and time, and answered in their order.

The one rule: **what a client can make the server hold is bounded before anybody has looked at its token.**
A request that breaks a limit or the grammar is answered after those that came before it, and the connection
ends. ``uvicorn.Server`` makes the connections and asks for their end; httptools parses.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from math import inf
from typing import Any

import httptools

from framework.gateway.responses import Response, problem
from framework.gateway.wire.exchange import HIGH_WATER, Exchange, refusal
from framework.gateway.wire.head import NO_URL, Head, Unfit
from framework.gateway.wire.limits import LEAST_RATE
from framework.gateway.wire.sharing import Admission, Listening, client_of
from framework.gateway.wire.uptake import Uptake

logger = logging.getLogger("framework.gateway")

_MOST_PIPELINED = 32  # requests that wait behind the one that is answered; the connection ends after them
_LINGER = 2.0  # seconds that a client gets to read the last answer while what it sends is thrown away
_LONGEST_LINGER = 30.0  # the same for one that goes on sending the body of a request that was answered early
_DRAINED = 65536  # bytes of an unread body that are worth waiting for: more of it, and the connection ends

_WRONG = {
    httptools.HttpParserInvalidURLError: NO_URL,
    httptools.HttpParserInvalidMethodError: "this is no HTTP request, or its method is unknown",
}


class _Refused(Exception):
    """Nothing more is parsed."""


class Connection(asyncio.Protocol):
    """One connection. ``listening`` is what all connections of a server share.

    ``control`` is what the server tells of itself to who has come by its control socket; None on any other.
    """

    def __init__(
        self,
        app: Any,
        state: Any,
        listening: Listening,
        loop: asyncio.AbstractEventLoop,
        control: Mapping[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._state = state  # of uvicorn: the connections and the tasks
        self._listening = listening
        self._limits = listening.limits
        self._loop = loop
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._control = control
        self._ends: dict[str, Any] = {}
        self._parser = self._new_parser()
        self.choked: asyncio.Event | None = None  # while the client does not read: set when it does again
        self._deadline = inf
        # the request that is being read
        self._in_header = False
        self._head = Head(self._limits)
        self._unfinished = 0  # bytes of a header that is not complete yet
        self._reading: Exchange | None = None  # whose body is not complete yet
        self._body_began = 0.0
        self._body_size = 0
        self._portion = 0  # its size when the last portion of it was complete, which gave it more time
        self._paused_at: float | None = None
        # the requests that are being answered
        self._answering: Exchange | None = None
        self._pipeline: deque[Exchange] = deque()
        self._last_word: tuple[int, Response, str] | None = None  # said when those before it are answered
        self._deaf = False  # what comes is thrown away
        self._linger_end = 0.0  # until then, what comes gives the client more time to read the last answer
        self._uptake = Uptake(self._limits)
        self._client: str | None = None

    @property
    def date(self) -> bytes:
        return self._listening.date

    @property
    def stopping(self) -> bool:
        """Are requests that take too long cancelled by now?"""
        return self._listening.stopping

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # What follows a request with `Connection: close` is not parsed by us, and is no error either.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # ---- its life ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._state.connections.add(self)
        self._ends = {
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "control": self._control,
        }
        now = self._loop.time()
        self._uptake.begin(now)
        self._deadline = now + self._limits.header_timeout
        peer = self._ends["client"]
        self._client = client_of(peer[0] if peer is not None else None)
        admission = self._listening.enter(self._client)
        if admission is Admission.CUT:
            self.abort()
        elif admission is not Admission.WELCOME:
            who = "the server has" if admission is Admission.FULL else "this client has"
            self._refuse(503, f"{who} as many connections as it may have. Try again later.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._listening.left(self._client)
        self._deadline = inf
        self._deaf = True
        self.resume_writing()
        if self._answering is not None:
            self._drop(self._answering)
        self._drop_pipeline()
        self._answering = self._reading = self._parser = None

    def shutdown(self) -> None:
        """No further request: asked for by uvicorn when the server stops."""
        if self._answering is None or self._deaf:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def abort(self) -> None:
        """Cut it off at once: what is not sent yet is lost, and the client sees that."""
        self._deaf = True
        self._transport.abort()

    # ---- its time ---------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Called again and again: end what takes too long."""
        if now >= self._deadline:
            self._expired(now)
        if self._uptake.is_too_slow(self._transport.get_write_buffer_size(), now):
            self.abort()

    def _expired(self, now: float) -> None:
        self._deadline = inf
        if self._deaf:
            self._end_linger(now)
        elif self._in_header and self._paused_at is not None:  # what is missing may be here, not read by us
            self._deadline = now + self._limits.header_timeout
        elif self._in_header:
            self._refuse(408, f"the header was not complete after {self._limits.header_timeout:g} s")
        elif self._reading is not None:
            self._body_expired(self._reading, now)
        elif self._answering is None:
            self._transport.close()

    def _end_linger(self, now: float) -> None:
        if self._transport.get_write_buffer_size():  # `look` ends who does not take it
            self._deadline = now + _LINGER
        else:
            self.abort()

    def _body_expired(self, exchange: Exchange, now: float) -> None:
        if self._paused_at is not None or exchange.waits_for_continue:  # we are the slow one
            self._deadline = now + self._limits.body_timeout
        else:
            self._refuse(408, "the body came too slowly, or not at all")

    def body_is_due(self) -> None:
        """The client has time for the next portion of the body from now on, but not beyond the body's end."""
        now = self._loop.time()
        self._portion = self._body_size
        self._deadline = min(
            now + self._limits.body_timeout, self._body_began + self._limits.transfer_timeout
        )

    # ---- what comes -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._last_word is not None:
            if self._linger_end:
                self._deadline = min(self._loop.time() + _LINGER, self._linger_end)
            return
        reading, body = self._reading, self._body_size
        exact = self._in_header or reading is None
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            self._stopped(error.__context__)
        except httptools.HttpParserError as error:
            if not (self._deaf or self._last_word or self._ends_with_answer()):
                self._refuse(400, _WRONG.get(type(error), "this is no HTTP request"))
        # What the parser keeps until it is complete: a field of the header or the trailer, a chunk's extension.
        if exact if self._in_header else self._reading is not None and body == self._body_size:
            self._unfinished += len(data)
            if self._unfinished > self._limits.max_header + self._limits.max_url:
                self._refuse(431, f"the header is larger than {self._limits.max_header} bytes")
        else:
            self._unfinished = 0

    def _stopped(self, cause: BaseException | None) -> None:
        """One of our own callbacks has ended the parsing."""
        if isinstance(cause, Unfit):
            self._refuse(cause.code, cause.detail)
        elif not isinstance(cause, _Refused):
            logger.error("a request could not be read", exc_info=cause, extra={"action": "unexpected"})
            self._refuse(500, "an error inside the server; its log has it")

    def _feed(self, data: bytes) -> None:
        """Parse; an offer to upgrade is not taken up: it is read again as if it had not been made."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                parser = self._parser
                head = self._head.without_upgrade(parser.get_method(), parser.get_http_version())
                data = head + data[upgrade.args[0] :]
                self._parser = self._new_parser()

    def _ends_with_answer(self) -> bool:
        """The last request on this connection is here already; what follows it does not count."""
        last = self._pipeline[-1] if self._pipeline else self._answering
        return last is not None and last.received and not last.keep_alive

    def on_message_begin(self) -> None:
        if self._deaf or self._last_word is not None or self._ends_with_answer():
            raise _Refused
        if len(self._pipeline) >= _MOST_PIPELINED:
            self._pipeline[-1].keep_alive = False
            raise _Refused
        self._in_header = True
        self._head = Head(self._limits)
        self._unfinished = 0
        self._deadline = self._loop.time() + self._limits.header_timeout

    def on_url(self, url: bytes) -> None:
        self._head.add_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.count(name, value)
        if self._in_header:  # a trailer is dropped
            self._head.add_field(name, value)

    def on_headers_complete(self) -> None:
        head, version = self._head, self._parser.get_http_version()
        method = self._parser.get_method().decode("ascii")
        head.check(method, version)
        if self._parser.should_upgrade():
            return  # the parser ends here, and the request is read again without its offer
        id_ = head.id
        scope = head.scope(method, version, id_)
        scope.update(self._ends)
        exchange = Exchange(
            self,
            scope,
            id_,
            keep_alive=version == "1.1" and self._parser.should_keep_alive(),
            expects=version == "1.1" and head.expects_continue,
        )
        self._in_header = False
        self._reading = exchange
        self._body_size = 0
        self._body_began = self._loop.time()
        self.body_is_due()
        if self._answering is None:
            self._start(exchange)
        else:
            self._pipeline.append(exchange)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            return
        self._body_size += len(body)
        if self._body_size - self._portion >= LEAST_RATE * self._limits.body_timeout:
            self.body_is_due()
        exchange.feed(body)
        if exchange.complete:
            if self._body_size > _DRAINED:
                self._linger(longest=_LONGEST_LINGER)
        elif exchange.waiting > HIGH_WATER:
            self.pause_reading()

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is None:
            return
        self._deadline = inf
        exchange.end()
        if exchange is not self._answering and exchange.complete:
            self._deadline = self._loop.time() + self._limits.keep_alive_timeout

    def eof_received(self) -> None:
        """The client sends no more: it is gone. Nothing tells a half-closed connection from a closed one."""

    # ---- what is answered -------------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self._answering = exchange
        task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def stays(self, exchange: Exchange) -> bool:
        """May the connection be used again after this response? Not while much of the body is to come."""
        if exchange.received:
            return True
        if exchange.waits_for_continue or exchange is not self._reading:
            return False
        length = self._head.content_length
        return length is not None and length - self._body_size <= _DRAINED

    def answered(self, exchange: Exchange) -> None:
        """A response is complete; on to the next request."""
        self._state.total_requests += 1
        self._log(exchange)
        if self._transport.is_closing():
            return
        self._answering = None
        if not exchange.keep_alive:
            if exchange.received and not self._pipeline and self._last_word is None:
                self._transport.close()
            else:
                self._linger(longest=_LONGEST_LINGER)
        elif self._pipeline:
            self._start(self._pipeline.popleft())
            if not self._pipeline:
                self.resume_reading()
        elif self._last_word is not None:
            self._say(*self._last_word)
        else:
            self.resume_reading()
            if not self._in_header and self._reading is None:
                self._deadline = self._loop.time() + self._limits.keep_alive_timeout

    def _refuse(self, code: int, detail: str) -> None:
        """Answer what cannot become an exchange, once those before it are answered; then the end."""
        self._in_header = False
        response = problem(code, detail)
        if code == 503:
            response.headers["retry-after"] = "1"
        id_ = self._head.id
        broken, self._reading = self._reading, None
        if broken is None:
            if self._listening.access_log is not None:
                self._listening.access_log.refusal(code, len(response.body), id_, self._ends["client"])
        elif broken.started:
            self.abort()
            return
        else:
            id_ = broken.id
            self._break(broken, code, len(response.body))
        if self._answering is None:
            self._say(code, response, id_)
        else:
            self._last_word = (code, response, id_)

    def _break(self, exchange: Exchange, code: int, sent: int) -> None:
        """Its body will never be complete: nobody needs to work on it."""
        exchange.leave()
        exchange.status, exchange.sent = code, sent
        self._log(exchange)
        if exchange is self._answering:
            self._answering = None
        else:
            self._pipeline.remove(exchange)

    def _say(self, code: int, response: Response, id_: str) -> None:
        self.write(refusal(code, response, id_, self.date))
        self._linger()

    def _linger(self, *, longest: float = 0.0) -> None:
        """End the connection so that the client can read the last answer, whatever it still sends.

        Many clients send their whole body before they read. One that goes on gets up to ``longest`` seconds.
        """
        self._deaf = True
        self._drop_pipeline()
        if self._transport.is_closing():
            return
        self.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        now = self._loop.time()
        self._deadline = now + _LINGER
        self._linger_end = now + longest if longest else 0.0

    def _drop_pipeline(self) -> None:
        while self._pipeline:
            self._drop(self._pipeline.popleft())

    def _drop(self, exchange: Exchange) -> None:
        """Nobody waits for this answer any more."""
        if not exchange.complete:
            exchange.leave()
            self._log(exchange)

    def _log(self, exchange: Exchange) -> None:
        if self._listening.access_log is not None:
            self._listening.access_log.exchange(exchange)

    # ---- how much is on its way -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._uptake.written += len(data)
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        if self._paused_at is None and not self._transport.is_closing():
            self._paused_at = self._loop.time()
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on; the time in between is not the client's."""
        if self._paused_at is None or self._pipeline:
            return
        now = self._loop.time()
        self._body_began += now - self._paused_at
        self._paused_at = None
        if self._reading is not None:
            self.body_is_due()
        if self._in_header:
            self._deadline = now + self._limits.header_timeout
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self.choked = self.choked or asyncio.Event()

    def resume_writing(self) -> None:
        if self.choked is not None:
            self.choked.set()
            self.choked = None


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None


def protocol(app: Any, listening: Listening, control: Mapping[str, Any] | None = None) -> Any:
    """What ``uvicorn.Server`` makes a connection's protocol with; ``control`` is that of the control socket."""
    loop = asyncio.get_running_loop()

    def make(*, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        return Connection(app, server_state, listening, loop, control)

    return make
