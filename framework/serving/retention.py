"""How long growing data is kept, and which environment variable sets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from framework.errors import CannotOpen
from framework.values.durations import seconds

_PREFIX = "FRAMEWORK_KEEP_"
_DAY = 86400.0
_LEAST = "1h"


def _kept(days: float, told: str) -> Any:
    return field(default=days * _DAY, metadata={"told": told})


@dataclass(frozen=True, slots=True)
class Retention:
    """Durations in seconds. Each field is set by ``FRAMEWORK_KEEP_`` and its name in capital letters."""

    dead_letters: float = _kept(90, "dead letters, from their death")
    tokens: float = _kept(30, "operators' tokens that have expired")
    logons: float = _kept(1, "tokens from `/-/logon` that have expired")
    responses: float = _kept(1, "answers of requests with an `Idempotency-Key`, for replay")
    audit: float = _kept(365, "what `framework audit` shows")
    unused_fifos: float = _kept(
        90, "a FIFO without items, dead letters and policy that nobody fills and that is not paused"
    )


DEFAULTS = Retention()


def variable(kept: Field[Any]) -> str:
    """The name of the variable that sets it."""
    return _PREFIX + kept.name.upper()


def from_environ(environ: Mapping[str, str] = os.environ) -> Retention:
    """The values of the environment, or the defaults. Raises ``CannotOpen`` for an invalid value."""
    given = {}
    for kept in fields(Retention):
        text = environ.get(variable(kept))
        if text is not None:
            try:
                given[kept.name] = seconds(text, least=_LEAST)
            except ValueError as error:
                raise CannotOpen(f"{variable(kept)}: {error}") from None
    return Retention(**given)
