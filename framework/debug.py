"""The debug channel: what scripts ``qprint`` goes to every listener, and no listener slows a script."""

from __future__ import annotations

import logging
import pprint
import threading
from collections import deque
from collections.abc import Callable

from framework.atom import Atom
from framework.mu import MU

logger = logging.getLogger("framework.debug")

Listener = Callable[[str], None]

# What a Printer keeps for a reader that does not read: beyond either of these the oldest is dropped.
MOST_TEXTS = 10_000
MOST_CHARACTERS = 4 * 1024 * 1024


def rendered(value: object) -> str:
    """Text as it is, ATOM and MU as YAML, the rest by ``pprint``; without a newline at the end."""
    if isinstance(value, str):
        return value.removesuffix("\n")
    if isinstance(value, Atom | MU):
        return value.yaml_format.removesuffix("\n")
    return pprint.pformat(value, width=100)


class DebugChannel:
    """Hands what is printed to the listeners there are; without one it costs next to nothing."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each text from now on; what is returned ends it, and may be called again."""
        self._listeners.append(listener)
        return lambda: self._drop(listener)

    def qprint(self, value: object) -> None:
        """Print to whoever listens. Never raises: a print must not break an order."""
        if not self._listeners:
            return
        try:
            text = rendered(value)
        except Exception as error:
            text = f"<qprint: a {type(value).__name__} that cannot be shown: {error}>"
        for listener in list(self._listeners):
            try:
                listener(text)
            except Exception:
                logger.exception("a debug listener failed and is dropped")
                self._drop(listener)

    def _drop(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)


class Printer:
    """A listener that hands each text to ``write`` in a thread of its own, in order: nobody waits for it.

    While ``write`` does not return, the oldest texts are dropped, and how many is written in their place.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._texts: deque[str] = deque()
        self._characters = 0
        self._dropped = 0
        self._writing = False
        self._failed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="framework-printer", daemon=True).start()

    def __call__(self, text: str) -> None:
        with self._changed:
            if self._failed:
                return
            self._texts.append(text)
            self._characters += len(text)
            while len(self._texts) > 1 and (
                len(self._texts) > MOST_TEXTS or self._characters > MOST_CHARACTERS
            ):
                self._characters -= len(self._texts.popleft())
                self._dropped += 1
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is written, for ``timeout`` seconds at most; was it?"""
        with self._changed:
            return self._changed.wait_for(lambda: not self._texts and not self._writing, timeout)

    def _run(self) -> None:
        while True:
            text = self._next()
            try:
                self._write(text)
            except Exception as error:
                logger.warning("what scripts print cannot be written any more: %s", error)
                with self._changed:
                    self._failed, self._writing = True, False
                    self._texts.clear()
                    self._changed.notify_all()
                return

    def _next(self) -> str:
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._texts)
            self._writing = True
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return f"<qprint: {dropped} texts were dropped: nobody read them>"
            text = self._texts.popleft()
            self._characters -= len(text)
            return text
