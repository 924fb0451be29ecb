"""``debug()`` and ``debug(False)``: show here what scripts ``qprint`` in any process of the installation.

The one rule: **the messages are exactly those of the platform.**
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

logger = logging.getLogger("framework.repl")

CONNECTED = (
    "Disconnected the currently subscribed channel and connected to the debug channel ['xaas.southbound.channel']\n"
    "debug channel connected"
)
DISCONNECTED = "debug channel disconnected"

Listen = Callable[[], AbstractAsyncContextManager[AsyncIterator[str]]]


class Debugging:
    """The object that the user calls as ``debug``. Call ``settle`` after each statement, and ``close`` at the end."""

    def __init__(self, listen: Listen, write: Callable[[str], None], show: Callable[[str], None]) -> None:
        self._listen = listen
        self._write = write
        self._show = show
        self._task: asyncio.Task[None] | None = None
        self._connected: asyncio.Future[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def __call__(self, on: bool = True) -> None:
        """Show what scripts qprint from now on. ``debug(False)`` ends it. A repeated call changes nothing."""
        if on and self._task is None:
            loop = asyncio.get_running_loop()
            self._connected = loop.create_future()
            self._task = loop.create_task(self._follow(self._connected), name="debug channel")
        if not on and self._task is not None:
            self._task.cancel()
            self._ending, self._task = self._task, None
        self._write(CONNECTED if on else DISCONNECTED)

    def __repr__(self) -> str:
        return "debug() shows what scripts qprint; debug(False) ends it"

    async def settle(self) -> None:
        """Wait until the request has taken effect, so that what is printed from now on is shown, or not shown."""
        if self._task is not None and self._connected is not None:
            await asyncio.wait({self._connected, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._ending is not None:
            await asyncio.wait({self._ending})
            self._ending = None

    async def close(self) -> None:
        """End it without a word."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await self.settle()

    async def _follow(self, connected: asyncio.Future[None]) -> None:
        try:
            async with self._listen() as texts:
                connected.set_result(None)
                async for text in texts:
                    self._show(text)
        except Exception:
            logger.exception("the debug channel has failed")
            self._task = None
