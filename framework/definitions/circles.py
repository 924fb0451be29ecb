"""The names on a cycle in a graph of names.

The rule: Tarjan's algorithm without recursion. The time grows with the length of a chain, and no chain is too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


def in_circles(leads: Mapping[str, Iterable[str]]) -> set[str]:
    """The names that lead back to themselves, directly or through others."""
    found: set[str] = set()
    order: dict[str, int] = {}  # the order in which names were visited
    low: dict[str, int] = {}  # the earliest reachable name
    open_: dict[str, None] = {}  # visited, and not yet in a component
    for start in leads:
        waiting: list[tuple[str, Iterator[str]]] = []
        name: str | None = None if start in order else start
        while name is not None or waiting:
            if name is not None:
                order[name] = low[name] = len(order)
                open_[name] = None
                waiting.append((name, iter([one for one in leads[name] if one in leads])))
            here, following = waiting[-1]
            name = next((one for one in following if _is_new(one, here, order, low, open_)), None)
            if name is None:
                waiting.pop()
                if waiting:
                    above = waiting[-1][0]
                    low[above] = min(low[above], low[here])
                if low[here] == order[here]:
                    component = _taken(open_, here)
                    if len(component) > 1 or here in leads[here]:
                        found.update(component)
    return found


def _is_new(
    name: str, here: str, order: Mapping[str, int], low: dict[str, int], open_: Mapping[str, None]
) -> bool:
    """Whether a name is visited for the first time. If not, note what it leads to."""
    if name not in order:
        return True
    if name in open_:
        low[here] = min(low[here], order[name])
    return False


def _taken(open_: dict[str, None], last: str) -> list[str]:
    """The names visited since `last`, and `last` itself."""
    component = []
    while True:
        name, _ = open_.popitem()
        component.append(name)
        if name == last:
            return component
