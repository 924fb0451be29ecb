"""Walks through Python's syntax trees.

The one rule: **a walk costs as little as possible.** A file of 1 MiB has half a million nodes and is walked many
times. ``ast.walk`` takes several times as long, half of it for the contexts of names and attributes.
"""

from __future__ import annotations

import ast

_NO_NODES = frozenset(("ctx", "id", "attr", "kind", "type_comment"))
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _NO_NODES)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def walk(tree: ast.AST) -> list[ast.AST]:
    """The nodes of a tree, beginning with itself, in the order of ``ast.walk``, without the contexts
    (``ast.Load``)."""
    nodes = [tree]
    for node in nodes:  # it grows during the loop
        for name in _FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif type(value) is list:
                nodes += [one for one in value if isinstance(one, ast.AST)]
    return nodes
