"""The differences between a database and the definitions, and whether they are applied.

The rule: a start applies changes that cannot lose or alter a value. All others wait for ``framework migrate``. A
change that could lose something is refused until the rows, the definition or the operator allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Sign = Literal["+", "-", "~", "!"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: ``+`` is added, ``~`` is changed, ``-`` is no longer defined, ``!`` cannot be done.

    ``what`` is a table, column or index. ``rows`` is the number of affected rows. ``by_itself`` says that a start
    applies it, ``kept`` that nothing is done.
    """

    sign: Sign
    what: str
    text: str
    rows: int = 0
    by_itself: bool = False
    kept: bool = False


@dataclass(slots=True)
class Plan:
    """All differences between a database and the definitions, and the SQL that removes them."""

    changes: list[Change] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[Change]:
        """Changes that are impossible. If there are any, nothing of the plan is applied."""
        return [change for change in self.changes if change.sign == "!"]

    @property
    def waiting(self) -> list[Change]:
        """Changes that a start does not apply."""
        return [change for change in self.changes if not change.by_itself and not change.kept]

    @property
    def made(self) -> list[Change]:
        """Changes that applying the plan makes."""
        return [change for change in self.changes if not change.kept]

    @property
    def additions(self) -> list[Change]:
        """Changes that a start applies."""
        return [change for change in self.changes if change.by_itself]


@dataclass(frozen=True, slots=True)
class Applied:
    """The record of an applied migration. ``at`` is in seconds since 1970."""

    id: int
    at: float
    version: str
    cause: str
    changes: Sequence[dict[str, Any]]
    statements: Sequence[str]
    copy: str | None
