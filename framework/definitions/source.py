"""The text of one file, with the line and column of each character.

The rule: lines end at LF, CR LF or CR and nowhere else, as in an editor and in Python's `linecache`. The other line
breaks of YAML 1.1 (NEL, U+2028, U+2029) do not count.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from .location import Location

_BREAK = re.compile(r"\r\n|\r|\n")


class ByteColumns:
    """The columns of one line in characters and in UTF-8 bytes, both from 0.

    The line is measured once: it may hold as many nodes as characters, and each node asks.
    """

    __slots__ = ("_ends", "_length")

    def __init__(self, text: str) -> None:
        self._length = len(text)
        sizes = () if text.isascii() else map(_utf8_length, text)
        self._ends = array("I", accumulate(sizes))

    def of_character(self, column: int) -> int:
        """The byte at which a character starts."""
        if not self._ends or column <= 0:
            return column
        return self._ends[min(column, self._length) - 1]

    def of_byte(self, offset: int) -> int:
        """The character that starts at a byte, or that contains it."""
        return bisect_right(self._ends, offset) if self._ends else offset


def _utf8_length(character: str) -> int:
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file that was read: `path` as shown, `file` the absolute path, `text` without a byte order mark."""

    path: str
    file: str
    text: str = field(repr=False)
    starts: tuple[int, ...] = field(init=False, repr=False)
    _columns: dict[int, ByteColumns] = field(init=False, repr=False, default_factory=dict)

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
        """The text of a line without its line break, empty for a line that does not exist."""
        first, end = self._bounds(number)
        return self.text[first:end].rstrip("\r\n")

    def _bounds(self, number: int) -> tuple[int, int]:
        """The start of a line and of the next one, or an empty range for a line that does not exist."""
        if not 0 < number <= len(self.starts):
            return 0, 0
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.starts[number - 1], end

    def around(self, location: Location, longest: int) -> tuple[str, str]:
        """The text before a location in its line, and the line. Of a long line, it is the part around the
        location."""
        first, end = self._bounds(location.line)
        place = min(first + location.column - 1, end)
        if end - first > longest:
            first = max(first, place - longest // 2)
            end = min(end, first + longest)
        return self.text[first:place], self.text[first:end].rstrip("\r\n")

    def byte_column(self, line: int, column: int) -> int:
        """The UTF-8 byte offset of a column (both from 0), as Python's syntax trees count."""
        return self._columns_of(line).of_character(column)

    def byte_location(self, line: int, offset: int) -> Location:
        """The location of a UTF-8 byte offset (from 0) in a line."""
        return Location(self.path, line, self._columns_of(line).of_byte(offset) + 1)

    def _columns_of(self, line: int) -> ByteColumns:
        found = self._columns.get(line)
        if found is None:
            found = self._columns[line] = ByteColumns(self.line(line))
        return found
