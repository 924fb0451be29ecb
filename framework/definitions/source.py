"""The text of one file, and on which line and column each of its characters stands.

The rule: lines end at LF, CR LF or CR and nowhere else, as in an editor and in Python's own `linecache`; the
further line breaks that YAML 1.1 knows (NEL, U+2028, U+2029) do not count.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from .location import Location

_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file that was read: `path` as shown, `file` the absolute path, `text` without a byte order mark."""

    path: str
    file: str
    text: str = field(repr=False)
    starts: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = (0, *(found.end() for found in _BREAK.finditer(self.text)))
        object.__setattr__(self, "starts", starts)

    def place(self, index: int) -> tuple[int, int]:
        """The line (from 1) and the column (from 0) of a character."""
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1]

    def location(self, index: int) -> Location:
        """The location of a character."""
        line, column = self.place(index)
        return Location(self.path, line, column + 1)

    def line(self, number: int) -> str:
        """A line's text without its line break, and nothing for a line that does not exist."""
        if not 0 < number <= len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n")

    def byte_column(self, line: int, column: int) -> int:
        """The UTF-8 byte offset of a column (both from 0), as Python's syntax trees count."""
        text = self.line(line)
        return column if text.isascii() else len(text[:column].encode())

    def byte_location(self, line: int, offset: int) -> Location:
        """The location of a UTF-8 byte offset (from 0) in a line."""
        text = self.line(line)
        column = offset if text.isascii() else len(text.encode()[:offset].decode(errors="ignore"))
        return Location(self.path, line, column + 1)
