"""The state that all connections of a server share: limits, counts, the date, and the access log."""

from __future__ import annotations

import enum
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Iterable
from email.utils import formatdate
from typing import Protocol

from framework.gateway.wire.accesslog import AccessLog
from framework.gateway.wire.limits import Limits

logger = logging.getLogger("framework.gateway")

_TOLD_AGAIN = 10.0  # seconds between two warnings of refused connections


class Admission(enum.Enum):
    """The decision about a new connection."""

    WELCOME = enum.auto()
    FULL = enum.auto()  # beyond the limit; it gets an answer
    CROWDED = enum.auto()  # beyond the limit of its client; it gets an answer
    CUT = enum.auto()  # far beyond the limit; it is cut without an answer


class Bounded(Protocol):
    """A connection with time limits."""

    def tick(self, now: float) -> None:
        """End whatever takes too long."""


class Listening:
    """The shared state of a server, on its event loop."""

    def __init__(self, limits: Limits, access_log: AccessLog | None = None) -> None:
        self.limits = limits
        self.access_log = access_log
        self.stopping = False  # the server is shutting down
        self._open = 0
        self._of: Counter[str] = Counter()  # open connections by client
        self._refused: Counter[Admission] = Counter()
        self._refused_last = ""  # the client that had too many
        self._told_at = float("-inf")
        self._date = b""
        self._date_second = 0  # the Unix time that the date was made for

    @property
    def date(self) -> bytes:
        """The field ``date`` of an answer that begins now (RFC 9110, 6.6.1)."""
        second = int(time.time())
        if second != self._date_second:
            self._date = b"date: " + formatdate(second, usegmt=True).encode("ascii") + b"\r\n"
            self._date_second = second
        return self._date

    # ---- connections ------------------------------------------------------------------------

    def enter(self, client: str | None) -> Admission:
        """Count a new connection. A refused one also counts until it has ended."""
        self._open += 1
        admission = _admission(self._open, self.limits.max_connections, Admission.FULL)
        if client is not None:
            self._of[client] += 1
            most = self.limits.max_connections_per_client
            if most and admission is Admission.WELCOME:
                admission = _admission(self._of[client], most, Admission.CROWDED)
                if admission is not Admission.WELCOME:
                    self._refused_last = client
                    self._refused[Admission.CROWDED] += 1
                    return admission
        if admission is not Admission.WELCOME:
            self._refused[Admission.FULL] += 1
        return admission

    def left(self, client: str | None) -> None:
        """Count the end of a connection."""
        self._open -= 1
        if client is not None:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]

    def tick(self, connections: Iterable[Bounded], now: float) -> None:
        """Called a few times a second. It ends whatever takes too long, and reports refusals."""
        for connection in list(connections):
            connection.tick(now)
        if self.access_log is not None:
            self.access_log.nudge()
        if self._refused and now - self._told_at > _TOLD_AGAIN:
            self._tell()
            self._refused.clear()
            self._told_at = now

    def _tell(self) -> None:
        full, crowded = self._refused[Admission.FULL], self._refused[Admission.CROWDED]
        if full:
            logger.warning(
                "%d connections were refused: %d are open, as many as FRAMEWORK_MAX_CONNECTIONS allows",
                full,
                self.limits.max_connections,
                extra={"action": "connections_refused", "refused": full},
            )
        if crowded:
            logger.warning(
                "%d connections were refused: their client has %d open, as many as "
                "FRAMEWORK_MAX_CONNECTIONS_PER_CLIENT allows; the last of them came from %s",
                crowded,
                self.limits.max_connections_per_client,
                self._refused_last,
                extra={"action": "client_refused", "refused": crowded},
            )


def _admission(there: int, most: int, refused: Admission) -> Admission:
    if there <= most:
        return Admission.WELCOME
    return refused if there <= most * 1.25 + 16 else Admission.CUT


def client_of(address: str | None) -> str | None:
    """The unit for which connections are counted: an IPv4 address, or the /64 network of an IPv6 address."""
    if address is None or ":" not in address:
        return address
    whole = ipaddress.IPv6Address(address.partition("%")[0])
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(whole) >> 64 << 64, 64)))
