"""A call: an admitted request with its route."""

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
    """An admitted request with its route.

    ``request`` is what scripts see and may change. ``scope`` and ``body`` are what was received. ``body`` is None if
    nothing here reads it. Then it is streamed from ``receive``.
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
        """The deadline for scripts and target, by the loop's clock."""
        return self.began + self.route.definition.request_timeout

    @property
    def inside(self) -> bool:
        """Does it come from a script of this process?"""
        return self.caller is INSIDE
