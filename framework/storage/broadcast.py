"""Messages to whoever listens now, in any process on one database. They are kept for nobody else.

The one rule: **who sends never waits for who listens.** A message goes into a bounded buffer; a listener
that does not read it in time loses the oldest, and is told how many.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from framework.observing.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Heard:
    """Messages of one sender (``host:pid``), in its order, and how many are missing before the first."""

    sender: str
    missed: int
    messages: list[Any]


class Sender(Protocol):
    """Sends what is put into an outbox, as JSON. Made by :meth:`Broadcast.sender`."""

    def look(self) -> None:
        """See who listens: to be called before each message. Next to nothing when that has not changed.

        From any thread. Never raises.
        """


class Broadcast(Protocol):
    """What an engine gives. Closed with its storage, which gives what was sent last a second to arrive."""

    def sender(self, outbox: Outbox[Any]) -> Sender:
        """From now on, each listener reads this outbox, whose items are JSON values."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Hear all that is sent from the moment the block is entered, also by processes that start later.

        In any event loop, not only the storage's. ``Unavailable`` where the system does not let us.
        """
