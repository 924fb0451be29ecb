"""How scripts use the built-in objects and classes: members and arguments that exist, coroutines that are awaited.

The rule: no false alarm. Only what is certain counts: a name that nothing in the script binds, a variable that is
bound once, a call without `*`. A coroutine that is handed on may be awaited there.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .atom import AtomDefinition
from .interfaces import Signature, call, interface
from .names import COMMON_NAMES
from .problem import Report, quoted
from .script import Compiled

_COROUTINE = frozenset(
    ("send", "throw", "close", "cr_await", "cr_code", "cr_frame", "cr_running", "cr_origin")
)
_WITH_FIELDS = frozenset(("save", "retrieve", "iterate", "count"))
_IDENTITY = ("instance", "xid", "xname")
_OF_CLASSES = frozenset(("key_field", "mro", "definition", "metadata"))
_BODILY = frozenset(("json", "text", "form", "data", "args", "params", "query_params", "get_json", "cookies"))


@dataclass(frozen=True, slots=True)
class Kind:
    """What an expression is, as far as it is known."""

    what: str  # a built-in object, `class`, `instance`, or `coroutine`
    shown: str
    atom: AtomDefinition | None = None
    gives: Kind | None = None  # of a coroutine
    open: bool = False  # whether it may have more than is known: `self` of a child


def check_usage(
    compiled: Compiled, classes: Mapping[str, AtomDefinition], report: Report, *, routing: bool
) -> None:
    """Report what a script does with built-in objects and classes that cannot work."""
    _Usage(compiled, classes, report, routing).check()


@dataclass(slots=True)
class _Usage:
    """The rules on one script."""

    compiled: Compiled
    classes: Mapping[str, AtomDefinition]
    report: Report
    routing: bool
    _bound: Counter[str] = field(default_factory=Counter)
    _values: dict[str, ast.expr] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _first: str | None = None

    def check(self) -> None:
        nodes = [node for statement in self.compiled.body() for node in ast.walk(statement)]
        for node in nodes:
            self._bound.update(_binds(node))
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                self._values[node.targets[0].id] = node.value
        body = self.compiled.body()
        if self.compiled.script.owner is not None and len(body) == 1:
            function = body[0]
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.args.args:
                self._first = function.args.args[0].arg
        for node in nodes:
            self._look(node)
        if self.routing:
            for statement in _own(self.compiled.body()):
                if isinstance(statement, ast.Return) and statement.value is not None:
                    parts = (
                        statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
                    )
                    for part in parts:
                        self._awaited(part)

    # what an expression is

    def kind(self, node: ast.expr) -> Kind | None:
        if isinstance(node, ast.Name):
            return self._of_name(node.id)
        if isinstance(node, ast.Attribute):
            if self._is_builtin(node.value, "atom") and node.attr in self.classes:
                return Kind("class", f"atom.{node.attr}", self.classes[node.attr])
            return None
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.Await):
            inner = self.kind(node.value)
            return inner.gives if inner is not None and inner.what == "coroutine" else None
        return None

    def _of_name(self, name: str) -> Kind | None:
        if name == self._first and self._bound[name] == 1:
            owner = self.classes.get(self.compiled.script.owner or "")
            what = "class" if name == "cls" else "instance"
            return Kind(what, name, owner, open=True) if owner is not None else None
        if (
            name in ("request", "response")
            and name in self.compiled.script.parameters
            and not self._bound[name]
        ):
            return Kind(name, name)
        if name == "Runtime" and not self._bound[name]:
            return Kind("Runtime", name)
        value = self._values.get(name)
        if value is None or self._bound[name] != 1 or name in self._busy:
            return None
        self._busy.add(name)
        found = self.kind(value)
        self._busy.discard(name)
        return replace(found, shown=name) if found is not None else None

    def _is_builtin(self, node: ast.expr, name: str) -> bool:
        return (
            isinstance(node, ast.Name) and node.id == name and not self._bound[name] and name in COMMON_NAMES
        )

    def _of_call(self, node: ast.Call) -> Kind | None:
        for name in ("FIFO", "Cache"):
            if self._is_builtin(node.func, name):
                return Kind(name, f"{name}(...)")
        if self._is_builtin(node.func, "callout"):
            return Kind("coroutine", "callout(...)")
        made = self.kind(node.func)
        if made is not None and made.what == "class":
            return replace(made, what="instance")
        owner = self.kind(node.func.value) if isinstance(node.func, ast.Attribute) else None
        if owner is None or not isinstance(node.func, ast.Attribute):
            return None
        method = self._signature(owner, node.func.attr)
        if method is None or not method.is_coroutine:
            return None
        one = owner.atom is not None and node.func.attr in ("save", "load")
        gives = replace(owner, what="instance", shown="it") if one else None
        return Kind("coroutine", f"{owner.shown}.{node.func.attr}(...)", gives=gives)

    def _signature(self, owner: Kind, name: str) -> Signature | None:
        if owner.what == "coroutine":
            return None
        if owner.atom is not None:
            for method in (*owner.atom.class_methods, *owner.atom.instance_methods):
                if method.name == name:
                    return Signature(any_number=True, free=True, is_coroutine=False)
            return interface("atom").method(name)
        return interface(owner.what).method(name)

    # what is done with it

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Expr):
            self._awaited(node.value)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.For):
            self._awaited(node.iter, "for ... in await")
        elif (isinstance(node, ast.comprehension) and not node.is_async) or isinstance(node, ast.AsyncFor):
            self._awaited(node.iter)
        elif isinstance(node, ast.Subscript):
            self._awaited(node.value)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            self._awaited(node.test)
        elif isinstance(node, ast.Compare):
            for one in (node.left, *node.comparators):
                self._awaited(one)
        elif isinstance(node, ast.With):
            for item in node.items:
                self._entered(item.context_expr)

    def _awaited(self, node: ast.expr, how: str = "await") -> None:
        """Report a coroutine that is used as if it were its result."""
        found = self.kind(node) if isinstance(node, ast.Call | ast.Name) else None
        if found is not None and found.what == "coroutine":
            message = f"{quoted(found.shown)} is a coroutine that is not awaited: nothing of it happens"
            self.report.error(self.compiled.location(node), "not-awaited", message, hint=f"write `{how} ...`")

    def _entered(self, node: ast.expr) -> None:
        found = self.kind(node)
        if found is not None and found.what == "FIFO":
            message = f"{quoted(found.shown)} is entered by `with`, and its items come asynchronously"
            self.report.error(self.compiled.location(node), "not-awaited", message, hint="write `async with`")

    def _attribute(self, node: ast.Attribute) -> None:
        owner = self.kind(node.value)
        if owner is None or node.attr.startswith("_"):
            return
        if owner.what == "coroutine":
            if node.attr not in _COROUTINE:
                message = (
                    f"{quoted(owner.shown)} is a coroutine: it has {quoted(node.attr)} once it is awaited"
                )
                hint = f"write `(await ...).{node.attr}`"
                self.report.error(self.compiled.location(node.value), "not-awaited", message, hint=hint)
            return
        if owner.open or (owner.what in ("request", "response") and not isinstance(node.ctx, ast.Load)):
            return
        known = self._members(owner)
        if node.attr in known:
            return
        meant = self.report.did_you_mean(node.attr, known)
        if owner.what == "request" and node.attr in _BODILY:
            meant = "`request.body` is bytes, for `json.loads`; the query is in `parameters`, the path's in `resources`"
        elif owner.atom is not None and node.attr in (
            "find",
            "get",
            "filter",
            "all",
            "query",
            "objects",
            "select",
        ):
            meant = "write `await ....load(key)` for one instance, or `await ....retrieve(field=value)` for several"
        self._unknown(
            node, f"{quoted(owner.shown)} has no {quoted(node.attr)}", meant or f"it has {_shown(known)}"
        )

    def _unknown(self, node: ast.Attribute, message: str, hint: str) -> None:
        line, offset = node.end_lineno or node.lineno, (node.end_col_offset or 0) - len(node.attr.encode())
        location = self.compiled.source.byte_location(line, max(offset, 0))
        self.report.error(location, "unknown-member", message, hint=hint)

    def _members(self, owner: Kind) -> set[str]:
        if owner.atom is None:
            return {*interface(owner.what).members}
        methods = (*owner.atom.class_methods, *owner.atom.instance_methods)
        return {
            *interface("atom").members,
            *_OF_CLASSES,
            *(method.name for method in methods),
            *_fields(owner.atom),
        }

    def _call(self, node: ast.Call) -> None:
        for builtin in ("FIFO", "Cache", "callout"):
            if self._is_builtin(node.func, builtin):
                self._arguments(node, call(builtin), f"{builtin}(...)", ())
                return
        owner = self.kind(node.func)
        if owner is not None and owner.what == "class" and owner.atom is not None and not owner.open:
            self._arguments(node, Signature(keywords=_IDENTITY, free=True), owner.shown, _fields(owner.atom))
        if not isinstance(node.func, ast.Attribute):
            return
        owner = self.kind(node.func.value)
        if owner is None or owner.open:
            return
        signature = self._signature(owner, node.func.attr)
        if signature is None:
            return
        if owner.atom is not None and owner.what == "class" and node.func.attr not in _OF_THE_CLASS:
            return  # an instance method, called with an instance
        fields = _fields(owner.atom) if owner.atom is not None and node.func.attr in _WITH_FIELDS else None
        self._arguments(node, signature, f"{owner.shown}.{node.func.attr}", fields)

    def _arguments(
        self, node: ast.Call, signature: Signature, what: str, fields: Collection[str] | None
    ) -> None:
        if any(isinstance(one, ast.Starred) for one in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            return
        given = {k.arg for k in node.keywords if k.arg is not None}
        known = {*signature.positional, *signature.keywords, *(fields or ())}
        for keyword in node.keywords:
            name = keyword.arg or ""
            is_free = signature.free and (fields is None or name.startswith("scenario"))
            if name not in known and not is_free:
                hint = self.report.did_you_mean(name, known) or (
                    f"it takes {_shown(known)}" if known else None
                )
                place = self.compiled.source.byte_location(keyword.lineno, keyword.col_offset)
                message = f"{quoted(what)} takes no {quoted(name)}"
                self.report.error(place, "unknown-member", message, hint=hint)
        if signature.any_number:
            return
        if len(node.args) > len(signature.positional):
            extra = node.args[len(signature.positional)]
            most = len(signature.positional) or "no"
            message = f"{quoted(what)} takes {most} arguments without a name, not {len(node.args)}"
            self.report.error(self.compiled.location(extra), "unknown-member", message)
        missing = signature.required - given - set(signature.positional[: len(node.args)])
        if missing:
            message = f"{quoted(what)} needs {', '.join(map(quoted, sorted(missing)))}"
            self.report.error(self.compiled.location(node), "unknown-member", message)


_OF_THE_CLASS = frozenset(("load", "retrieve", "iterate", "count", "fieldnames", "fieldmetadata"))


def _fields(atom: AtomDefinition) -> set[str]:
    fields = [*atom.fields, *([atom.identifier] if atom.identifier is not None else [])]
    names = {one.name for one in fields} | {one.name for one in atom.references}
    return names | {one.alias for one in fields if one.alias} | set(_IDENTITY)


def _shown(known: Collection[str]) -> str:
    names = [f"`{name}`" for name in sorted(known)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _binds(node: ast.AST) -> Iterator[str]:
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
        yield from node.names * 2  # bound elsewhere, by whoever
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _own(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a scope, without those of its functions and classes."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.stmt):
            yield node
        waiting.extend(ast.iter_child_nodes(node))
