"""Tells which kind of definition a mapping is.

The rule: the keys alone tell, never the file's name or its place. Exactly one kind must fit.
"""

from __future__ import annotations

from typing import Literal

from .nodes import ListNode, MapNode, ScalarNode
from .problem import Report, nearest, quoted

Kind = Literal["atom", "routing", "worker", "fifo", "module", "role"]

_TITLES: dict[Kind, str] = {
    "atom": "ATOM (`attributes` or `extends`)",
    "routing": "routing (`proxy`)",
    "worker": "worker (`mode` and `script`)",
    "fifo": "FIFO policy (`fifo`)",
    "module": "module (`code`)",
    "role": "role (`authorities` with `regex` and `methods`)",
}
_SIGNS: dict[str, Kind] = {
    "attributes": "atom",
    "extends": "atom",
    "proxy": "routing",
    "mode": "worker",
    "script": "worker",
    "fifo": "fifo",
    "code": "module",
    "authorities": "role",
}


def kind_of(node: MapNode, report: Report) -> Kind | None:
    """The kind of a definition; `None`, with an error in the report, when there is not exactly one."""
    found = list(dict.fromkeys(kind for key, kind in _SIGNS.items() if _shows(node, key)))
    if len(found) == 1:
        return found[0]
    if found:
        keys = [key for key, kind in _SIGNS.items() if kind in found and _shows(node, key)]
        report.error(
            node.key_location(keys[-1]),
            "two-kinds",
            f"this is more than one kind of definition: {' and '.join(_TITLES[kind] for kind in found)}",
            hint="keep the keys of one kind, and put the others into a definition of their own",
            related=tuple(node.key_location(key) for key in keys[:-1]),
        )
        return None
    _no_kind(node, report)
    return None


def _shows(node: MapNode, key: str) -> bool:
    if key not in node.entries:
        return False
    if key == "authorities":
        return "proxy" not in node.entries and _are_rights(node)
    return True


def _are_rights(node: MapNode) -> bool:
    """Whether `authorities` is a role's list, and not the list of hosts of a routing."""
    rights = node.get("authorities")
    if not isinstance(rights, ListNode):
        return False
    return any(not isinstance(item, ScalarNode) for item in rights.items) or not (
        rights.items or "target" in node.entries
    )


def _no_kind(node: MapNode, report: Report) -> None:
    hint, place = None, node.location
    for key, (key_node, _) in node.entries.items():
        meant = nearest(key, _SIGNS)
        if meant and key not in _SIGNS:
            hint, place = f"did you mean `{meant}`?", key_node.location
            break
    keys = ", ".join(quoted(key) for key in node.entries) or "none"
    report.error(
        place,
        "no-kind",
        f"the keys ({keys}) do not tell what this is: {', '.join(_TITLES.values())}",
        hint=hint,
    )
