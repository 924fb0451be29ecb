"""A module: Python code that the scripts share, available as `context.NAME`.

The rule: a module's code sees the names that every script sees. It runs once in a process.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import dataclass

from .location import Location
from .names import COMMON_NAMES
from .nodes import MapNode
from .problem import quoted
from .reading import Reading
from .script import Script

SETTINGS = "settings"

_TAKEN: Mapping[str, str] = {
    SETTINGS: "it is what scripts read their settings from",
    **dict.fromkeys(
        ("run_modules", "_definitions", "_modules", "_scope"), "`context` has something of that name"
    ),
}
"""What cannot be the name of a module, and why."""


@dataclass(frozen=True, slots=True)
class ModuleDefinition:
    """A module."""

    name: str
    location: Location
    script: Script


def parse_module(node: MapNode, reading: Reading) -> ModuleDefinition | None:
    """The module that a mapping defines."""
    name, scalar = node.text("name"), node.scalar("code")
    if name is not None and (name in _TAKEN or name.startswith("__") or keyword.iskeyword(name)):
        location = node.value_location("name")
        taken = _TAKEN.get(name, "it is a word of Python")
        reading.report.error(location, "wrong-value", f"a module cannot be called {quoted(name)}: {taken}")
    if scalar is None or not isinstance(scalar.value, str):
        return None
    script = reading.script(scalar, name=name or "module", names=COMMON_NAMES)
    if name is None or script is None:
        return None
    return ModuleDefinition(name, node.value_location("name"), script)
