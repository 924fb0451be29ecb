"""Interim responses (1xx) of the servers that we call: a few are skipped, a flood ends the connection.

The one rule: **a server must come to its final response.** An interim response costs its sender 25 bytes.
Without a limit the client would read one after the other, and block the event loop.
"""

from __future__ import annotations

import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MOST_INTERIM = 100  # before one final response


class Handler(ResponseHandler):
    """A connection that is given up after too many interim responses in a row."""

    _interim = 0
    _flooded = False

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A response has been parsed: its head, and its body to come."""
        if 100 <= data[0].code < 200:
            self._interim += 1
            if self._interim > MOST_INTERIM and not self._flooded:
                self._give_up()
        else:
            self._interim = 0
        if not self._flooded:
            super().feed_data(data, size)

    def _give_up(self) -> None:
        self._flooded = True
        self.set_exception(HttpProcessingError(message=f"over {MOST_INTERIM} interim responses"))
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


def handled(connector: aiohttp.BaseConnector, handler: type[Handler] = Handler) -> aiohttp.BaseConnector:
    """Make the connector use this handler for its connections, and return it."""
    connector._factory = functools.partial(handler, loop=connector._loop)  # type: ignore[assignment]
    return connector
