"""Requests that may be sent twice and must act once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes two requests the same one: who sent it, where to, and the key that the sender chose."""

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
    """Mark a request as in progress, or answer its ``StoredResponse`` (``None``: it may begin).

    The mark is a claim of this process, void when it dies or when the process itself begins it again.
    ``RequestInProgress`` while another process has it, ``RequestMismatch`` when the fingerprint differs.
    Marks and responses older than ``kept`` seconds of time lived count no more.
    """

    request: RequestKey
    fingerprint: bytes
    now: float
    kept: float


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Store the response of a request in progress, or take its mark away (``None``).

    ``ClaimLost`` when there is a response and the mark is not ours any more.
    """

    request: RequestKey
    response: StoredResponse | None
