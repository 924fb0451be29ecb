"""Turns the text of a YAML file into nodes that know their location.

The rule: what a plain scalar means is decided here and not by PyYAML. `true`/`True`/`TRUE` and their like are
booleans, `null`, `~` and nothing are null, `-?(0|[1-9][0-9]*)` are integers, numbers with a point are floats;
every other word is text, so that `on`, `no`, `012`, `12:30:45` and `2026-01-01` stay as they were written. Merge keys
(`<<`) are refused: they hide which value is in force, and an alias can replace them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice

import yaml

from .nodes import ListNode, MapNode, Node, ScalarNode, Value
from .problem import Report, quoted
from .source import Source
from .yamlerror import report_yaml_error

MAX_DEPTH = 64
MAX_EXPANDED = 100_000
"""How many values the aliases of one file may stand for."""
_TEXT_OF_A_VALUE = 16
"""So many characters of a text count as one more value: an alias of a script is compiled each time."""

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CONSTANTS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
# An exponent needs its sign, as in every dump of PyYAML, where a plain `1.0e5` is text.
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HIDDEN = re.compile("[\x85\u2028\u2029\ufeff]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_HIDDEN_NAMES = {
    "\x85": ("the line break U+0085", r"\N"),
    "\u2028": ("the line break U+2028", r"\L"),
    "\u2029": ("the line break U+2029", r"\P"),
    "\r": ("a carriage return without a line feed, among lines that end otherwise,", r"\r"),
    "\ufeff": ("a byte order mark (U+FEFF) that is not at the start", r"\uFEFF"),
}
_MOST_TOLD = 20
_MOST_DIGITS = 4000  # Python parses longer ones in quadratic time
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "seq", "map")}


def documents(source: Source, report: Report) -> tuple[list[Node], bool]:
    """The documents of a file, and whether the whole file could be read. The report has what could not."""
    if not _is_plain_to_see(source, report):
        return [], False
    builder = _Builder(source, report)
    try:
        for event in yaml.parse(source.text, Loader=_PARSER):
            builder.take(event)
    except yaml.YAMLError as error:
        report_yaml_error(source, report, error)
        return builder.documents, False
    except _Stop:
        return builder.documents, False
    return builder.documents, not builder.failed


def _is_plain_to_see(source: Source, report: Report) -> bool:
    """Whether the file has the same lines for YAML, for Python and in an editor. If not, report it.

    YAML also ends a line at U+0085, U+2028 and U+2029, so a comment in a script could hide code.
    """
    bad = _UNPRINTABLE.search(source.text)
    if bad is not None:
        name = f"U+{ord(bad.group()):04X}"
        message = f"the control character {name} is not allowed in a YAML file"
        report.error(source.location(bad.start()), "yaml", message, hint='write it as an escape in "..."')
        return False
    found = list(islice(_HIDDEN.finditer(source.text), _MOST_TOLD))
    if "\r" in source.text and "\n" in source.text:
        found += islice(_LONE_RETURN.finditer(source.text), _MOST_TOLD)
    for hidden in found:
        what, escape = _HIDDEN_NAMES[hidden.group()]
        message = f"{what} is not allowed in a YAML file: editors do not show it as YAML reads it"
        hint = f'remove it, or write it as an escape in double quotes: "{escape}"'
        report.error(source.location(hidden.start()), "yaml", message, hint=hint)
    return not found


def _index(event: yaml.Event, *, end: bool = False) -> int:
    mark = event.end_mark if end else event.start_mark
    assert mark is not None
    return mark.index


class _Stop(Exception):
    """The rest of this file cannot be read. The report says why."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is still open."""

    start: int
    anchor: str | None
    keys: bool
    values: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Builder:
    """Builds the nodes from the parser's events, without recursion."""

    source: Source
    report: Report
    documents: list[Node] = field(default_factory=list)
    failed: bool = False
    _stack: list[_Open] = field(default_factory=list)
    _anchors: dict[str, tuple[Node, int, int] | None] = field(default_factory=dict)
    _expanded: int = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event), event.anchor, 1 + len(event.value) // _TEXT_OF_A_VALUE, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()

    def _error(self, index: int, code: str, message: str, hint: str | None = None) -> None:
        self.failed = True
        self.report.error(self.source.location(index), code, message, hint=hint)

    def _add(self, node: Node, anchor: str | None, size: int, height: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, size, height)
        if not self._stack:
            self.documents.append(node)
            return
        top = self._stack[-1]
        top.values.append(node)
        top.size += size
        top.height = max(top.height, height + 1)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        start = _index(event)
        self._tag(event.tag, start, ("map",) if isinstance(event, yaml.MappingStartEvent) else ("seq",))
        if len(self._stack) >= MAX_DEPTH:
            self._error(start, "too-large", f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(start, event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _close(self) -> None:
        done = self._stack.pop()
        node: Node
        if done.keys:
            entries = self._entries(done.values)
            node = MapNode(self.source, done.start, entries, len(entries) * 2 == len(done.values))
        else:
            node = ListNode(self.source, done.start, tuple(done.values))
        self._add(node, done.anchor, done.size, done.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        start, name = _index(event), event.anchor
        if name not in self._anchors:
            self._error(start, "yaml-alias", f"there is no anchor `&{name}` before this alias")
            raise _Stop
        found = self._anchors[name]
        if found is None:
            self._error(start, "yaml-alias", f"the alias `*{name}` is inside its own anchor")
            raise _Stop
        node, size, height = found
        self._expanded += size
        if self._expanded > MAX_EXPANDED or len(self._stack) + height > MAX_DEPTH + 1:
            limit = f"more than {MAX_EXPANDED} values or {MAX_DEPTH} levels"
            self._error(start, "too-large", f"the alias `*{name}` makes the file stand for {limit}")
            raise _Stop
        self._add(node, None, size, height)

    def _entries(self, values: list[Node]) -> dict[str, tuple[ScalarNode, Node]]:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, ScalarNode):
                self._error(key.start, "key-type", "a key must be text, not a list or a mapping")
            elif key.text == "<<" and not key.style:
                hint = "write the keys out, or share a whole value: `key: *name`"
                self._error(key.start, "merge-key", "merge keys (`<<`) are not supported", hint)
            elif not isinstance(key.value, str):
                quote = f'quote it: "{key.text}"' if key.text else None
                self._error(key.start, "key-type", f"a key must be text, not {quoted(key.value)}", quote)
            elif key.value in entries:
                first = entries[key.value][0].location
                self.failed = True
                self.report.error(
                    key.location,
                    "duplicate-key",
                    f"the key {quoted(key.value)} is in this mapping twice, first on line {first.line}",
                    hint="remove one of the two",
                    related=(first,),
                )
            else:
                entries[key.value] = (key, value)
        return entries

    def _tag(self, tag: str | None, start: int, allowed: tuple[str, ...]) -> str | None:
        """The standard type that a tag names. Any other tag is an error, and counts as no tag."""
        if tag is None or tag == "!":
            return None if tag is None else "str"
        name = _TAGS.get(tag)
        if name in allowed:
            return name
        written = "!!" + tag[18:] if tag.startswith("tag:yaml.org,2002:") else tag
        hint = "remove the tag: definitions are text, numbers, true/false, lists and mappings"
        self._error(start, "yaml-tag", f"the YAML tag {quoted(written)} is not allowed here", hint)
        return None

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        start, text = _index(event), event.value
        style = event.style if event.style and event.style in "'\"|>" else ""
        if event.tag is None:
            value: Value = self._resolve(text, start) if not style else text
        else:
            value = self._tagged(event.tag, text, start)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            self._error(start, "yaml", "half of a surrogate pair is not a character")
            value = ""
        return ScalarNode(self.source, start, _index(event, end=True), value, style, text)

    def _resolve(self, text: str, start: int) -> Value:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) <= _MOST_DIGITS:
                return int(text)
            self._error(start, "yaml-number", f"the integer {quoted(text)} is too long", "quote it")
        elif _FLOAT.fullmatch(text):
            number = float(text)
            if abs(number) != float("inf"):
                return number
            self._error(start, "yaml-number", f"the number {quoted(text)} is too large", "quote it")
        return text

    def _tagged(self, tag: str, text: str, start: int) -> Value:
        name = self._tag(tag, start, ("str", "int", "float", "bool", "null"))
        if name is None or name == "str":
            return text
        value = self._resolve(text, start)
        if name == "float" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if {bool: "bool", int: "int", float: "float"}.get(type(value), "null") != name or value == text:
            self._error(start, "yaml-tag", f"{quoted(text)} is not what its tag `!!{name}` says")
        return value
