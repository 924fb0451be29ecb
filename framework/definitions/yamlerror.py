"""Messages for text that is not YAML.

The rule: the C parser reads the file. Only when it fails, the pure Python parser reads it again, because it reports
better what is wrong. The most common mistakes are explained in plain English, with what to do about them.
"""

from __future__ import annotations

import re

import yaml

from .location import Location
from .problem import Report
from .source import Source

_MAX_WORDED = 256 * 1024
_MAX_OPENED = 1000  # brackets: the pure parser examines all open ones for each token
_TOO_DEEP = "exceeded maximum nesting depth"


def _worded(source: Source, error: yaml.YAMLError) -> yaml.YAMLError:
    """The same mistake in the words of the pure parser, which says more. A long file is not read again."""
    opened = source.text.count("[") + source.text.count("{")
    if len(source.text) <= _MAX_WORDED and opened <= _MAX_OPENED:
        try:
            for _ in yaml.parse(source.text, Loader=yaml.SafeLoader):
                pass
        except yaml.YAMLError as worded:
            return worded
    return error


_PLAINER = (
    (
        re.compile(r"found character '\\t' that cannot start any token"),
        "a tab cannot be used here",
        "indent with spaces",
    ),
    (
        re.compile("mapping values are not allowed here"),
        "a `:` cannot stand here",
        "quote a text that has a colon in it, and align the keys of a mapping",
    ),
    (
        re.compile(r"could not find expected ':'"),
        "a `:` is missing after this key",
        "lines that belong to a text or script must be indented more than its key",
    ),
    (
        re.compile(r"expected <block end>, but found"),
        "this line does not fit the indentation before it",
        "align the keys of a mapping and the dashes of a list",
    ),
    (
        re.compile("found unexpected end of stream"),
        "the file ends inside a quoted text",
        "close the quotation mark",
    ),
    (
        re.compile(r"found character '(.)' that cannot start any token"),
        r"a text cannot start with `\1`",
        "quote the text",
    ),
    (
        re.compile(r"expected ',' or '(.)', but got"),
        r"a `,` or `\1` is missing before this",
        r"close what was opened",
    ),
    (re.compile("found unknown escape character"), "an unknown escape in a double-quoted text", "use '...'"),
)


def _visible(source: Source, index: int) -> int:
    """The end of the last line that has text. Something is missing there."""
    return index if index < len(source.text) else len(source.text.rstrip())


_BLOCK = re.compile(r"\s*(?:- +)*[^#\s].*?[:-] +(?:[&!]\S* +)*[|>][-+0-9]*\s*(?:#.*)?")
_KEY = re.compile(
    r"""\s*(?:(?:- +)*(?:[\w.$-]+|"[^"]*"|'[^']*')\s*:(?:\s.*)?|-(?:\s.*)?|---.*|\.\.\..*|%.*)"""
)


def _ended_block(source: Source, error: yaml.YAMLError, report: Report) -> bool:
    """Whether a line inside a script or text ended it because it stands too far left. If so, report that line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return False
    last = source.place(_visible(source, mark.index))[0]
    header = next((n for n in range(last - 1, 0, -1) if _BLOCK.fullmatch(source.line(n))), None)
    if header is None:
        return False
    lines = ((number, source.line(number)) for number in range(header + 1, last + 1))
    indent = None
    for number, text in lines:
        inside = len(text) - len(text.lstrip(" "))
        if not text.strip():
            continue
        indent = inside if indent is None else indent
        if inside < indent:
            if _KEY.fullmatch(text):
                return False
            message = "this line is indented less than the script or text around it, and ends it"
            hint = f"indent it by at least {indent} spaces, a comment too"
            report.error(Location(source.path, number, inside + 1), "yaml", message, hint=hint)
            return True
    return False


def report_yaml_error(source: Source, report: Report, error: yaml.YAMLError) -> None:
    """Report where and why a text is not YAML."""
    if _TOO_DEEP in str(getattr(error, "problem", "")):  # libyaml's own bound, which is beyond ours
        mark = getattr(error, "problem_mark", None)
        location = source.location(mark.index if mark is not None else 0)
        report.error(location, "too-large", "nested deeper than can be read")
        return
    error = _worded(source, error)
    if _ended_block(source, error, report):
        return
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    context, context_mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    index = _visible(source, mark.index) if mark is not None else 0
    related: tuple[Location, ...] = ()
    if context and context_mark is not None and _visible(source, context_mark.index) != index:
        related = (source.location(_visible(source, context_mark.index)),)
    for pattern, message, hint in _PLAINER:
        found = pattern.match(said)
        if found:
            report.error(source.location(index), "yaml", found.expand(message), hint=hint, related=related)
            return
    message = f"{context}: {said}" if context else said
    report.error(source.location(index), "yaml", f"this is not well-formed YAML: {message}", related=related)
