"""The names that the nodes of a syntax tree bind, in any scope.

The rule: a name that `global` or `nonlocal` mentions counts twice, since another function binds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The variable that a node assigns a value of its own, and that value."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        targets = [node.target]
    else:
        return
    if len(targets) == 1 and isinstance(targets[0], ast.Name) and node.value is not None:
        yield targets[0].id, node.value


def binds(node: ast.AST) -> Iterator[str]:
    """The names that a node of a syntax tree binds."""
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names * 2  # bound elsewhere, by another function
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def own(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a scope, without those of its functions and classes."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.stmt):
            yield node
        waiting.extend(ast.iter_child_nodes(node))
