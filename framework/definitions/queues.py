"""Which FIFOs the scripts fill and which they read, as far as their source says so.

The rule: only constant names count, and only what is certain. A FIFO that is passed on in any way may be read.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from .trees import walk

_PUTS = frozenset(("put", "put_many"))


@dataclass(slots=True)
class Queues:
    """What one script does with FIFOs. `known` is false if that cannot be determined."""

    puts: dict[str, ast.expr] = field(default_factory=dict)
    reads: dict[str, ast.expr] = field(default_factory=dict)
    mentions: set[str] = field(default_factory=set)
    known: bool = True


def queues(tree: ast.AST) -> Queues:
    """Analyse a script."""
    found = Queues()
    nodes = walk(tree)
    if any(map(_binds_fifo, nodes)):
        return found
    parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
    variables: dict[str, list[str | None]] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id == "FIFO":
            _take(node, parents, found)
        for name, value in _assigned(node):
            variables.setdefault(name, []).append(_constant_name(value))
    for node in nodes:
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                read = _constant_name(item.context_expr) or _by_variable(item.context_expr, variables)
                if read is not None:
                    found.reads.setdefault(read, item.context_expr)
    return found


def _take(node: ast.Name, parents: dict[ast.AST, ast.AST], found: Queues) -> None:
    """Note one use of `FIFO`."""
    parent = parents.get(node)
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    name = _constant_name(call)
    attribute = None if call is None else parents.get(call)
    is_put = isinstance(attribute, ast.Attribute) and attribute.attr in _PUTS
    if name is None:
        found.known = found.known and is_put
    elif is_put:
        assert call is not None
        found.puts.setdefault(name, call)
    else:
        found.mentions.add(name)


def _constant_name(node: ast.AST | None) -> str | None:
    """The name in `FIFO("name")`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "FIFO"):
        return None
    if len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
        return node.args[0].value
    return None


def _assigned(node: ast.AST) -> list[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.Assign):
        return [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
        return [(node.target.id, node.value)]
    return []


def _by_variable(node: ast.expr, variables: dict[str, list[str | None]]) -> str | None:
    values = variables.get(node.id, []) if isinstance(node, ast.Name) else []
    return values[0] if len(values) == 1 else None


def _binds_fifo(node: ast.AST) -> bool:
    """Whether a node gives the name FIFO another meaning."""
    if isinstance(node, ast.Name):
        return node.id == "FIFO" and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.arg):
        return node.arg == "FIFO"
    if isinstance(node, ast.alias):
        return (node.asname or node.name) in ("FIFO", "*")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == "FIFO"
