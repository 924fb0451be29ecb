"""The limits of clients: sizes, times and numbers, and the environment variable for each.

The one rule: **before a token is checked, everything that a client occupies is bounded**: memory, connections and
time.
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

# The least bytes per second of a time-out that must arrive, or be read, in each period. Earlier data does not count,
# so a large first piece buys no time.
LEAST_RATE = 500


def _limit(default: Any, unit: str, told: str, *, least: int = 1) -> Any:
    return field(default=default, metadata={"unit": unit, "told": told, "least": least})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. Each field is set by ``FRAMEWORK_`` and its name in capital letters."""

    max_connections: int = _limit(
        1000, "", "open connections. One more gets 503. The limit on open files can lower it"
    )
    max_connections_per_client: int = _limit(
        256,
        "",
        "open connections of one address, or of one IPv6 network (/64). One more gets 503. 0: any number",
        least=0,
    )
    max_url: int = _limit(8192, "bytes", "the URL of a request, with its query. A longer one gets 414")
    max_header: int = _limit(32768, "bytes", "the header of a request. A larger one gets 431")
    max_header_fields: int = _limit(100, "", "the fields in the header. More get 431")
    max_body: int = _limit(
        1024 * 1024,
        "bytes",
        "the body of a request to a script, if the route has no `max_body`. A larger one gets 413",
    )
    header_timeout: float = _limit(
        10.0, "s", "from the first byte of a request to the end of its header. A slower one gets 408"
    )
    body_timeout: float = _limit(
        20.0,
        "s",
        f"each such period must bring {LEAST_RATE} bytes of a body per second, whatever came before. Else 408",
    )
    write_timeout: float = _limit(
        30.0, "s", "the same rule for the answer that the client takes. A slower client is cut off"
    )
    transfer_timeout: float = _limit(
        3600.0,
        "s",
        "a body must come in full within this, else 408. An answer must be taken, or it is cut off",
    )
    keep_alive_timeout: float = _limit(15.0, "s", "a connection without a request is closed after this")


DEFAULTS = Limits()


def variable(limit: Field[Any]) -> str:
    """The name of the variable that sets a limit."""
    return _PREFIX + limit.name.upper()


def from_environ(environ: Mapping[str, str] = os.environ) -> Limits:
    """The limits of the environment, or the defaults. Raises ``CannotOpen`` for an invalid value."""
    given = {}
    for limit in fields(Limits):
        text = environ.get(variable(limit))
        if text is not None:
            given[limit.name] = _number(variable(limit), text, limit)
    limits = Limits(**given)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and limits.max_connections > files - _SPARE_FILES:
        given["max_connections"] = max(files - _SPARE_FILES, files // 2)
        limits = Limits(**given)
    return limits


def _number(name: str, text: str, limit: Field[Any]) -> Any:
    whole, least = isinstance(limit.default, int), limit.metadata["least"]
    try:
        value = int(text) if whole else float(text)
        if (value >= least if whole else value > 0) and math.isfinite(value):
            return value
    except ValueError:
        pass
    kind = "whole number" if whole else "number"
    raise CannotOpen(f"{name}={text!r}: this must be a {kind} {'above 0' if least else 'from 0 on'}")
