"""Completion at the cursor: names, classes, fields, and FIFO names.

The one rule: **completion has no side effects.** Names and attributes are looked up, and nothing is called.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from framework.atom import Atom

_FIFO = re.compile(r"""\bFIFO\(\s*(["'])([^"'\\]*)$""")
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.(\w*)$")
_NAME = re.compile(r"[A-Za-z_]\w*$")
_CALL = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\($")


class Names:
    """The names in a namespace, and the names of the existing FIFOs."""

    def __init__(self, namespace: Mapping[str, Any], fifos: Callable[[], Iterable[str]]) -> None:
        self._namespace = namespace
        self._fifos = fifos

    def completions(self, before: str) -> tuple[str, list[str]]:
        """The beginning of a name at the end of ``before``, and its possible completions, sorted."""
        fifo = _FIFO.search(before)
        if fifo:
            return fifo[2], _that_begin(fifo[2], self._fifos())
        dotted = _DOTTED.search(before)
        if dotted:
            return dotted[2], _that_begin(dotted[2], self._attributes(dotted[1]))
        name = _NAME.search(before)
        begun = name[0] if name else ""
        fields = [f"{field}=" for field in self._fields(before.removesuffix(begun))]
        found = _that_begin(begun, fields)
        if found or not begun:
            return begun, found
        return begun, _that_begin(begun, [*self._namespace, *dir(builtins), *keyword.kwlist])

    def _attributes(self, dotted: str) -> list[str]:
        found = self._value(dotted)
        names = [] if found is None else list(dir(found))
        if isinstance(found, Atom):
            names += type(found).fieldnames()
        return names

    def _fields(self, before: str) -> list[str]:
        """The fields of the class, or of the instance's ``save``, that complete the argument at the cursor."""
        if not before.rstrip().endswith(("(", ",")):
            return []
        head = _open_call(before)
        if head is None:
            return []
        found = self._value(head)
        owner = getattr(found, "__self__", None)
        if isinstance(owner, Atom):
            found = type(owner)
        elif isinstance(owner, type):
            found = owner
        is_class = isinstance(found, type) and issubclass(found, Atom) and found is not Atom
        return list(found.fieldnames()) if is_class else []

    def _value(self, dotted: str) -> Any:
        first, *rest = dotted.split(".")
        try:
            found = self._namespace[first] if first in self._namespace else getattr(builtins, first)
            for name in rest:
                found = getattr(found, name)
        except Exception:  # it does not exist, or a property fails
            return None
        return found


def _open_call(before: str) -> str | None:
    """``atom.Tea`` of ``x = atom.Tea(kind="green", ``: the innermost open call."""
    depth = 0
    for position in range(len(before) - 1, -1, -1):
        character = before[position]
        if character == ")":
            depth += 1
        elif character == "(":
            if depth == 0:
                call = _CALL.search(before[: position + 1])
                return call[1] if call else None
            depth -= 1
    return None


def _that_begin(begun: str, names: Iterable[str]) -> list[str]:
    """Those with this prefix. Private ones only if the prefix begins with an underscore."""
    return sorted({name for name in names if name.startswith(begun) and (begun or not name.startswith("_"))})
