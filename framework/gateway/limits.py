"""What a client may ask of the server: sizes, times and numbers, and which variable of the environment sets each.

The one rule: **before a token is checked, nothing is held without bound**: no memory, no connection, no time.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from framework.errors import CannotOpen

_PREFIX = "FRAMEWORK_"
_SPARE_FILES = 128  # open files that are not connections: the database, its locks, back ends

# Whoever sends or takes less than this for longer than its time-out is too slow, however steady. Bytes a second.
LEAST_RATE = 500


def _limit(default: Any, unit: str, told: str) -> Any:
    return field(default=default, metadata={"unit": unit, "told": told})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. Each field is set by ``FRAMEWORK_`` and its name in capital letters."""

    max_connections: int = _limit(
        1000, "", "open connections; one more is answered 503. Never more than the limit on open files allows"
    )
    max_url: int = _limit(8192, "bytes", "the URL of a request, its query included; else 414")
    max_header: int = _limit(32768, "bytes", "the header of a request; else 431")
    max_header_fields: int = _limit(100, "", "the fields in it; else 431")
    max_body: int = _limit(
        1024 * 1024, "bytes", "the body of a request to a script, where the route has no `max_body`; else 413"
    )
    header_timeout: float = _limit(
        10.0, "s", "from the first byte of a request to the end of its header; else 408"
    )
    body_timeout: float = _limit(
        20.0, "s", f"a silence within a body, or a body slower than {LEAST_RATE} bytes a second; else 408"
    )
    write_timeout: float = _limit(
        30.0,
        "s",
        f"a client that takes less than {LEAST_RATE} bytes a second of its answer is cut off after this",
    )
    keep_alive_timeout: float = _limit(15.0, "s", "a connection without a request is closed after this")


DEFAULTS = Limits()


def variable(limit: Field[Any]) -> str:
    """The name of the variable that sets a limit."""
    return _PREFIX + limit.name.upper()


def from_environ(environ: Mapping[str, str] = os.environ) -> Limits:
    """The limits that the environment sets, the defaults else; ``CannotOpen`` for a value that can be none."""
    given = {}
    for limit in fields(Limits):
        text = environ.get(variable(limit))
        if text is not None:
            given[limit.name] = _number(variable(limit), text, whole=isinstance(limit.default, int))
    limits = Limits(**given)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and limits.max_connections > files - _SPARE_FILES:
        given["max_connections"] = max(files - _SPARE_FILES, files // 2)
        limits = Limits(**given)
    return limits


def _number(name: str, text: str, *, whole: bool) -> Any:
    try:
        value = int(text) if whole else float(text)
        if value > 0 and math.isfinite(value):
            return value
    except ValueError:
        pass
    raise CannotOpen(f"{name}={text!r}: this must be a {'whole ' if whole else ''}number above 0")
