"""A role: which paths its accounts may call, and how.

The rule: a right is matched with `re.match` against the decoded path, so it must fit from the path's start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .location import Location
from .nodes import MapNode
from .problem import quoted
from .reading import Reading


@dataclass(frozen=True, slots=True)
class Authority:
    """A right: the methods that may be called on the paths that a regular expression matches."""

    regex: re.Pattern[str]
    methods: tuple[str, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role and its rights."""

    name: str
    location: Location
    authorities: tuple[Authority, ...]


def parse_role(node: MapNode, reading: Reading) -> RoleDefinition | None:
    """The role that a mapping defines."""
    rights = tuple(filter(None, (_right(item, reading) for item in node.maps("authorities"))))
    name = node.text("name")
    return None if name is None else RoleDefinition(name, node.value_location("name"), rights)


def _right(node: MapNode, reading: Reading) -> Authority | None:
    text = node.text("regex")
    if text is None:
        return None
    try:
        regex = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        message = f"{quoted(text)} is not a regular expression: {error}"
        reading.report.error(node.value_location("regex"), "regex", message)
        return None
    methods = tuple(str(item.value) for item in node.texts("methods"))
    return Authority(regex, methods, node.location)
