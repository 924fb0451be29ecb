"""The headers of an answer as a script sets them. Names are case-insensitive, and a name may have several lines.

The one rule: **a value that HTTP cannot carry is refused where it is set**, with the name of its header, so that the
error points to the script's own line. The ``repr`` of an object is never sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders

# What HTTP allows in a header (RFC 9110, 5.1 and 5.5).
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TAKES = "a header takes text or a number, and a list of these for several lines"


class BadAnswer(TypeError):
    """A script has returned or set something that an HTTP response cannot carry.

    ``place`` is the file and line of the ``return`` if the traceback does not have it.
    """

    place: tuple[str, int] | None = None


class ResponseHeaders(MutableHeaders):
    """A mutable mapping of names to text. ``given`` are the names that were set, in lower case."""

    given: frozenset[str] = frozenset()

    def __setitem__(self, key: str, value: Any) -> None:
        name, lines = _name(key), list(_lines(key, value))
        if len(lines) == 1:
            super().__setitem__(name, lines[0])
        else:
            del self[name]
            for line in lines:
                super().append(name, line)
        self.given |= {name}

    def append(self, key: str, value: Any) -> None:
        """Add a line of this name, or several for a list."""
        name, lines = _name(key), list(_lines(key, value))
        for line in lines:
            super().append(name, line)
        self.given |= {name}

    def setdefault(self, key: str, value: Any) -> str:
        """The value of the name. It is set to this one if there is none."""
        if key not in self:
            self[key] = value
        return self[key]

    def mutablecopy(self) -> ResponseHeaders:
        return ResponseHeaders(raw=self._list[:])


def written(headers: Mapping[Any, Any]) -> list[tuple[bytes, bytes]]:
    """A mapping as header lines. Of two names that differ only by case, the later one counts.

    ``BadAnswer`` for a name or value that HTTP cannot carry.
    """
    named = {_name(name): [*_lines(name, value)] for name, value in headers.items()}
    return [
        (name.encode("latin-1"), line.encode("latin-1")) for name, lines in named.items() for line in lines
    ]


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadAnswer(f"{_short(name)} is not a valid header name")
    return name.lower()


def _lines(name: str, value: object) -> Iterator[str]:
    for one in value if isinstance(value, list | tuple) else (value,):
        yield _line(name, one)


def _line(name: str, value: object) -> str:
    if isinstance(value, str):
        if _VALUE.fullmatch(value):
            return str.__str__(value)
        raise BadAnswer(
            f"the header {name!r} has the value {_short(value)}, with a character that HTTP cannot carry: "
            "a line break, a control character, or one beyond Latin-1"
        )
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    raise BadAnswer(
        f"the header {name!r} has the value {_short(value)}, of the type {type(value).__name__}: {_TAKES}"
    )


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."
