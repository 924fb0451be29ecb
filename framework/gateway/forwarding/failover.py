"""Requests to the hosts of a target, one after the other until one answers.

The one rule: **a request is sent twice only if that is safe.** It goes to the next host if nothing was sent, or if a
repeatable method got no answer and its whole body can still be sent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from framework.gateway.forwarding.backends import Backends
from framework.gateway.forwarding.outgoing import Outgoing, TargetFailed, Unanswered, Unsent

if TYPE_CHECKING:
    from framework.gateway.forwarding.pool import Incoming, Pool

logger = logging.getLogger("framework.gateway")


class Forwarding:
    """Sends requests to back ends. The runtime opens and closes it."""

    def __init__(self) -> None:
        self._backends = Backends()
        self._pool: Pool | None = None

    def open(self) -> None:
        """Make the pool in the running loop. Nothing is connected yet."""
        from framework.gateway.forwarding.pool import Pool

        self._pool = Pool()

    async def close(self) -> None:
        """Close the pooled connections. All requests have ended."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def send(self, request: Outgoing, authorities: tuple[str, ...]) -> Incoming:
        """The response of the first host that gives one. Raises ``TargetFailed`` if none does."""
        assert self._pool is not None, "the forwarding is not open"
        failure: TargetFailed | None = None
        for backend in self._backends.in_turn(authorities):
            if failure is not None:
                logger.warning("%s; the next host is %s", failure, backend.url, extra={"action": "next_host"})
            backend.begin()
            try:
                incoming = await self._pool.send(request, backend.url)
            except Unsent as error:
                backend.fails()
                failure = error.failure
            except Unanswered as error:
                failure = error.failure
                if not request.repeatable:
                    break
            except TargetFailed:
                backend.works()
                raise
            else:
                backend.works()
                return incoming
        assert failure is not None
        raise failure
