"""What stands between a database and the definitions: changes, and whether they are made.

The rule: a start makes what cannot lose or alter a value; everything else waits for ``framework migrate``, and
what could lose something is refused until the rows, the definition or the operator say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Sign = Literal["+", "-", "~", "!"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: ``+`` is added, ``~`` is changed, ``-`` is no longer defined, ``!`` cannot be done.

    ``what`` is a table, column or index, ``rows`` how many rows it is about. ``by_itself`` says that a start
    makes it, ``kept`` that nothing is done at all.
    """

    sign: Sign
    what: str
    text: str
    rows: int = 0
    by_itself: bool = False
    kept: bool = False


@dataclass(slots=True)
class Plan:
    """Everything between a database and the definitions, and the SQL that would end it."""

    changes: list[Change] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[Change]:
        """What cannot be done; then nothing of the plan is."""
        return [change for change in self.changes if change.sign == "!"]

    @property
    def waiting(self) -> list[Change]:
        """What a start does not do by itself."""
        return [change for change in self.changes if not change.by_itself and not change.kept]

    @property
    def made(self) -> list[Change]:
        """What is done when the plan is applied."""
        return [change for change in self.changes if not change.kept]

    @property
    def additions(self) -> list[Change]:
        """What a start makes by itself."""
        return [change for change in self.changes if change.by_itself]


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that was made, as it is remembered. ``at`` in seconds since 1970."""

    id: int
    at: float
    version: str
    cause: str
    changes: Sequence[dict[str, Any]]
    statements: Sequence[str]
    copy: str | None
