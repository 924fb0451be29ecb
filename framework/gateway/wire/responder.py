"""The output to a client: answers in the order of the requests, and the end of the connection after the last one.

The one rule: **a refused request is answered after the earlier ones**, and then the connection ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from framework.gateway.responses import Response, problem
from framework.gateway.wire.clock import Clock
from framework.gateway.wire.exchange import Exchange, refusal
from framework.gateway.wire.sharing import Listening
from framework.gateway.wire.uptake import Uptake

_MOST_PIPELINED = 32  # requests that wait behind the one that is answered; the connection ends after them


class Input(Protocol):
    """What the responder needs of the side that reads."""

    def discard(self) -> None:
        """Discard all input from now on."""

    def release(self) -> None:
        """No request waits for the answers to earlier ones any more: read on."""

    def expect_next(self) -> None:
        """Everything is answered: read on, and wait for the next request if none has begun."""


class Responder:
    """Answers the requests of one connection. ``start`` lets the application work on one of them.

    ``client`` is the address in the access log for refused input. ``input`` is set once the reader is made.
    """

    input: Input

    def __init__(
        self,
        transport: asyncio.Transport,
        clock: Clock,
        *,
        listening: Listening,
        client: tuple[str, int] | None,
        start: Callable[[Exchange], None],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._listening = listening
        self._client = client
        self._start = start
        self._current: Exchange | None = None
        self._pipeline: deque[Exchange] = deque()
        self._last_word: tuple[int, Response, str] | None = (
            None  # sent when the earlier requests are answered
        )
        self._uptake = Uptake(listening.limits)
        self._uptake.begin(clock.now())
        self.choked: asyncio.Event | None = None  # while the client does not read: set when it does again

    @property
    def date(self) -> bytes:
        """The field ``date`` of an answer that begins now."""
        return self._listening.date

    @property
    def stopping(self) -> bool:
        """Are requests that take too long cancelled by now?"""
        return self._listening.stopping

    # ---- requests ---------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Is there no request to answer?"""
        return self._current is None

    @property
    def last_is_here(self) -> bool:
        """Has the last request of this connection been received? What follows it does not count."""
        last = self._pipeline[-1] if self._pipeline else self._current
        return last is not None and last.received and not last.keep_alive

    def takes_another(self) -> bool:
        """May one more request begin? The connection ends after the last one that may wait."""
        if self._current is None:
            return True
        if self.last_is_here:
            return False
        if len(self._pipeline) >= _MOST_PIPELINED:
            self._pipeline[-1].keep_alive = False
            return False
        return True

    def take(self, exchange: Exchange) -> bool:
        """Answer this request, in its turn; False if others come before it."""
        if self._current is not None:
            self._pipeline.append(exchange)
            return False
        self._current = exchange
        self._start(exchange)
        return True

    def answered(self, exchange: Exchange) -> None:
        """A response is complete; on to the next request."""
        self._log(exchange)
        if self._transport.is_closing():
            return
        self._current = None
        if not exchange.keep_alive:
            if exchange.received and not self._pipeline and self._last_word is None:
                self._transport.close()
            else:
                self.linger(draining=True)
        elif self._pipeline:
            self._current = self._pipeline.popleft()
            self._start(self._current)
            if not self._pipeline:
                self.input.release()
        elif self._last_word is not None:
            self._say(*self._last_word)
        else:
            self.input.expect_next()

    # ---- refusals ---------------------------------------------------------------------------

    def refuse(self, code: int, detail: str, id_: str, broken: Exchange | None = None) -> None:
        """Answer input that cannot become an exchange, once the earlier ones are answered, then end the connection.

        ``broken`` is an exchange whose body will never be complete, so nothing needs to work on it.
        """
        response = problem(code, detail)
        if code == 503:
            response.headers["retry-after"] = "1"
        if broken is None:
            if self._listening.access_log is not None:
                self._listening.access_log.refusal(code, len(response.body), id_, self._client)
        elif broken.started:
            self.abort()
            return
        else:
            id_ = broken.id
            self._remove(broken, code, len(response.body))
        if self._current is None:
            self._say(code, response, id_)
        else:
            self._last_word = (code, response, id_)

    def _remove(self, broken: Exchange, code: int, sent: int) -> None:
        broken.leave()
        broken.status, broken.sent = code, sent
        self._log(broken)
        if broken is self._current:
            self._current = None
        else:
            self._pipeline.remove(broken)

    def _say(self, code: int, response: Response, id_: str) -> None:
        self.write(refusal(code, response, id_, self.date))
        self.linger(draining=False)

    # ---- the end ----------------------------------------------------------------------------

    def finish(self) -> None:
        """End the connection after the answer that is being made."""
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    def linger(self, *, draining: bool) -> None:
        """End the connection in a way that lets the client read the last answer, whatever it still sends.

        Many clients send their whole body before they read. ``draining`` gives such a client more time.
        """
        self.input.discard()
        self._drop_pipeline()
        if self._transport.is_closing():
            return
        self.input.release()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._clock.linger(draining=draining)

    def lingered(self) -> None:
        """The time to read the last answer is over. The uptake ends a client that does not read it."""
        if self._transport.get_write_buffer_size():
            self._clock.linger_on()
        else:
            self.abort()

    def abort(self) -> None:
        """Cut the connection at once. Unsent data is lost, and the client notices it."""
        self.input.discard()
        self._transport.abort()

    def close(self) -> None:
        """The connection is lost, and nobody waits for an answer any more."""
        self.resume_writing()
        if self._current is not None:
            self._drop(self._current)
            self._current = None
        self._drop_pipeline()

    def _drop_pipeline(self) -> None:
        while self._pipeline:
            self._drop(self._pipeline.popleft())

    def _drop(self, exchange: Exchange) -> None:
        if not exchange.complete:
            exchange.leave()
            self._log(exchange)

    def _log(self, exchange: Exchange) -> None:
        if self._listening.access_log is not None:
            self._listening.access_log.exchange(exchange)

    # ---- how much is on its way -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        if not self._transport.is_closing():
            self._uptake.written += len(data)
            self._transport.write(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than the server writes."""
        self.choked = self.choked or asyncio.Event()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self.choked is not None:
            self.choked.set()
            self.choked = None

    def check_uptake(self, now: float) -> None:
        """Cut off a client that reads too slowly."""
        if self._uptake.is_too_slow(self._transport.get_write_buffer_size(), now):
            self.abort()
