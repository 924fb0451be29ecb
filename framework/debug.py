"""The debug channel: what scripts ``qprint`` goes to every listener, and no listener slows a script."""

from __future__ import annotations

import logging
import pprint
from collections.abc import Callable

from framework.atom import Atom
from framework.mu import MU

logger = logging.getLogger("framework.debug")

Listener = Callable[[str], None]


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
