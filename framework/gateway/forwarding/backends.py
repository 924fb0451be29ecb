"""The hosts for forwarded requests. They take turns, and are set aside for a while if they do not answer.

The one rule: **a host that is set aside is tried if no other is left**, so a request is never refused without an
attempt. All routes of the process share what is known about a host.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

# A host that could not be connected to is set aside for this long, doubling up to the last (seconds).
ASIDE_FIRST = 1.0
ASIDE_LAST = 30.0

# The most targets to remember.
_MOST_TURNS = 10_000


@dataclass(slots=True)
class Backend:
    """One host, as ``scheme://host:port``."""

    url: str
    failures: int = 0  # in a row
    aside_until: float = 0.0  # of time.monotonic()

    def begin(self) -> None:
        """An attempt begins. While one request finds out whether a failed host is back, others skip it."""
        if self.failures:
            self._set_aside()

    def works(self) -> None:
        """It could be connected to."""
        self.failures = 0
        self.aside_until = 0.0

    def fails(self) -> None:
        """It could not be connected to."""
        self.failures += 1
        self._set_aside()

    def _set_aside(self) -> None:
        wait = min(ASIDE_FIRST * 2.0 ** min(self.failures - 1, 10), ASIDE_LAST)
        self.aside_until = time.monotonic() + wait


class _Turn:
    """The turns of the hosts of a target."""

    def __init__(self, backends: tuple[Backend, ...]) -> None:
        self._backends = backends
        self._next = 0

    def order(self) -> tuple[Backend, ...]:
        if len(self._backends) == 1:
            return self._backends
        first = self._next
        self._next = (first + 1) % len(self._backends)
        turned = self._backends[first:] + self._backends[:first]
        now = time.monotonic()
        return tuple(
            sorted(turned, key=lambda backend: backend.aside_until if backend.aside_until > now else 0)
        )


class Backends:
    """All hosts of a process."""

    def __init__(self) -> None:
        self._known: dict[str, Backend] = {}
        self._turns: dict[tuple[str, ...], _Turn] = {}

    def in_turn(self, authorities: tuple[str, ...]) -> tuple[Backend, ...]:
        """The hosts of a target in the order to try them. The next call begins with the next host."""
        turn = self._turns.get(authorities)
        if turn is None and len(self._turns) >= _MOST_TURNS:  # scripts name them, perhaps from client data
            return tuple(Backend(url) for url in authorities)
        if turn is None:
            known = [self._known.setdefault(url, Backend(url)) for url in dict.fromkeys(authorities)]
            turn = self._turns[authorities] = _Turn(tuple(known))
        return turn.order()
