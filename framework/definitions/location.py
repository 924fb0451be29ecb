"""Where something stands in a definition file.

The rule: a location is what a person sees in an editor, so both numbers count from 1 and the column counts
characters, not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file: the path as it is shown to the user, line and column from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"
