"""The time limits of a client: for its next request, a header, a body, and reading the last answer.

The one rule: **time during which the server does not read does not count against the client.**
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from framework.gateway.wire.limits import LEAST_RATE, Limits

_LINGER = 2.0  # seconds for a client to read the last answer while its input is discarded
_LONGEST_LINGER = (
    30.0  # the same for a client that goes on sending the body of a request that was answered early
)


class Clock:
    """The deadline of one connection. There is at most one at a time. ``now`` returns the event loop's time."""

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
        self._linger_end = 0.0  # until then, input extends the client's time to read the last answer
        self.paused = False  # does the server currently not read from the client?
        self._paused_at = 0.0

    def stop(self) -> None:
        """Remove the deadline."""
        self.deadline = inf

    # ---- requests ---------------------------------------------------------------------------

    def expect_request(self) -> None:
        """Expect the next request within the keep-alive time."""
        self.deadline = self.now() + self._limits.keep_alive_timeout

    def expect_header(self) -> None:
        """A request has begun. Its header must be complete in time."""
        self.deadline = self.now() + self._limits.header_timeout

    def begin_body(self) -> None:
        """The header is complete, and the body follows."""
        self._body_began = now = self.now()
        self._portion = 0
        self.deadline = now + min(self._limits.body_timeout, self._limits.transfer_timeout)

    def body_grew(self, size: int) -> None:
        """The body has ``size`` bytes by now. A complete portion gives the client time for the next one."""
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
        """The server stops reading."""
        self.paused = True
        self._paused_at = self.now()

    def resume(self) -> None:
        """The server reads again. The time of the pause is added to the body's time."""
        self.paused = False
        self._body_began += self.now() - self._paused_at

    # ---- the end ----------------------------------------------------------------------------

    def linger(self, *, draining: bool) -> None:
        """The last answer is written. ``draining``: the client may still be sending a body."""
        now = self.now()
        self.deadline = now + _LINGER
        self._linger_end = now + _LONGEST_LINGER if draining else 0.0

    def linger_on(self) -> None:
        """The client has not read the whole last answer yet."""
        self.deadline = self.now() + _LINGER

    def input_discarded(self) -> None:
        """The client still sends. If it may drain a body, it gets more time to read the last answer."""
        if self._linger_end:
            self.deadline = min(self.now() + _LINGER, self._linger_end)
