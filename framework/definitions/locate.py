"""Turns the text of a YAML file into nodes that know where they stand.

The rule: what a plain scalar means is decided here and not by PyYAML. `true`/`True`/`TRUE` and their like are
booleans, `null`, `~` and nothing are null, `-?(0|[1-9][0-9]*)` are integers, numbers with a point are floats;
every other word is text, so that `on`, `no`, `012`, `12:30:45` and `2026-01-01` stay what was written.
Merge keys (`<<`) are refused: they hide which value is in force, and an alias does what they are good for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from .location import Location
from .problem import Report, quoted
from .source import Source

MAX_DEPTH = 64
MAX_EXPANDED = 100_000
"""How many nodes the aliases of one file may stand for."""

_PARSERS = (getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader)
_MAX_WORDED = 256 * 1024

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
# An exponent must carry its sign, as in every dump of PyYAML: there a plain `1.0e5` is text.
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "seq", "map")}

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarNode:
    """A single value: its `text`, and its `style`, a quote or block indicator or nothing for a plain one."""

    source: Source = field(repr=False)
    start: int
    end: int
    value: Value
    style: str
    text: str

    @property
    def location(self) -> Location:
        return self.source.location(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class ListNode:
    """A list of nodes."""

    source: Source = field(repr=False)
    start: int
    items: tuple[Node, ...]

    @property
    def location(self) -> Location:
        return self.source.location(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class MapNode:
    """A mapping. The getters take a value of another type for absent: the schema has reported it by then."""

    source: Source = field(repr=False)
    start: int
    entries: dict[str, tuple[ScalarNode, Node]]

    @property
    def location(self) -> Location:
        return self.source.location(self.start)

    def get(self, key: str) -> Node | None:
        """The node of a key; a null is the same as no key."""
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry[1], ScalarNode) and entry[1].value is None):
            return None
        return entry[1]

    def key_location(self, key: str) -> Location:
        """Where a key stands, and where the mapping starts if it has no such key."""
        entry = self.entries.get(key)
        return entry[0].location if entry else self.location

    def value_location(self, key: str) -> Location:
        """Where a key's value stands, and where the mapping starts if it has no such key."""
        entry = self.entries.get(key)
        return entry[1].location if entry else self.location

    def scalar(self, key: str) -> ScalarNode | None:
        node = self.get(key)
        return node if isinstance(node, ScalarNode) else None

    def text(self, key: str) -> str | None:
        node = self.get(key)
        return node.value if isinstance(node, ScalarNode) and isinstance(node.value, str) else None

    def flag(self, key: str, default: bool) -> bool:
        node = self.get(key)
        return node.value if isinstance(node, ScalarNode) and isinstance(node.value, bool) else default

    def number(self, key: str) -> float | int | None:
        node = self.get(key)
        value = node.value if isinstance(node, ScalarNode) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def integer(self, key: str) -> int | None:
        value = self.number(key)
        return int(value) if value is not None and value == value and abs(value) < 2**63 else None

    def map(self, key: str) -> MapNode | None:
        node = self.get(key)
        return node if isinstance(node, MapNode) else None

    def items(self, key: str) -> tuple[Node, ...]:
        node = self.get(key)
        return node.items if isinstance(node, ListNode) else ()

    def maps(self, key: str) -> Iterator[MapNode]:
        return (item for item in self.items(key) if isinstance(item, MapNode))

    def texts(self, key: str) -> Iterator[ScalarNode]:
        return (i for i in self.items(key) if isinstance(i, ScalarNode) and isinstance(i.value, str))


Node = ScalarNode | ListNode | MapNode


def plain(node: Node, *, nulls: bool = True) -> object:
    """A node's value as ordinary Python data; with `nulls=False` keys whose value is null are left out."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item, nulls=nulls) for item in node.items]
    return {
        key: plain(value, nulls=nulls)
        for key, (_, value) in node.entries.items()
        if nulls or not isinstance(value, ScalarNode) or value.value is not None
    }


def documents(source: Source, report: Report) -> tuple[list[Node], bool]:
    """The documents of a file, and whether all of it could be read; what could not is in the report."""
    bad = _UNPRINTABLE.search(source.text)
    if bad:
        name = f"U+{ord(bad.group()):04X}"
        message = f"the control character {name} is not allowed in a YAML file"
        report.error(source.location(bad.start()), "yaml", message, hint='write it as an escape in "..."')
        return [], False
    builder = _Builder(source, report)
    try:
        for event in yaml.parse(source.text, Loader=_PARSERS[0]):
            builder.take(event)
    except yaml.YAMLError as error:
        _report_yaml_error(source, report, _worded(source, error))
        return builder.documents, False
    except _Stop:
        return builder.documents, False
    return builder.documents, not builder.failed


def _index(event: yaml.Event, *, end: bool = False) -> int:
    mark = event.end_mark if end else event.start_mark
    assert mark is not None
    return mark.index


class _Stop(Exception):
    """The rest of this file cannot be read; the report says why."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

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
            self._add(self._scalar(event), event.anchor, 1, 1)
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
            node = MapNode(self.source, done.start, self._entries(done.values))
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
            self._error(start, "yaml-alias", f"the alias `*{name}` stands inside what it stands for")
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
                    f"the key {quoted(key.value)} stands twice in this mapping, first on line {first.line}",
                    hint="remove one of the two",
                    related=(first,),
                )
            else:
                entries[key.value] = (key, value)
        return entries

    def _tag(self, tag: str | None, start: int, allowed: tuple[str, ...]) -> str | None:
        """The standard type that a tag names; any other tag is an error and counts as none."""
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
            self._error(start, "yaml", "half of a surrogate pair is no character")
            value = ""
        return ScalarNode(self.source, start, _index(event, end=True), value, style, text)

    def _resolve(self, text: str, start: int) -> Value:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            try:
                return int(text)
            except ValueError:
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


def _worded(source: Source, error: yaml.YAMLError) -> yaml.YAMLError:
    """The same mistake in the words of the pure parser, which says more; a long file is not read again."""
    if len(source.text) <= _MAX_WORDED:
        try:
            for _ in yaml.parse(source.text, Loader=_PARSERS[1]):
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
    (re.compile("found unknown escape character"), "an unknown escape in a double-quoted text", "use '...'"),
)


def _report_yaml_error(source: Source, report: Report, error: yaml.YAMLError) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    context, context_mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    index = min(mark.index, len(source.text)) if mark is not None else 0
    related: tuple[Location, ...] = ()
    if context and context_mark is not None and context_mark.index != index:
        related = (source.location(min(context_mark.index, len(source.text))),)
    for pattern, message, hint in _PLAINER:
        found = pattern.match(said)
        if found:
            report.error(source.location(index), "yaml", found.expand(message), hint=hint, related=related)
            return
    message = f"{context}: {said}" if context else said
    report.error(source.location(index), "yaml", f"this is not well-formed YAML: {message}", related=related)
