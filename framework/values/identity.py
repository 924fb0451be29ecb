"""Time-based identities (RFC 4122, version 1) at a tenth of the price of ``uuid.uuid1``.

The standard library asks the C library, which takes a lock of the system. Here the clock, a random sequence and a
node are enough, because every process draws its own sequence and node.
"""

from __future__ import annotations

import os
import secrets
import time

# 100-nanosecond intervals between the UUID epoch 1582-10-15 and the Unix epoch, RFC 4122 section 4.1.4.
_EPOCH = 0x01B21DD213814000


class TimeIds:
    """Makes hexadecimal version-1 UUIDs, each larger in time than the one before."""

    def __init__(self) -> None:
        self._draw()
        self._last = 0

    def _draw(self) -> None:
        """A node with the multicast bit, which says that it is not that of a network card (RFC 4122 section 4.5)."""
        self._pid = os.getpid()
        sequence = secrets.randbits(14) | 0x8000
        node = secrets.randbits(48) | 0x010000000000
        self._tail = f"{sequence:04x}{node:012x}"

    def new(self) -> str:
        if self._pid != os.getpid():
            self._draw()  # a forked child must not repeat the ids of its parent
        stamp = time.time_ns() // 100 + _EPOCH
        if stamp <= self._last:
            stamp = self._last + 1
        self._last = stamp
        text = f"{stamp & 0xFFFFFFFF:08x}{stamp >> 32 & 0xFFFF:04x}1{stamp >> 48 & 0xFFF:03x}"
        return text + self._tail


_ids = TimeIds()


def new_instance(class_name: str) -> str:
    """``instance`` of an ATOM, before its base64: the class name and a time-based identity."""
    return f"{class_name}:{_ids.new()}"
