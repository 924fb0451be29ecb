"""A storage whose holds hang on a session, as those of a database server do: they may end while the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from framework.storage import Storage, open_storage


class Sessions:
    """Delegates to the session that it has now. ``drop`` frees all that it holds, for real, and begins another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self._now: Storage

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Sessions]:
        sessions = cls(url)
        await sessions._begin()
        yield sessions
        await sessions._stack.aclose()

    async def _begin(self) -> None:
        self._now = await self._stack.enter_async_context(open_storage(self._url))
        self.disowned: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def drop(self, ended: Awaitable[Any]) -> None:
        """Tell it, then wait for the work to be ended, as the contract lets it, and end the session."""
        disowned, before = self.disowned, self._stack
        self._stack = AsyncExitStack()
        await self._begin()
        disowned.set_result("the session was dropped")
        await ended
        await before.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)
