"""A finding of ``framework doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was examined, its state, a sentence for people, and the figures for programs."""

    check: str
    level: Level
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
