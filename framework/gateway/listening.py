"""What all connections of a server share: its limits, how many there are, the date, and the access log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from email.utils import formatdate
from typing import TYPE_CHECKING

from framework.gateway.accesslog import AccessLog
from framework.gateway.limits import Limits

if TYPE_CHECKING:
    from framework.gateway.connection import Connection

logger = logging.getLogger("framework.gateway")

_TOLD_AGAIN = 10.0  # seconds between two warnings of refused connections


class Listening:
    """One for a server, on its event loop."""

    def __init__(self, limits: Limits, access_log: AccessLog | None = None) -> None:
        self.limits = limits
        self.access_log = access_log
        self.stopping = False  # the server is shutting down
        self._open = 0
        self._refused = 0
        self._told_at = float("-inf")
        self.date = _date()

    # ---- connections ------------------------------------------------------------------------

    def entered(self) -> None:
        """Count a new connection."""
        self._open += 1
        self._refused += self.full

    @property
    def full(self) -> bool:
        """There is one connection too many: it is told so, and ends."""
        return self._open > self.limits.max_connections

    @property
    def flooded(self) -> bool:
        """So many are being told that there is no time for politeness."""
        return self._open > self.limits.max_connections * 1.25 + 16

    def left(self) -> None:
        """Count the end of a connection, of a refused one too."""
        self._open -= 1

    def look(self, connections: Iterable[Connection], now: float) -> None:
        """Called a few times a second: end what takes too long, and tell of what was refused."""
        self.date = _date()
        for connection in list(connections):
            connection.look(now)
        if self.access_log is not None:
            self.access_log.nudge()
        if self._refused and now - self._told_at > _TOLD_AGAIN:
            logger.warning(
                "%d connections were refused: %d are open, as many as FRAMEWORK_MAX_CONNECTIONS allows",
                self._refused,
                self.limits.max_connections,
                extra={"action": "connections_refused", "refused": self._refused},
            )
            self._refused, self._told_at = 0, now


def _date() -> bytes:
    return b"date: " + formatdate(usegmt=True).encode("ascii") + b"\r\n"
