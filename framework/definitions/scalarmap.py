"""Where each character of a YAML scalar stands in its file, through quotes, escapes, folds and indentation.

The rule: the result is compared with what the YAML parser read. If the two differ, every position becomes the start
of the scalar. So a location may be coarse, but it is never wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .nodes import ScalarNode
from .source import Source

_LINE = re.compile(r"\r\n|\r|\n")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_HEX = {"x": 2, "u": 4, "U": 8}


class ScalarMap:
    """Maps a line and column of a scalar's value to a location in the file."""

    def __init__(self, scalar: ScalarNode) -> None:
        self.source: Source = scalar.source
        self._starts = [0, *(found.end() for found in _LINE.finditer(scalar.text))]
        self._length = len(scalar.text)
        self._lines = scalar.text.split("\n") if scalar.style == "|" and scalar.text else []
        self._first, self._offsets = _literal(scalar, self._lines) if self._lines else (0, [])
        self._begins: list[int] = []
        self._ends: list[int] = []
        if not self._offsets:
            self._begins, self._ends = _decoded(scalar) or (
                [scalar.start] * (self._length + 1),
                [scalar.start] * (self._length + 1),
            )

    def begin(self, line: int, column: int) -> tuple[int, int]:
        """The line and column in the file of a character of the value. Lines count from 1, columns from 0."""
        if self._offsets:
            return self._literal_place(line, column)
        return self.source.place(self._begins[self._index(line, column)])

    def end(self, line: int, column: int) -> tuple[int, int]:
        """The same for the position immediately after a character."""
        if self._offsets:
            return self._literal_place(line, column)
        return self.source.place(self._ends[self._index(line, column)])

    def _literal_place(self, line: int, column: int) -> tuple[int, int]:
        line = min(max(line, 1), len(self._offsets))
        return self._first + line - 1, self._offsets[line - 1] + max(column, 0)

    def _index(self, line: int, column: int) -> int:
        line = min(max(line, 1), len(self._starts))
        return min(self._starts[line - 1] + max(column, 0), self._length)


def _literal(scalar: ScalarNode, lines: list[str]) -> tuple[int, list[int]]:
    """The line in the file of a block's first line, and the indentation of each line, or None if in doubt."""
    source = scalar.source
    header = _PROPERTIES.match(source.text, scalar.start)
    first = source.place(header.end() if header else scalar.start)[0] + 1
    offsets: list[int] = []
    for number, line in enumerate(lines, first):
        written = source.line(number)
        if not written.endswith(line) and line:
            return 0, []
        offsets.append(len(written) - len(line) if line else 0)
    return first, offsets


@dataclass(slots=True)
class _Decoder:
    """Reads a plain or quoted scalar as YAML does, and keeps the position of each character."""

    text: str
    position: int
    stop: int
    quote: str

    def read(self) -> tuple[str, list[int], list[int]]:
        value: list[str] = []
        begins: list[int] = []
        ends = [self.position]
        while self.position < self.stop:
            start = self.position
            if self.text[start] in " \t\r\n":
                piece = self._space()
            elif self.text[start] == "\\" and self.quote == '"':
                piece = self._escape()
            else:
                self.position += 2 if self.quote == "'" and self.text.startswith("''", start) else 1
                piece = self.text[start]
            for offset, character in enumerate(piece):
                spread = len(piece) > 1 and self.position - start == len(piece)
                value.append(character)
                begins.append(start + offset if spread else start)
                ends.append(start + offset + 1 if spread else self.position)
        return "".join(value), [*begins, self.position], ends

    def _space(self) -> str:
        """White space: kept inside a line, folded at a line break."""
        start = self.position
        while self.position < self.stop and self.text[self.position] in " \t":
            self.position += 1
        breaks = self._breaks()
        if not breaks:
            return self.text[start : self.position]
        return " " if breaks == 1 else "\n" * (breaks - 1)

    def _breaks(self) -> int:
        """Pass over line breaks and the white space that follows each."""
        count = 0
        while self.position < self.stop:
            found = _LINE.match(self.text, self.position)
            if not found:
                break
            count += 1
            self.position = found.end()
            while self.position < self.stop and self.text[self.position] in " \t":
                self.position += 1
        return count

    def _escape(self) -> str:
        mark = self.text[self.position + 1]
        if mark in "\r\n":
            self.position += 1
            return "\n" * (self._breaks() - 1)
        if mark in _HEX:
            digits = self.text[self.position + 2 : self.position + 2 + _HEX[mark]]
            self.position += 2 + _HEX[mark]
            return chr(int(digits, 16))
        self.position += 2
        return _ESCAPES[mark]


def _decoded(scalar: ScalarNode) -> tuple[list[int], list[int]] | None:
    """The start and end in the file of each character of the value, or None if in doubt."""
    if scalar.style in ("|", ">"):
        return None
    text = scalar.source.text
    found = _PROPERTIES.match(text, scalar.start)
    start, stop = (found.end() if found else scalar.start), scalar.end
    if scalar.style:
        start, stop = start + 1, stop - 1
    try:
        value, begins, ends = _Decoder(text, start, stop, scalar.style).read()
    except (IndexError, KeyError, ValueError, OverflowError):
        return None
    return (begins, ends) if value == scalar.text else None
