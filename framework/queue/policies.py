"""Which policy applies to a FIFO: the one of the definitions, or the one that the last start recorded.

A FIFO needs no policy; the defaults are those of ``framework.definitions.FifoPolicy``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from framework.definitions import Backoff, FifoPolicy, Location

_NOWHERE = Location("(defaults)", 1, 1)


class Policies:
    """The policies by FIFO name. Every other FIFO has the defaults."""

    def __init__(self, policies: Iterable[FifoPolicy] = ()) -> None:
        self._policies = {policy.name: policy for policy in policies}

    def of(self, fifo: str) -> FifoPolicy:
        """The policy of a FIFO, or the defaults if it has none."""
        return self._policies.get(fifo) or FifoPolicy(name=fifo, location=_NOWHERE)

    def adopt(self, policies: Mapping[str, FifoPolicy]) -> None:
        """Adopt the policies of running servers for FIFOs that have none here."""
        self._policies = {**policies, **self._policies}

    def __iter__(self) -> Iterator[FifoPolicy]:
        return iter(self._policies.values())


def to_json(policy: FifoPolicy) -> str:
    """A policy as it is recorded in the database."""
    values = asdict(policy)
    del values["name"], values["location"]
    return json.dumps(values)


def from_json(fifo: str, text: str | None) -> FifoPolicy:
    """A recorded policy, or the defaults if none was recorded.

    A server of another version may have recorded it, so unknown keys are skipped.
    """
    values = _known(FifoPolicy, json.loads(text or "{}"))
    if "backoff" in values:
        values["backoff"] = Backoff(**_known(Backoff, values["backoff"]))
    return FifoPolicy(name=fifo, location=_NOWHERE, **values)


def _known(kind: type[FifoPolicy] | type[Backoff], values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def backoff(policy: FifoPolicy, attempt: int) -> float:
    """The back-off of the head in seconds after failed attempt number ``attempt``."""
    try:
        return min(policy.backoff.initial * policy.backoff.factor ** (attempt - 1), policy.backoff.max)
    except OverflowError:
        return policy.backoff.max
