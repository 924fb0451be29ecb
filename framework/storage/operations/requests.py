"""Requests that may be sent twice and must act once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What identifies a request: the account, the method, the path, and the key that the client chose."""

    account: str
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that is replayed; ``headers`` as JSON text."""

    status: int
    headers: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BeginRequest:
    """Mark a request as in progress, and answer ``None``, or answer its ``StoredResponse``.

    The mark is a claim of this process. It is void when the process dies, or begins the request again itself.
    ``RequestInProgress`` while another process has it, ``RequestMismatch`` when the fingerprint differs. Marks and
    responses older than ``kept`` seconds of time lived no longer count.
    """

    request: RequestKey
    fingerprint: bytes
    now: float
    kept: float


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Store the response of a request in progress, or with ``None`` remove its mark.

    Raises ``ClaimLost`` if there is a response and the mark is no longer ours.
    """

    request: RequestKey
    response: StoredResponse | None
