"""The number of requests of a route in progress. ``max_in_flight`` limits the load on its script or its target.

The one rule: **a request counts while the script or the target works for it**, including callouts from inside. A
request whose body is still arriving for a script does not count, so a slow client cannot fill a route.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from framework.gateway.responses import Response, problem
from framework.gateway.routing import Route

RETRY_AFTER = 1  # seconds


class InFlight:
    """The counts of one gateway."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def refusal(self, route: Route) -> Response | None:
        """The 503 for a request beyond the limit, or None."""
        most = route.definition.max_in_flight
        if most is None or self._counts[route.path] < most:
            return None
        refused = problem(
            503, f"this route has {most} requests in work, as many as it takes. Try again later."
        )
        refused.headers["retry-after"] = str(RETRY_AFTER)
        return refused

    def enter(self, scope: Any, route: Route) -> Response | None:
        """Count a request. Return the 503 if there are too many."""
        if route.definition.max_in_flight is None:
            return None
        refused = self.refusal(route)
        if refused is None:
            self._counts[route.path] += 1
            scope["in_flight"] = route.path
        return refused

    def leave(self, scope: Any) -> None:
        """The request has been answered, or never will be."""
        path = scope.pop("in_flight", None)
        if path is not None:
            self._counts[path] -= 1
