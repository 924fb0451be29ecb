"""What the client of the back ends does differently from aiohttp's own: it keeps nothing, and trusts no leftover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientResponse
from yarl import URL


class Stale(aiohttp.ServerDisconnectedError):
    """A pooled connection on which something came unasked: nothing was sent on it."""


class Request(aiohttp.ClientRequest):
    """Is not sent on a connection with leftovers: they would be taken for its response."""

    async def send(self, conn: Any) -> ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise Stale
        return await super().send(conn)


class Jar(aiohttp.DummyCookieJar):
    """Keeps no cookies, and does not even read them."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        pass
