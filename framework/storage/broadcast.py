"""Messages to all current listeners, in any process on one database. They are not stored.

The one rule: **a sender never waits for a listener.** A message goes into a bounded buffer. A slow listener loses the
oldest messages, and is told how many.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from framework.observing.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Heard:
    """Messages of one sender (``host:pid``), in order, and how many are missing before the first."""

    sender: str
    missed: int
    messages: list[Any]


class Sender(Protocol):
    """Sends what is put into an outbox, as JSON. Made by :meth:`Broadcast.sender`."""

    def find_listeners(self) -> None:
        """Find out who listens. Call it before each message. It costs almost nothing if nothing has changed.

        From any thread. Never raises.
        """


class Broadcast(Protocol):
    """The broadcasts of an engine. They close with the storage, which allows the last messages a second to arrive."""

    def sender(self, outbox: Outbox[Any]) -> Sender:
        """From now on, each listener reads this outbox, whose items are JSON values."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Receive everything that is sent after the block is entered, also by processes that start later.

        It works in any event loop, not only the storage's. Raises ``Unavailable`` if the system refuses it.
        """
