"""What the compiler adds to the syntax tree of a script while it compiles it.

The rule: afterwards the tree is again as the script was written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from .trees import walk

ROOT = "__ROOT__"
"""What a coroutine method of an instance sees: the instance that the call began with."""

ROOT_OF = "__root_of__"
"""The function of the runtime that tells it."""

NAMESPACE = "<namespace>"
"""The metaclass of the class statement around a method: it hands out what was bound, and makes no class."""


@contextmanager
def returns_with_lines(tree: ast.Module | None) -> Iterator[None]:
    """During compilation, each `return` of a script returns its line beside its value.

    The line cannot be found out afterwards: a `finally` and the end of a `with` run later.
    """
    returns = _returns(tree.body[0]) if tree is not None else []
    values = [node.value for node in returns]
    for node, value in zip(returns, values, strict=True):
        if value is not None:
            line = ast.copy_location(ast.Constant(node.lineno), value)
            node.value = ast.copy_location(ast.Tuple([line, value], ast.Load()), value)
    try:
        yield
    finally:
        for node, value in zip(returns, values, strict=True):
            node.value = value


@contextmanager
def asking_for_root(tree: ast.Module | None) -> Iterator[None]:
    """During compilation, a coroutine method begins by asking for its `__ROOT__`."""
    around = tree.body[0] if tree is not None else None
    method = around.body[0] if isinstance(around, ast.ClassDef) else None
    first = _first_argument(method) if isinstance(method, ast.AsyncFunctionDef) else None
    if first is None or not isinstance(method, ast.AsyncFunctionDef):
        yield
        return
    asked = ast.Call(ast.Name(ROOT_OF, ast.Load()), [first], [])
    statement: ast.stmt = ast.Assign([ast.Name(ROOT, ast.Store())], asked)
    for node in walk(statement):
        if isinstance(node, ast.stmt | ast.expr):
            ast.copy_location(node, method)
    place = 1 if ast.get_docstring(method, clean=False) is not None else 0
    method.body.insert(place, statement)
    try:
        yield
    finally:
        method.body.remove(statement)


def _first_argument(method: ast.AsyncFunctionDef) -> ast.expr | None:
    """An expression for the instance that a method was called with."""
    named = [*method.args.posonlyargs, *method.args.args]
    if named:
        return ast.Name(named[0].arg, ast.Load())
    if method.args.vararg is not None:
        return ast.Subscript(ast.Name(method.args.vararg.arg, ast.Load()), ast.Constant(0), ast.Load())
    return None


def _returns(function: ast.AST) -> list[ast.Return]:
    """The `return` statements of a function, without those of functions inside it."""
    found: list[ast.Return] = []
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            found.append(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def class_statement(name: str) -> ast.Module:
    """`class NAME`, empty. It makes `super()` and private names mean in a method what they mean in Python."""
    whole = ast.parse("class _(metaclass=_): pass")
    statement = whole.body[0]
    assert isinstance(statement, ast.ClassDef)
    statement.name = name
    statement.keywords[0].value = ast.Name(NAMESPACE, ast.Load())
    return whole
