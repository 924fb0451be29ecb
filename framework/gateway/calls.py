"""A call: a request that has found its route and may call it."""

from __future__ import annotations

from dataclasses import dataclass

from framework.gateway.requests import Request
from framework.gateway.routing import Route

# Callers that have no account of their own.
OPEN = ""  # a route that asks for no token
INSIDE = "(inside)"  # callout
OPERATOR = "(operator)"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has found its route and may call it."""

    route: Route
    request: Request
    resources: dict[str, str]
    parameters: dict[str, list[str]]
    caller: str
