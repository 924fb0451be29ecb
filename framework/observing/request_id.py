"""The id of a request, from the client through scripts, FIFO items and workers to callouts.

It belongs to the context (``contextvars``), so everything that a request causes carries it: the tasks that its
script starts, the items that it puts, and later the block of the worker that takes such an item.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar

HEADER = "x-request-id"
LONGEST = 128

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# No character that could break out of a log line, a header or a shell word.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,%d}" % LONGEST)


def accepted(given: bytes | None) -> str:
    """The id that a client sent if it is well formed, otherwise a new one."""
    if given is not None and _WELL_FORMED.fullmatch(given):
        return given.decode("ascii")
    return new()


def new() -> str:
    """A new id. It is unique for practical purposes, and not a secret."""
    return f"{random.getrandbits(64):016x}"
