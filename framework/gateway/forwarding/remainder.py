"""Data that a back end sent before its connection broke, and that nothing has read yet.

The one rule: **an answer that has arrived is read before its connection is given up.** A back end that refuses a
body answers early and closes, and what is still on its way to it makes the system reset the connection. The
next piece that is written then fails, and the event loop closes the connection with the answer unread. So while a
body is sent, the connection is held open by a second descriptor, and what the system has of it is read from there.
Imported where requests are forwarded only.
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

_MOST = 1024 * 1024  # bytes that are read of it: an answer to a body that was not wanted is short
_PIECE = 65536


class Remainder:
    """A second hold on a connection. ``close`` it when the response is complete."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._descriptor: int | None = os.dup(transport.get_extra_info("socket").fileno())
        self._tls: Any = transport.get_extra_info("ssl_object")

    def close(self) -> None:
        """Let go; any number of times."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def read(self) -> bytes:
        """What has come and was not read, once; nothing where it was closed."""
        if self._descriptor is None:
            return b""
        came = bytearray()
        try:
            while len(came) < _MOST and (piece := os.read(self._descriptor, _PIECE)):
                came += piece
        except OSError:  # there is no more, or the reset has been reached
            pass
        self.close()
        return bytes(came) if self._tls is None else self._decrypted(bytes(came))

    def _decrypted(self, came: bytes) -> bytes:
        clear = bytearray()
        try:
            self._tls.incoming.write(came)
            while piece := self._tls.read(_PIECE):
                clear += piece
        except (ssl.SSLError, AttributeError, ValueError):  # the last record is not whole
            pass
        return bytes(clear)


class RememberingTLS(ssl.SSLObject):
    """Knows the buffer that it reads from: what is read elsewhere can be put there."""

    @classmethod
    def _create(
        cls, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *more: Any, **named: Any
    ) -> RememberingTLS:
        made: RememberingTLS = super()._create(incoming, outgoing, *more, **named)  # type: ignore[misc]
        made.incoming = incoming
        return made

    incoming: ssl.MemoryBIO


class Handler(interim.Handler):
    """Reads the remainder of a connection before it tells of its end."""

    remainder: Remainder | None = None
    _large = False

    def hold(self, *, body: bool, large: bool) -> None:
        """From now on, until the response is complete: for a request with a body, which may be ``large``."""
        self._large = body and large
        if self.remainder is not None:
            self.remainder.close()
            self.remainder = None
        if body and self.transport is not None:
            with contextlib.suppress(OSError):  # no descriptor is left: the request is sent all the same
                self.remainder = Remainder(self.transport)

    async def read(self) -> Any:
        """The next response. Who refuses a large body may not have read it: the connection will be reset, and the
        next request on it would be lost.
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
    """Makes connections whose remainder is read."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        interim.handled(self, Handler)
