"""Slow answers to failed logons: the longer an address fails, the longer it waits for each answer.

The rule: **a valid key never waits**, whatever else comes from its address, because behind a proxy all clients share
one. A key has 256 random bits, so this limits the load and the noise of guessing, not its success. Waiting costs a
bounded amount of memory. A logon beyond the limit is refused at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

logger = logging.getLogger("framework.gateway")

FIRST_WAIT = 0.5  # seconds
LONGEST_WAIT = 8.0  # seconds
MOST_WAITING = 256  # failed logons at a time, in the whole process
MOST_WAITING_PER_ADDRESS = 8
FORGIVEN_AFTER = 60.0  # seconds without a failure
_MOST_ADDRESSES = 4096
_LOGGED_EVERY = 10.0  # seconds: the shortest interval between reports about one address


@dataclass(slots=True)
class _Address:
    failures: int = 0
    waiting: int = 0
    last_at: float = 0.0
    told_at: float = float("-inf")
    untold: int = 0


class Attempts:
    """The failed logons of one process, by address. ``sleep`` is the function that waits."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._waiting = 0

    async def failed(self, client: str) -> float | None:
        """Count a failure and wait. Return None afterwards, or at once the seconds that the client should stay
        away."""
        name = network(client)
        address = self._address(name)
        address.failures += 1
        address.last_at = time.monotonic()
        self._tell(name, address)
        wait = min(FIRST_WAIT * 2.0 ** min(address.failures - 1, 16), LONGEST_WAIT)
        if self._waiting >= MOST_WAITING or address.waiting >= MOST_WAITING_PER_ADDRESS:
            return wait
        self._waiting += 1
        address.waiting += 1
        try:
            await self._sleep(wait)
        finally:
            self._waiting -= 1
            address.waiting -= 1
        return None

    def _address(self, name: str) -> _Address:
        address = self._addresses.setdefault(name, _Address())
        if time.monotonic() - address.last_at > FORGIVEN_AFTER:
            address.failures = 0
        self._addresses.move_to_end(name)
        while len(self._addresses) > _MOST_ADDRESSES:
            self._addresses.popitem(last=False)
        return address

    def _tell(self, name: str, address: _Address) -> None:
        """Log the first failure at once, and sum up the following ones, so that a flood cannot fill the disk."""
        address.untold += 1
        now = time.monotonic()
        if now - address.told_at < _LOGGED_EVERY:
            return
        logger.warning(
            "%d failed logon%s from %s, %d in a row",
            address.untold,
            "" if address.untold == 1 else "s",
            name,
            address.failures,
            extra={"action": "logon_failed", "client": name, "failures": address.untold},
        )
        address.told_at, address.untold = now, 0


def network(client: str) -> str:
    """What counts as one address. For IPv6 it is the first 64 bits, because one client can have all addresses
    below."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
