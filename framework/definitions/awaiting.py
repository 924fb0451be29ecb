"""Where Python uses a value as it is. A coroutine in such a place is never awaited.

The rule: no false alarm. A call in such a place is certain. A variable may have been awaited before or may be
awaited later, so it counts only in a place where every coroutine fails, or when the script passes it on nowhere.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

# Functions that take a value for what it is. `iter`, `next` and the like fail. The others make a string or a boolean
# of it.
_TAKE_VALUES = frozenset(
    (
        *("bool", "bytes", "dict", "enumerate", "float", "frozenset", "int", "iter", "len", "list", "next"),
        *("print", "repr", "reversed", "set", "sorted", "str", "sum", "tuple", "qprint"),
    )
)
_TAKE_JSON = frozenset(("json.dumps",))
_LOGGED = frozenset(("debug", "info", "warning", "error", "critical", "exception"))


@dataclass(frozen=True, slots=True)
class Use:
    """An expression that is used as it is."""

    value: ast.expr
    how: str = "await"
    fails: bool = True
    """Whether a coroutine raises here, so that no script means it."""


def uses(node: ast.AST, bound: Container[str] = ()) -> Iterator[Use]:
    """The values that a syntax node uses as they are. `bound` are the names that the script itself binds."""
    if isinstance(node, ast.Expr):
        yield Use(node.value, fails=False)
    elif isinstance(node, ast.For):
        yield Use(node.iter, "for ... in await")
    elif isinstance(node, ast.AsyncFor | ast.comprehension):
        yield Use(node.iter)
        if isinstance(node, ast.comprehension):
            yield from _tested(node.ifs)
    elif isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield from _tested([node.test])
    elif isinstance(node, ast.BoolOp):
        yield from _tested(node.values[:-1])
    elif isinstance(node, ast.UnaryOp):
        yield Use(node.operand, fails=not isinstance(node.op, ast.Not))
    elif isinstance(node, ast.BinOp):
        yield from (Use(one) for one in (node.left, node.right))
    elif isinstance(node, ast.Compare):
        yield from (Use(one, fails=False) for one in (node.left, *node.comparators))
    elif isinstance(node, ast.Match):
        yield Use(node.subject, fails=False)
    elif isinstance(node, ast.Subscript | ast.Starred | ast.FormattedValue):
        if not isinstance(getattr(node, "ctx", None), ast.Store):
            yield Use(node.value, fails=not isinstance(node, ast.FormattedValue))
    elif isinstance(node, ast.AugAssign) or _unpacks(node):
        yield Use(node.value)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        yield Use(node.exc)
    elif isinstance(node, ast.With | ast.AsyncWith):
        yield from (Use(item.context_expr, _how_entered(node)) for item in node.items)
    elif isinstance(node, ast.Call):
        yield Use(node.func)
        yield from _arguments(node, bound)


def answered(value: ast.expr) -> Iterator[Use]:
    """The parts of an answer: every part of a JSON value."""
    if isinstance(value, ast.Tuple | ast.List | ast.Set | ast.BoolOp):
        parts = value.values if isinstance(value, ast.BoolOp) else value.elts
    elif isinstance(value, ast.Dict):
        parts = value.values
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.ListComp):
        parts = [value.elt]
    elif isinstance(value, ast.DictComp):
        parts = [value.value]
    else:
        yield Use(value)
        return
    for part in parts:
        yield from answered(part)


def handed_on(nodes: Iterable[ast.AST], used: Iterable[Use]) -> set[str]:
    """The variables that stand anywhere else, where they may be awaited or given to something that awaits them."""
    places = {id(use.value) for use in used}
    nodes = list(nodes)
    places |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in places
    }


def _tested(conditions: Iterable[ast.expr]) -> Iterator[Use]:
    for one in conditions:
        if isinstance(one, ast.BoolOp):
            yield from _tested(one.values[-1:])  # the other operands are always tested
        else:
            yield Use(one, fails=False)


def _unpacks(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and any(isinstance(one, ast.Tuple | ast.List) for one in node.targets)


def _how_entered(node: ast.With | ast.AsyncWith) -> str:
    return "async with await" if isinstance(node, ast.AsyncWith) else "with await"


def _arguments(node: ast.Call, bound: Container[str]) -> Iterator[Use]:
    function = node.func
    if isinstance(function, ast.Name):
        if function.id in _TAKE_VALUES and function.id not in bound:
            yield from (Use(one, fails=False) for one in node.args)
        elif function.id == "finish" and function.id not in bound:
            yield from (use for one in node.args[:1] for use in answered(one))
    elif (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id not in bound
    ):
        is_log = function.value.id == "logger" and function.attr in _LOGGED
        if is_log or f"{function.value.id}.{function.attr}" in _TAKE_JSON:
            yield from (Use(one, fails=not is_log) for one in node.args)
