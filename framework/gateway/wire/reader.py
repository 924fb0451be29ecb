"""The input of a client: requests are parsed and limited in size, until the connection discards its input.

The one rule: **the memory that a client can occupy is bounded before its token is checked.** A request that breaks a
limit or the grammar is the last one that is parsed. The parser is httptools.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Mapping
from typing import Any, Protocol

import httptools

from framework.gateway.wire.clock import Clock
from framework.gateway.wire.exchange import HIGH_WATER, Exchange, Line
from framework.gateway.wire.head import NO_URL, Head, Unfit
from framework.gateway.wire.limits import Limits

logger = logging.getLogger("framework.gateway")

_DRAINED = (
    65536  # the largest unread body, in bytes, that is worth waiting for; beyond it the connection ends
)

_WRONG = {
    httptools.HttpParserInvalidURLError: NO_URL,
    httptools.HttpParserInvalidMethodError: "this is not an HTTP request, or its method is unknown",
}


class Phase(enum.Enum):
    """What the reader expects of the client."""

    IDLE = enum.auto()  # the beginning of a request
    HEADER = enum.auto()  # the rest of a header
    BODY = enum.auto()  # the rest of a body
    DISCARDING = enum.auto()  # nothing: the connection ends, and its input is discarded


# Bound once: the lookup of an enum member takes as long as a call, and each request does it ten times.
_IDLE, _HEADER, _BODY, _DISCARDING = Phase


class Answers(Line, Protocol):
    """What the reader needs of the side that answers."""

    @property
    def last_is_here(self) -> bool:
        """Has the last request of this connection been received? What follows it does not count."""

    def takes_another(self) -> bool:
        """May one more request begin?"""

    def take(self, exchange: Exchange) -> bool:
        """Answer this request, in its turn; False if others come before it."""

    def refuse(self, code: int, detail: str, id_: str, broken: Exchange | None) -> None:
        """Answer input that cannot become an exchange, or whose body is ``broken``, then end the connection."""

    def linger(self, *, draining: bool) -> None:
        """End the connection once the client has read the last answer."""


class _Refused(Exception):
    """Nothing more is parsed."""


class RequestReader:
    """Reads the requests of one connection. ``ends`` is what each scope says about the connection."""

    def __init__(
        self,
        transport: asyncio.Transport,
        clock: Clock,
        answers: Answers,
        *,
        limits: Limits,
        ends: Mapping[str, Any],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._answers = answers
        self._limits = limits
        self._ends = ends
        self._parser = self._new_parser()
        self.phase = _IDLE
        self._head = Head(limits)
        self._unfinished = 0  # bytes of a header that is not complete yet
        self._exchange: Exchange | None = None  # the one whose body is read, in the phase BODY alone
        self._body_size = 0
        self._held = False  # nothing is read until the requests that wait are answered

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Data after a request with `Connection: close` is not parsed, and is not an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # ---- the end of reading -----------------------------------------------------------------

    @property
    def discarding(self) -> bool:
        """Is all input discarded?"""
        return self.phase is _DISCARDING

    def discard(self) -> None:
        """Discard all input from now on."""
        self.phase = _DISCARDING
        self._exchange = None

    def close(self) -> None:
        """The connection is lost. References back to the reader are dropped, so that no cycle is left behind."""
        self.discard()
        self._parser = self._answers = None  # type: ignore[assignment]

    def refuse(self, code: int, detail: str) -> None:
        """Refuse the current input, and read nothing more."""
        broken = self._exchange
        self.discard()
        self._clock.stop()
        self._answers.refuse(code, detail, self._head.id, broken)

    def expired(self) -> None:
        """A header or a body has taken too long, unless the server has not read on."""
        if self.phase is _HEADER:
            if self._clock.paused:  # the missing part may already be here
                self._clock.expect_header()
            else:
                self.refuse(408, f"the header was not complete after {self._limits.header_timeout:g} s")
        elif self._exchange is not None:
            if self._clock.paused or self._exchange.waits_for_continue:
                self._clock.expect_portion(self._body_size)
            else:
                self.refuse(408, "the body came too slowly, or not at all")

    # ---- input ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Parse the data, or discard it."""
        if self.phase is _DISCARDING:
            self._clock.input_discarded()
            return
        phase, size = self.phase, self._body_size
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            self._stopped(error.__context__)
        except httptools.HttpParserError as error:
            if not (self.discarding or self._answers.last_is_here):
                self.refuse(400, _WRONG.get(type(error), "this is not a valid HTTP request"))
        if self.phase is _IDLE:
            self._unfinished = 0
        elif self._is_unfinished(phase, size):
            self._unfinished += len(data)
            if self._unfinished > self._limits.max_header + self._limits.max_url:
                self.refuse(431, f"the header is larger than {self._limits.max_header} bytes")
        else:
            self._unfinished = 0

    def _is_unfinished(self, phase: Phase, size: int) -> bool:
        """Does the parser keep the data since ``phase`` and ``size``?

        It keeps a field of the header or the trailer, and a chunk's extension, until they are complete.
        """
        if self.phase is _HEADER:
            return phase is not _BODY
        return self.phase is _BODY and size == self._body_size

    def _parse(self, data: bytes) -> None:
        """Parse the data. An offer to upgrade is ignored: the request is read again without it."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                parser = self._parser
                head = self._head.without_upgrade(parser.get_method(), parser.get_http_version())
                data = head + data[upgrade.args[0] :]
                self._parser = self._new_parser()

    def _stopped(self, cause: BaseException | None) -> None:
        """One of our own callbacks has ended the parsing."""
        if isinstance(cause, Unfit):
            self.refuse(cause.code, cause.detail)
        elif not isinstance(cause, _Refused):
            logger.error("a request could not be read", exc_info=cause, extra={"action": "unexpected"})
            self.refuse(500, "an error inside the server: its log has the details")

    # ---- what the parser has found ----------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.phase is _DISCARDING or not self._answers.takes_another():
            raise _Refused
        self.phase = _HEADER
        self._head = Head(self._limits)
        self._unfinished = 0
        self._clock.expect_header()

    def on_url(self, url: bytes) -> None:
        self._head.add_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.count(name, value)
        if self.phase is _HEADER:  # a trailer is dropped
            self._head.add_field(name, value)

    def on_headers_complete(self) -> None:
        head, version = self._head, self._parser.get_http_version()
        method = self._parser.get_method().decode("ascii")
        head.check(method, version)
        if self._parser.should_upgrade():
            return  # the parser ends here, and the request is read again without the offer
        id_ = head.id
        scope = head.scope(method, version, id_)
        scope.update(self._ends)
        self.phase = _BODY
        self._exchange = exchange = Exchange(
            self._answers,
            self,
            scope,
            id_,
            keep_alive=version == "1.1" and self._parser.should_keep_alive(),
            expects=version == "1.1" and head.expects_continue,
        )
        self._body_size = 0
        self._clock.begin_body()
        if not self._answers.take(exchange):
            self._held = True
            self._pause()

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        self._body_size += len(body)
        self._clock.body_grew(self._body_size)
        exchange.feed(body)
        if exchange.complete:
            if self._body_size > _DRAINED:
                self._answers.linger(draining=True)
        elif exchange.waiting > HIGH_WATER:
            self._pause()

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        self._exchange = None
        self.phase = _IDLE
        exchange.end()
        if exchange.complete:  # it was answered early
            self._clock.expect_request()
        else:
            self._clock.stop()

    # ---- how much is read -------------------------------------------------------------------

    def _pause(self) -> None:
        """Stop reading from the client for now."""
        if not self._clock.paused and not self._transport.is_closing():
            self._clock.pause()
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless the client has to wait for the answers to its earlier requests."""
        if self._held or not self._clock.paused:
            return
        self._clock.resume()
        if self.phase is _BODY:
            self._clock.expect_portion(self._body_size)
        elif self.phase is _HEADER:
            self._clock.expect_header()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def release(self) -> None:
        """No request waits for the answers to earlier ones any more: read on."""
        self._held = False
        if self._clock.paused:
            self.resume_reading()

    def expect_next(self) -> None:
        """Everything is answered: read on, and wait for the next request if none has begun."""
        self.release()
        if self.phase is _IDLE:
            self._clock.expect_request()

    def body_is_due(self) -> None:
        """The client has time for the next portion of the body from now on."""
        if self._exchange is not None:
            self._clock.expect_portion(self._body_size)

    def allows_reuse(self, exchange: Exchange) -> bool:
        """May the connection be reused after this response? Not if much of the body is still to come."""
        if exchange.received:
            return True
        if exchange.waits_for_continue or exchange is not self._exchange:
            return False
        length = self._head.content_length
        return length is not None and length - self._body_size <= _DRAINED
