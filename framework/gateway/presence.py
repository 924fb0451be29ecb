"""Detects that the client of a request has gone while a target works for it.

The one rule: **nothing works for a client that is gone.** A wait for a target inside a ``Presence`` block is
cancelled when the client closes its connection, and the block ends with ``ClientGone``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from framework.gateway.requests import ClientGone

# Most answers come sooner than a check of the client would pay off (seconds).
FIRST_LOOK = 0.05
_LATER = 0.25


class Presence:
    """A block that ends when the client goes away. ``complete`` says whether its whole request was received."""

    def __init__(self, receive: Any, complete: Callable[[], bool]) -> None:
        self._receive = receive
        self._complete = complete
        self._task = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    def __enter__(self) -> Presence:
        self._timer = asyncio.get_running_loop().call_later(FIRST_LOOK, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
        if self._gone:
            if self._task is not None:
                self._task.uncancel()
            raise ClientGone from None

    def leave(self) -> None:
        """The client has gone: end the block."""
        if not self._gone:
            self._gone = True
            if self._task is not None:
                self._task.cancel()

    def _look(self) -> None:
        """Watch for a departure once the body is complete. The reader of a body notices one by itself."""
        if self._complete():
            self._listening = asyncio.ensure_future(self._listen())
        else:
            self._timer = asyncio.get_running_loop().call_later(_LATER, self._look)

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()


class Present:
    """The block for a client that cannot go away: a script of this process."""

    def __enter__(self) -> Present:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def leave(self) -> None:
        pass
