"""Renders the outcome of a check: as text with the source line and a caret, as JSON, or as GitHub annotations.

The rule: a mistake's first line is `path:line:column: severity CODE: message` in every terminal and editor.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Literal

from .check import Checked
from .kinds import KINDS
from .location import Location, printable
from .problem import Problem
from .source import Source

_LONGEST = 200
_PLAIN = "\t\u200c\u200d"  # a tab, and the joiners of letters and of emoji
_Problems = list[tuple[Problem, str]]


def render(checked: Checked, format: Literal["text", "json", "github"], *, strict: bool = False) -> str:
    """The outcome in a format, without a final line break. With `strict`, warnings become errors."""
    problems: _Problems = [(problem, "error" if strict else problem.severity) for problem in checked.problems]
    if format == "json":
        return _json(checked, problems)
    if format == "github":
        return "\n".join(_annotation(problem, severity) for problem, severity in problems)
    return _text(checked, problems)


def summary(checked: Checked) -> str:
    """One line on what was found in the folder."""
    counts = [(len(getattr(checked.definitions, traits.field)), traits) for traits in KINDS.values()]
    found = [_count(number, traits.one, traits.many) for number, traits in counts if number]
    return ", ".join(found) or "no definitions"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _text(checked: Checked, problems: _Problems) -> str:
    if not problems:
        return f"{printable(checked.folder)}: {summary(checked)}: no mistakes"
    sources = {path: Source(path, path, text) for path, text in checked.sources.items()}
    parts = [_block(problem, severity, sources) for problem, severity in problems]
    errors = sum(severity == "error" for _, severity in problems)
    told = [_count(errors, "error", "errors")] if errors else []
    if len(problems) > errors:
        told.append(_count(len(problems) - errors, "warning", "warnings"))
    return "\n\n".join((*parts, f"{', '.join(told)} in {_count(checked.files, 'file', 'files')}"))


def _block(problem: Problem, severity: str, sources: dict[str, Source]) -> str:
    lines = [f"{problem.location}: {severity} {problem.code}: {_one_line(problem.message)}"]
    lines += _excerpt(problem.location, sources)
    if problem.hint:
        lines.append(f"  hint: {_one_line(problem.hint)}")
    for place in problem.related:
        lines.append(f"  see {place}")
        lines += _excerpt(place, sources)
    return "\n".join(lines)


def _excerpt(location: Location, sources: dict[str, Source]) -> list[str]:
    """The line of a place, and a caret under its column."""
    source = sources.get(location.path)
    if source is None:
        return []
    before, line = source.around(location, _LONGEST)
    if not line.strip():
        return []
    pad = "".join("\t" if character == "\t" else " " * _width(character) for character in before)
    return [f"    {_visible(line)}", f"    {pad}^"]


def _width(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if _is_hidden(character):
        return 1  # the mark that replaces it
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _visible(text: str) -> str:
    """A mark replaces each character that would control a terminal or reverse the reading order."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    """Whether the character is invisible and does not join the letters of a word."""
    if character.isprintable() or character in _PLAIN:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _one_line(text: str) -> str:
    return _visible(" ".join(text.splitlines()))


def _json(checked: Checked, problems: _Problems) -> str:
    errors = sum(severity == "error" for _, severity in problems)
    return json.dumps(
        {
            "files": checked.files,
            "errors": errors,
            "warnings": len(problems) - errors,
            "problems": [
                {
                    **_place(problem.location),
                    "severity": severity,
                    "code": problem.code,
                    "message": problem.message,
                    "hint": problem.hint,
                    "related": [_place(place) for place in problem.related],
                }
                for problem, severity in problems
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def _place(location: Location) -> dict[str, object]:
    return {"path": location.path, "line": location.line, "column": location.column}


def _annotation(problem: Problem, severity: str) -> str:
    """A workflow command; see "Workflow commands" in the documentation of GitHub Actions."""
    place = problem.location
    text = _one_line(f"{problem.message} ({problem.hint})" if problem.hint else problem.message)
    text = "\n".join((text, *(f"see {related}" for related in problem.related)))
    properties = (
        f"file={_property(place.path)},line={place.line},col={place.column},title={_property(problem.code)}"
    )
    return f"::{severity} {properties}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
