"""A role: which paths its accounts may call, and with which methods.

The rule: a right is matched with `re.match` against the decoded path, so it must match from the start of the path.
Its classes are those of ASCII: `\\d` matches 0 to 9, and no digit of another script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .backtracking import repeats_a_repetition
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


# A variable of a path template, which a regular expression would match literally.
_VARIABLE = re.compile(r"(?<!\\)\{([A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role and its rights."""

    name: str
    location: Location
    authorities: tuple[Authority, ...]


def parse_role(node: MapNode, reading: Reading) -> RoleDefinition | None:
    """The role that a mapping defines."""
    rights = tuple(filter(None, (_right(item, reading) for item in node.maps("authorities"))))
    name = reading.label(node, "name", "a role")
    return None if name is None else RoleDefinition(name, node.value_location("name"), rights)


def _right(node: MapNode, reading: Reading) -> Authority | None:
    text = node.text("regex")
    if text is None:
        return None
    try:
        regex = re.compile(text, re.ASCII)
    except (re.error, ValueError, RecursionError, OverflowError) as error:  # ValueError: (?u), (?L)
        message = f"{quoted(text)} is not a regular expression: {error}"
        reading.report.error(node.value_location("regex"), "regex", message)
        return None
    variable = _VARIABLE.search(text)
    if variable is not None:
        message = f"{quoted(text)} has {quoted(variable[0])}, which matches these very characters only"
        hint = f"write `[^/]+` for one segment of a path: {quoted(_VARIABLE.sub('[^/]+', text))}"
        reading.report.warning(node.value_location("regex"), "regex-variable", message, hint=hint)
    if repeats_a_repetition(text):
        message = (
            f"{quoted(text)} repeats a repetition: one long path can take for ever, and nobody else is served"
        )
        hint = "repeat once, `a+` for `(a+)+`, or begin each round with what it cannot contain: `(/[^/]+)*`"
        reading.report.warning(node.value_location("regex"), "regex-slow", message, hint=hint)
    methods = tuple(str(item.value) for item in node.texts("methods"))
    return Authority(regex, methods, node.location)
