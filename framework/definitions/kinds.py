"""Tells which kind of definition a mapping is.

The rule: only the keys count, never the name or the location of the file. Exactly one kind must match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .nodes import ListNode, MapNode, ScalarNode
from .problem import Report, nearest, quoted

Kind = Literal["atom", "routing", "worker", "fifo", "module", "role"]


@dataclass(frozen=True, slots=True)
class Traits:
    """How a kind is recognized, and what it is called. `field` is the attribute of `Definitions` for this kind."""

    title: str
    signs: tuple[str, ...]
    field: str
    one: str
    many: str


KINDS: Mapping[Kind, Traits] = {
    "atom": Traits(
        "ATOM (`attributes` or `extends`)", ("attributes", "extends"), "atoms", "class", "classes"
    ),
    "routing": Traits("routing (`proxy`)", ("proxy",), "routes", "route", "routes"),
    "worker": Traits("worker (`mode` and `script`)", ("mode", "script"), "workers", "worker", "workers"),
    "fifo": Traits("FIFO policy (`fifo`)", ("fifo",), "fifos", "FIFO policy", "FIFO policies"),
    "module": Traits("module (`code`)", ("code",), "modules", "module", "modules"),
    "role": Traits(
        "role (`authorities` with `regex` and `methods`)", ("authorities",), "roles", "role", "roles"
    ),
}
"""Every kind of definition, in the order in which they are told."""

_SIGNS: dict[str, Kind] = {sign: kind for kind, traits in KINDS.items() for sign in traits.signs}

_OF_EXPORTS = ("created_at", "update", "workspace", "version")
_ELSEWHERE = {
    **dict.fromkeys(("scenario", "scenarios"), "scenario"),
    **dict.fromkeys(("daemon", "daemons"), "daemon"),
    **dict.fromkeys(("test", "tests", "testcases"), "test"),
}
"""What the platform keeps in folders of these names."""
_MOST_KEYS = 30


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
            f"this is more than one kind of definition: {' and '.join(KINDS[kind].title for kind in found)}",
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
    """Whether `authorities` is the list of a role, and not the hosts of a routing."""
    rights = node.get("authorities")
    if not isinstance(rights, ListNode):
        return False
    return any(not isinstance(item, ScalarNode) for item in rights.items) or not (
        rights.items or "target" in node.entries
    )


def _no_kind(node: MapNode, report: Report) -> None:
    hint, place = None, node.location
    exported = any(key in node.entries for key in _OF_EXPORTS)
    folders = node.source.path.replace("\\", "/").lower().split("/")[:-1]
    kind = next((_ELSEWHERE[name] for name in reversed(folders) if name in _ELSEWHERE), None)
    if exported and kind is not None:
        message = f"this is the export of a {kind} of the platform, which is not run here"
        report.warning(place, "not-run-here", message, hint="move the file out of the folder")
        return
    for key, (key_node, _) in node.entries.items():
        meant = nearest(key, _SIGNS)
        if meant and key not in _SIGNS:
            hint, place = f"did you mean `{meant}`?", key_node.location
            break
    if hint is None and exported:
        hint = "exports of scenarios, daemons and tests of the platform are not run here: move the file elsewhere"
    shown = [quoted(key) for key in islice(node.entries, _MOST_KEYS)]
    more = [f"and {len(node.entries) - _MOST_KEYS} more"] if len(node.entries) > _MOST_KEYS else []
    keys = ", ".join(shown + more) or "none"
    report.error(
        place,
        "no-kind",
        f"the keys ({keys}) do not tell what this is: {', '.join(traits.title for traits in KINDS.values())}",
        hint=hint,
    )
