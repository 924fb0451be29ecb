"""Where something stands in a definition file.

The rule: a location is what a person sees in an editor. Both numbers count from 1, and the column counts characters,
not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file: the path as the user sees it, and line and column from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{printable(self.path)}:{self.line}:{self.column}"


def printable(path: str) -> str:
    """A path on one line. Newlines and control characters in a file name are written as escapes."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in path)
