"""Cache: values that this process keeps in its memory for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any

MOST_KEYS = 10_000  # the least recently written go first


class CacheStore:
    """All cached values of one process. Calling it with a key gives that key's ``Cache``."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[Any, float]] = OrderedDict()

    def __call__(self, key: str, timeout: float = 3, ttl: float = 10) -> Cache:
        return Cache(self, key, timeout, ttl)

    def put(self, key: str, value: Any, ttl: float) -> None:
        self._values[key] = (value, time.monotonic() + ttl)
        self._values.move_to_end(key)
        while len(self._values) > MOST_KEYS:
            self._values.popitem(last=False)

    def get(self, key: str) -> tuple[bool, Any]:
        """Whether there is a value that has not expired, and the value."""
        value, expires = self._values.get(key, (None, 0.0))
        if time.monotonic() >= expires:
            self._values.pop(key, None)
            return False, None
        return True, value

    def delete(self, key: str) -> None:
        self._values.pop(key, None)


class Cache:
    """One key: ``await Cache("k").put(value)``. Values stay ``ttl`` seconds; ``get`` waits up to ``timeout``."""

    def __init__(self, store: CacheStore, key: str, timeout: float, ttl: float) -> None:
        self._store = store
        self._key = key
        self._timeout = timeout
        self._ttl = ttl

    async def put(self, value: Any) -> None:
        """Keep a value for ``ttl`` seconds."""
        self._store.put(self._key, value, self._ttl)

    async def get(self) -> Any:
        """The value, or ``None`` if there is none within ``timeout`` seconds."""
        deadline = time.monotonic() + self._timeout
        while True:
            there, value = self._store.get(self._key)
            if there or time.monotonic() >= deadline:
                return value
            await asyncio.sleep(0.02)

    async def exists(self) -> bool:
        """Whether there is a value now."""
        return self._store.get(self._key)[0]

    async def delete(self) -> None:
        """Forget the value."""
        self._store.delete(self._key)
