"""The time that a client has: for its next request, for a header, for a body, and to read the last answer.

The one rule: **the time during which the server does not read is not the client's.**
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from framework.gateway.wire.limits import LEAST_RATE, Limits

_LINGER = 2.0  # seconds that a client gets to read the last answer while its input is discarded
_LONGEST_LINGER = (
    30.0  # the same for a client that goes on sending the body of a request that was answered early
)


class Clock:
    """The deadline of one connection: there is at most one at a time. ``now`` tells the event loop's time."""

    __slots__ = (
        "_body_began",
        "_limits",
        "_linger_end",
        "_paused_at",
        "_portion",
        "deadline",
        "now",
        "paused",
    )

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self.now = now
        self.deadline = inf
        self._limits = limits
        self._body_began = 0.0
        self._portion = 0  # the size of the body when its last portion was complete, which gave it more time
        self._linger_end = 0.0  # until then, input gives the client more time to read the last answer
        self.paused = False  # does the server take nothing from the client at the moment?
        self._paused_at = 0.0

    def stop(self) -> None:
        """The client owes nothing."""
        self.deadline = inf

    # ---- requests ---------------------------------------------------------------------------

    def expect_request(self) -> None:
        """The connection is kept alive for a next request."""
        self.deadline = self.now() + self._limits.keep_alive_timeout

    def expect_header(self) -> None:
        """A request has begun: its header must be complete in time."""
        self.deadline = self.now() + self._limits.header_timeout

    def begin_body(self) -> None:
        """The header is complete, and the body follows."""
        self._body_began = now = self.now()
        self._portion = 0
        self.deadline = now + min(self._limits.body_timeout, self._limits.transfer_timeout)

    def body_grew(self, size: int) -> None:
        """The body has ``size`` bytes by now: a whole portion gives the client time for the next one."""
        if size - self._portion >= LEAST_RATE * self._limits.body_timeout:
            self.expect_portion(size)

    def expect_portion(self, size: int) -> None:
        """The client has time for the next portion of the body from now on, but not beyond the body's end."""
        self._portion = size
        self.deadline = min(
            self.now() + self._limits.body_timeout, self._body_began + self._limits.transfer_timeout
        )

    # ---- pauses -----------------------------------------------------------------------------

    def pause(self) -> None:
        """The server does not read from now on."""
        self.paused = True
        self._paused_at = self.now()

    def resume(self) -> None:
        """The server reads again: the body has the time of the pause in addition."""
        self.paused = False
        self._body_began += self.now() - self._paused_at

    # ---- the end ----------------------------------------------------------------------------

    def linger(self, *, draining: bool) -> None:
        """The last answer is written; ``draining``: the client may be in the middle of a body."""
        now = self.now()
        self.deadline = now + _LINGER
        self._linger_end = now + _LONGEST_LINGER if draining else 0.0

    def linger_on(self) -> None:
        """The client has not taken all of the last answer yet."""
        self.deadline = self.now() + _LINGER

    def input_discarded(self) -> None:
        """The client still sends: it has more time to read the last answer, if it may drain a body."""
        if self._linger_end:
            self.deadline = min(self.now() + _LINGER, self._linger_end)
