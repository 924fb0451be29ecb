"""The debug channel: what scripts ``qprint`` goes to every listener, and no listener slows a script.

A process that has the storage open can hear what every process on it prints, even itself::

    async with follow(storage) as messages:     # every print from here on, in any process, arrives
        async for message in messages:          # Message(time, node, worker, text), or Missed(node, count)
            print(printable(message.text))      # both have a text

This works in any event loop, even in a thread of its own. Leaving the block ends it. The messages of a process
come complete and in order. A listener that does not read loses the oldest, and learns how many.
"""

from __future__ import annotations

import logging
import pprint
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from framework.atom import Atom
from framework.observing import trace
from framework.observing.outbox import Outbox, Reader
from framework.storage import Storage
from framework.storage.broadcast import Broadcast, Heard, Sender
from framework.transactions import context
from framework.values.mu import MU

logger = logging.getLogger("framework.debug")

Listener = Callable[[str], None]

_Printed = tuple[float, str, str]  # when, by whose script, the text

_OVERHEAD = 100  # characters that a message counts for besides its text

# Everything that moves the cursor, clears or retitles a terminal; line feed, tab and colours are left.
_CONTROL = re.compile("\x1b(?!\\[[0-9;]{0,32}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Message:
    """One ``qprint``: when (seconds since 1970), in which process (``host:pid``), by which worker or route.

    ``worker`` is a worker's name, a route's path or a module's name, or empty if none of them printed.
    """

    time: float
    node: str
    worker: str
    text: str


@dataclass(frozen=True, slots=True)
class Missed:
    """This many messages of a process were dropped here, because the listener did not read them in time."""

    node: str
    count: int

    @property
    def text(self) -> str:
        return _dropped(self.count, f" of {self.node}")


@asynccontextmanager
async def follow(storage: Storage) -> AsyncIterator[AsyncIterator[Message | Missed]]:
    """Everything that any process on this database prints from the beginning of the block.

    This includes processes that start later or again. Raises ``Unavailable`` if the system does not allow it.
    """
    async with storage.broadcast.listen() as heard:
        yield _Messages(heard)


class _Messages:
    """An iterator that survives a cancelled wait, so ``asyncio.timeout`` around it loses nothing."""

    def __init__(self, heard: AsyncIterator[Heard]) -> None:
        self._heard = heard
        self._ready: deque[Message | Missed] = deque()

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> Message | Missed:
        while not self._ready:
            heard = await anext(self._heard)
            if heard.missed:
                self._ready.append(Missed(heard.sender, heard.missed))
            for at, worker, text in heard.messages:
                self._ready.append(Message(at, heard.sender, worker, text))
        return self._ready.popleft()


def rendered(value: object) -> str:
    """A value as text: text as it is, ATOM and MU as YAML, the rest from ``pprint``, without a newline at the end.

    ``pprint`` also shows a value that has no YAML, for example because it contains itself. A value that cannot
    be shown at all is named instead. It never raises.
    """
    try:
        return _rendered(value).removesuffix("\n")
    except Exception as error:
        return f"<qprint: a {type(value).__name__} that cannot be shown: {trace.message(error)}>"


def _rendered(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Atom | MU):
        try:
            return value.yaml_format
        except Exception:
            value = value.dictionary if isinstance(value, Atom) else dict.copy(value)
    return pprint.pformat(value, width=100)


def printable(text: str) -> str:
    r"""The text for a terminal. Colours stay. Other control characters, which an order from outside may
    contain, are written out as ``\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class DebugChannel:
    """``qprint`` of one process: to its own listeners and printers, and to all that ``follow``.

    Without a listener it costs next to nothing. The runtime connects it to the storage.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._outbox: Outbox[_Printed] = Outbox()
        self._sender: Sender | None = None

    def connect(self, broadcast: Broadcast) -> None:
        """Send to all that ``follow`` this storage, until it is closed."""
        self._sender = broadcast.sender(self._outbox)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each text of this process, which waits for it.

        The returned function ends it, and may be called again.
        """
        self._listeners.append(listener)
        return lambda: self._drop(listener)

    def printer(self, write: Callable[[str], None], first: str | None = None) -> Reader[_Printed]:
        """Pass each text of this process to ``write`` in a thread of its own, in order. No script waits for it.

        Texts that come together are passed as one, with newlines between them, and ``first`` comes before all.
        While ``write`` does not return, the oldest texts are dropped, and their number is written in their
        place. The caller flushes the printer at the end.
        """

        def write_all(printed: list[_Printed], missed: int) -> None:
            texts = [_dropped(missed)] if missed else []
            write("\n".join([*texts, *(text for _, _, text in printed)]))

        before = [] if first is None else [(time.time(), "", first)]
        return self._outbox.reader(write_all, name="framework-printer", failed=_cannot_write, first=before)

    def qprint(self, value: object) -> None:
        """Print to all listeners. It never raises, since a print must not break an order."""
        if self._sender is not None:
            self._sender.find_listeners()
        if not self._outbox.read and not self._listeners:
            return
        text = rendered(value)
        self._outbox.put((time.time(), context.current().script, text), len(text) + _OVERHEAD)
        for listener in list(self._listeners):
            try:
                listener(text)
            except Exception:
                logger.exception("a debug listener failed and is dropped")
                self._drop(listener)

    def _drop(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)


def _dropped(count: int, whose: str = "") -> str:
    return f"<qprint: {count} texts{whose} were dropped: nobody read them>"


def _cannot_write(error: Exception) -> None:
    logger.warning("what scripts print cannot be written any more: %s", error)
