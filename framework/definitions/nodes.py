"""The values of a YAML file, each with its location.

The rule: nodes are read through getters that treat a value of the wrong type as absent. The schema has reported it by
then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .location import Location
from .source import Source

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarNode:
    """A single value: its `text`, and its `style`, which is a quote, a block indicator, or empty for a plain
    scalar."""

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
    """A mapping. The getters treat a value of the wrong type as absent: the schema has reported it by then."""

    source: Source = field(repr=False)
    start: int
    entries: dict[str, tuple[ScalarNode, Node]]
    whole: bool = True
    """Whether all its keys could be read."""

    @property
    def location(self) -> Location:
        return self.source.location(self.start)

    def get(self, key: str) -> Node | None:
        """The node of a key. A null is the same as no key."""
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


def plain(node: Node) -> object:
    """A node's value as ordinary Python data."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}
