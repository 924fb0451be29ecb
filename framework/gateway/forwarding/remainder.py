"""Data that a back end sent before its connection broke, and that nothing has read yet.

The one rule: **an answer that has arrived is read before its connection is abandoned.** A back end that refuses a
body answers early and closes, and data that is still on its way makes the system reset the connection. The next write
then fails, and the event loop closes the connection with the answer unread. So while a body is sent, a second
descriptor holds the connection open, and the remaining data is read from there. Imported where requests are forwarded
only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientResponse

from framework.client import interim

_MOST = 1024 * 1024  # bytes to read of it: an answer that refuses a body is short
_PIECE = 65536


class Remainder:
    """A second hold on a connection. ``close`` it when the response is complete."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._descriptor: int | None = os.dup(transport.get_extra_info("socket").fileno())
        self._tls: Any = transport.get_extra_info("ssl_object")

    def close(self) -> None:
        """Release it. May be called repeatedly."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def read(self) -> bytes:
        """The unread data, once, or nothing if it was closed."""
        if self._descriptor is None:
            return b""
        came = bytearray()
        try:
            while len(came) < _MOST and (piece := os.read(self._descriptor, _PIECE)):
                came += piece
        except OSError:  # no more data, or the reset
            pass
        self.close()
        return bytes(came) if self._tls is None else self._decrypted(bytes(came))

    def _decrypted(self, came: bytes) -> bytes:
        clear = bytearray()
        try:
            self._tls.incoming.write(came)
            while piece := self._tls.read(_PIECE):
                clear += piece
        except (ssl.SSLError, AttributeError, ValueError):  # the last record is incomplete
            pass
        return bytes(clear)


class RememberingTLS(ssl.SSLObject):
    """A protocol that knows its buffer, so that data which was read elsewhere can be added to it."""

    @classmethod
    def _create(
        cls, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *more: Any, **named: Any
    ) -> RememberingTLS:
        made: RememberingTLS = super()._create(incoming, outgoing, *more, **named)  # type: ignore[misc]
        made.incoming = incoming
        return made

    incoming: ssl.MemoryBIO


class Handler(interim.Handler):
    """Reads the remainder of a connection before it reports the end."""

    remainder: Remainder | None = None
    _large = False

    def hold(self, *, body: bool, large: bool) -> None:
        """Hold it from now on until the response is complete, for a request with a body, which may be ``large``."""
        self._large = body and large
        if self.remainder is not None:
            self.remainder.close()
            self.remainder = None
        if body and self.transport is not None:
            with contextlib.suppress(OSError):  # no descriptor is left: send the request nevertheless
                self.remainder = Remainder(self.transport)

    async def read(self) -> Any:
        """The next response. A back end that refuses a large body may not have read it. Then the connection will be
        reset, and the next request on it would be lost.
        """
        message, payload = await super().read()
        if self._large and message.code >= 400:
            self.force_close()
        return message, payload

    def _read_on(self) -> None:
        remainder = self.remainder
        came = b"" if remainder is None else remainder.read()
        if came and self._parser is not None:
            self.data_received(came)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, OSError):  # a piece could not be written
            self._read_on()
        super().set_exception(exc, *cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._read_on()
        if self.remainder is not None:
            self.remainder.close()
        super().connection_lost(exc)


class Response(ClientResponse):
    """Keeps the hold on its connection until it is complete."""

    remainder: Remainder | None = None

    async def start(self, connection: Any) -> ClientResponse:
        self.remainder = connection.protocol.remainder
        return await super().start(connection)


class Connector(aiohttp.TCPConnector):
    """A connector whose connections read the remainder."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        interim.handled(self, Handler)
