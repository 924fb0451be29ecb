"""The signature of a Python function as a stub shows it.

The rule: an annotation is shown if the stub knows all of its names. Otherwise it is `Any`.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Iterable

from framework.definitions.names import MODULES

Function = ast.FunctionDef | ast.AsyncFunctionDef

ANY = "_Any"

IMPORTS = """\
import builtins as _builtins
import datetime as _datetime
from collections.abc import AsyncIterator as _AsyncIterator, Mapping as _Mapping, Sequence as _Sequence
from typing import Any as _Any, ClassVar as _ClassVar, Literal as _Literal, Self as _Self

from framework.atom import Atom as _Atom
from framework.values.mu import MU as _MU
"""
"""What stubs import: under names that no class, field or method has."""

_KNOWN = {"MU": "_MU", "Any": ANY, "datetime": "_datetime"}


class Annotations:
    """Writes annotations in a stub. ``classes`` are those that the stub defines."""

    def __init__(self, classes: Iterable[str] = (), *, taken: Iterable[str] = (), prefix: str = "") -> None:
        self._classes = frozenset(classes)
        self._taken = frozenset(taken)
        self._prefix = prefix
        self.modules: set[str] = set()

    def builtin(self, name: str) -> str:
        """A builtin, qualified by its module if a member of the class has the same name."""
        return f"_builtins.{name}" if name in self._taken else name

    def cls(self, name: str) -> str:
        """A class of the definitions."""
        return f"_atom.{name}" if self._prefix or name in self._taken else name

    def shown(self, node: ast.expr | None) -> str:
        """An annotation, or `Any` where it is missing or means something that the stub does not know."""
        if node is None:
            return ANY
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError, RecursionError):
                return ANY
        try:
            return ast.unparse(_Renamed(self).visit(copy.deepcopy(node)))
        except (_Unknown, RecursionError):
            return ANY

    def name(self, name: str) -> str:
        """The stub's name for a name in a script."""
        if name in _KNOWN:
            return _KNOWN[name]
        if name in self._classes:
            return self.cls(name)
        if name in MODULES:
            self.modules.add(name)
            return f"_{name}"
        if hasattr(builtins, name):
            return self.builtin(name)
        raise _Unknown


class _Unknown(Exception):
    """An annotation has a name that the stub does not know."""


class _Renamed(ast.NodeTransformer):
    """Puts the stub's names into an annotation. Anything that is not part of a type is unknown."""

    def __init__(self, annotations: Annotations) -> None:
        self._annotations = annotations

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, ast.Subscript | ast.Tuple | ast.BinOp | ast.BitOr | ast.expr_context):
            raise _Unknown
        return super().generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.value, ast.Name):
            raise _Unknown
        if node.value.id == "atom":
            return ast.Name(self._annotations.name(node.attr), ast.Load())
        if node.value.id not in MODULES:
            raise _Unknown
        return ast.Attribute(self.visit_Name(node.value), node.attr, ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._annotations.name(node.id), ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if node.value is not None and node.value is not ...:
            raise _Unknown
        return node


def signature(function: Function, annotations: Annotations, *, own: bool = False) -> str:
    """`def name(…) -> …: ...` in one line. ``own``: the first argument is the class's or instance's own."""
    arguments = function.args
    parts: list[str] = []
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = len(positional) - len(arguments.defaults)
    for number, argument in enumerate(positional):
        if own and number == 0:
            parts.append(argument.arg)
        else:
            parts.append(_argument(argument, annotations, has_default=number >= defaults))
        if number + 1 == len(arguments.posonlyargs):
            parts.append("/")
    if arguments.vararg is not None:
        parts.append(f"*{_argument(arguments.vararg, annotations)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_argument(argument, annotations, has_default=default is not None))
    if arguments.kwarg is not None:
        parts.append(f"**{_argument(arguments.kwarg, annotations)}")
    returned = ANY if _is_generator(function) else annotations.shown(function.returns)
    word = (
        "async def" if isinstance(function, ast.AsyncFunctionDef) and not _is_generator(function) else "def"
    )
    return f"{word} {function.name}({', '.join(parts)}) -> {returned}: ..."


def _argument(argument: ast.arg, annotations: Annotations, *, has_default: bool = False) -> str:
    text = f"{argument.arg}: {annotations.shown(argument.annotation)}"
    return f"{text} = ..." if has_default else text


def _is_generator(function: Function) -> bool:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def imported(modules: Iterable[str]) -> str:
    """The import of each module that annotations name."""
    return "".join(f"import {name} as _{name}\n" for name in sorted(modules) if name != "datetime")
