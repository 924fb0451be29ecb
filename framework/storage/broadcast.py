"""Messages to whoever listens now, in any process on one database. They are kept for nobody else.

The one rule: **who sends never waits for who listens.** A message goes to a bounded buffer for each
listener; when one does not read, its oldest go, and it is told how many.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """Messages of one sender (``host:pid``), in its order, and how many are missing before the first."""

    sender: str
    missed: int
    messages: list[Any]


class Broadcast(Protocol):
    """What an engine gives. Closed with its storage, which gives what was sent last a second to arrive."""

    def heard(self) -> bool:
        """Does anybody listen? Next to nothing when nobody does; from any thread."""

    def send(self, message: Any, characters: int) -> None:
        """Send a JSON value, which counts as so many characters in the buffers. From any thread; never raises."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Hear all that is sent from the moment the block is entered, also by processes that start later.

        In any event loop, not only the storage's. ``Unavailable`` where the system does not let us.
        """
