"""A request as it is sent to a target, and the ways in which it can fail."""

from __future__ import annotations

from dataclasses import dataclass

from framework.gateway.requests import BodyStream

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class TargetFailed(Exception):
    """The target gave no answer. ``code`` and ``detail`` are for the client. The message is for the log."""

    def __init__(self, code: int, detail: str, reason: str) -> None:
        super().__init__(f"{detail}: {reason}")
        self.code = code
        self.detail = detail


class Unsent(Exception):
    """There was no connection, so nothing was sent."""

    def __init__(self, failure: TargetFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Unanswered(Exception):
    """The connection ended without a response."""

    def __init__(self, failure: TargetFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class ResponseCut(Exception):
    """A response ended before its end."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent, without the host. ``length`` is None for a body in chunks."""

    method: str
    target: str  # path and query, encoded
    headers: list[tuple[str, str]]
    body: bytes | BodyStream | None
    length: int | None
    connect_timeout: float

    @property
    def repeatable(self) -> bool:
        """Is it safe and possible to send it again?"""
        spent = isinstance(self.body, BodyStream) and self.body.begun
        return self.method in _REPEATABLE and not spent
