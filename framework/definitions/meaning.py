"""The meaning of a script's expressions, as far as it is certain: built-in objects, classes, instances, coroutines.

The rule: a variable that is bound once is what it is bound to. Anything else is unknown.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .atom import AtomDefinition
from .bindings import assigned, binds
from .interfaces import Signature, interface
from .names import COMMON_NAMES
from .script import Compiled

# The kinds of nodes that a script may have most of, and that are asked in vain.
_BIND_NOTHING = frozenset((ast.Attribute, ast.Call, ast.Constant, ast.Expr))

_DEEPEST = 24
"""So many steps an expression is followed, `a.b.c` has three: the time for long chains would grow with the square."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The meaning of an expression, as far as it is known."""

    what: str  # a built-in object, `class`, `instance`, `coroutine`, or `method`: one that gives a coroutine
    shown: str
    atom: AtomDefinition | None = None
    gives: Kind | None = None  # the result of a coroutine, or the coroutine of a method
    open: bool = False  # whether it may have unknown members: `self` may be a child


@dataclass(slots=True)
class Meaning:
    """The expressions of one script."""

    compiled: Compiled
    classes: Mapping[str, AtomDefinition]
    bound: Counter[str] = field(default_factory=Counter)
    """How often the script binds each name, in whatever scope."""
    _values: dict[str, ast.expr] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _first: str | None = None
    _depth: int = 0
    _kinds: dict[ast.expr, Kind | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls, compiled: Compiled, classes: Mapping[str, AtomDefinition], nodes: Iterable[ast.AST]
    ) -> Meaning:
        """The meaning of a script with these nodes, among these classes."""
        made = cls(compiled, classes)
        for node in nodes:
            if type(node) not in _BIND_NOTHING:
                made.bound.update(binds(node))
                made._values.update(assigned(node))
        body = compiled.body()
        if compiled.script.owner is not None and len(body) == 1:
            function = body[0]
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.args.args:
                made._first = function.args.args[0].arg
        return made

    def kind(self, node: ast.expr) -> Kind | None:
        """The meaning of an expression, or None if it is not certain."""
        if node in self._kinds:
            return self._kinds[node]
        self._depth += 1
        try:
            found = self._kind(node) if self._depth <= _DEEPEST else None
        finally:
            self._depth -= 1
        if not self._busy:
            self._kinds[node] = found
        return found

    def _kind(self, node: ast.expr) -> Kind | None:
        if isinstance(node, ast.Name):
            return self._of_name(node.id)
        if isinstance(node, ast.Attribute):
            if self.is_builtin(node.value, "atom") and node.attr in self.classes:
                return Kind("class", f"atom.{node.attr}", self.classes[node.attr])
            return self._of_method(node)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.Await):
            inner = self.kind(node.value)
            return inner.gives if inner is not None and inner.what == "coroutine" else None
        if isinstance(node, ast.NamedExpr):
            return self.kind(node.value)
        return None

    def _of_name(self, name: str) -> Kind | None:
        if name == self._first and self.bound[name] == 1:
            owner = self.classes.get(self.compiled.script.owner or "")
            what = "class" if name == "cls" else "instance"
            return Kind(what, name, owner, open=True) if owner is not None else None
        if name in ("request", "response") and self.is_parameter(name):
            return Kind(name, name)
        if name == "Runtime" and not self.bound[name]:
            return Kind("Runtime", name)
        value = self._values.get(name)
        if value is None or self.bound[name] != 1 or name in self._busy:
            return None
        self._busy.add(name)
        found = self.kind(value)
        self._busy.discard(name)
        return replace(found, shown=name) if found is not None else None

    def is_parameter(self, name: str) -> bool:
        """Whether a name is a parameter of routing scripts."""
        return name in self.compiled.script.parameters and not self.bound[name]

    def is_builtin(self, node: ast.expr, name: str) -> bool:
        """Whether an expression is this built-in object, by its own name or by another one."""
        if isinstance(node, ast.Name) and self.bound[node.id] == 1:  # another name for it
            node = self._values.get(node.id, node)
        return (
            isinstance(node, ast.Name) and node.id == name and not self.bound[name] and name in COMMON_NAMES
        )

    def _of_method(self, node: ast.Attribute) -> Kind | None:
        owner = self.kind(node.value)
        method = self.signature(owner, node.attr) if owner is not None else None
        if owner is None or method is None or not method.is_coroutine:
            return None
        one = owner.atom is not None and node.attr in ("save", "load")
        gives = replace(owner, what="instance", shown="it") if one else None
        shown = f"{owner.shown}.{node.attr}"
        return Kind("method", shown, gives=Kind("coroutine", f"{shown}(...)", gives=gives))

    def _of_call(self, node: ast.Call) -> Kind | None:
        for name in ("FIFO", "Cache"):
            if self.is_builtin(node.func, name):
                return Kind(name, f"{name}(...)")
        if self.is_builtin(node.func, "callout"):
            return Kind("coroutine", "callout(...)")
        made = self.kind(node.func)
        if made is not None and made.what == "class":
            return replace(made, what="instance")
        return made.gives if made is not None and made.what == "method" else None

    def signature(self, owner: Kind, name: str) -> Signature | None:
        """The parameters of a method, or None if the method is missing or unknown."""
        if owner.what in ("coroutine", "method"):
            return None
        if owner.atom is not None:
            for method in (*owner.atom.class_methods, *owner.atom.instance_methods):
                if method.name == name:
                    return Signature(any_number=True, free=True, is_coroutine=False)
            return interface("atom").method(name)
        return interface(owner.what).method(name)

    def gives_many(self, node: ast.expr) -> bool:
        """Whether an expression is a call that gives what `async for` takes."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            return False
        owner = self.kind(node.func.value)
        method = self.signature(owner, node.func.attr) if owner is not None else None
        return method is not None and method.is_generator
