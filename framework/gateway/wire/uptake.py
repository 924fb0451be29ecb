"""The rate at which a client reads answers. A client that does not read must not hold memory forever."""

from __future__ import annotations

from framework.gateway.wire.limits import LEAST_RATE, Limits


class Uptake:
    """The uptake of one connection. ``written`` counts the bytes that its transport was given so far."""

    __slots__ = ("_limits", "_owed_at", "_taken", "_taken_at", "written")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.written = 0
        self._taken = 0
        self._taken_at = 0.0
        self._owed_at = 0.0  # since when there has been data for it

    def begin(self, now: float) -> None:
        """The connection is there, and nothing was written to it yet."""
        self._taken_at = self._owed_at = now

    def is_too_slow(self, unsent: int, now: float) -> bool:
        """Has the client taken too little for too long? ``unsent`` counts the bytes that it has not taken yet.

        Call this regularly. A client has ``write_timeout`` for each portion, and ``transfer_timeout`` in total.
        """
        taken = self.written - unsent
        if not unsent:
            self._taken, self._taken_at, self._owed_at = taken, now, now
        elif now - self._owed_at > self._limits.transfer_timeout:
            return True
        elif taken - self._taken >= LEAST_RATE * self._limits.write_timeout:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at > self._limits.write_timeout:
            return True
        return False
