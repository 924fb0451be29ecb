"""A call: a request that has found its route and may call it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from framework.access.caller import INSIDE, Caller
from framework.gateway.requests import Request
from framework.gateway.routing import Route
from framework.values.mu import MU


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has found its route and may call it.

    ``request`` is what the scripts see and may change; ``scope`` and ``body`` are what came. ``body`` is None
    where nobody on this side reads it: then it is streamed from ``receive``.
    """

    route: Route
    request: Request
    resources: dict[str, str]
    parameters: dict[str, list[str]]
    caller: Caller
    scope: Any
    receive: Any
    body: bytes | None
    session: MU = field(default_factory=MU)
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def deadline(self) -> float:
        """When scripts and target must have answered, by the loop's clock."""
        return self.began + self.route.definition.request_timeout

    @property
    def inside(self) -> bool:
        """Does it come from a script of this process?"""
        return self.caller is INSIDE
