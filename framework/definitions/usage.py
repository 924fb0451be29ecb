"""How scripts use built-in objects and classes: members and arguments exist, and coroutines are awaited.

The rule: no false alarm. Only what is certain counts: a name that nothing in the script binds, a variable that is
bound once, a call without `*`. A coroutine that is passed on may be awaited elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from . import awaiting
from .atom import AtomDefinition
from .bindings import own
from .interfaces import CALLS, Signature, call, interface
from .meaning import Kind, Meaning
from .names import MODULES
from .problem import Report, quoted
from .script import Compiled
from .seen import asked_lines, guarded_lines
from .trees import walk

_COROUTINE = frozenset(
    ("send", "throw", "close", "cr_await", "cr_code", "cr_frame", "cr_running", "cr_origin")
)
_WITH_FIELDS = frozenset(("save", "retrieve", "iterate", "count"))
_WHOLE_MODULES = frozenset(("io", "re", "uuid", "json", "datetime", "copy", "base64", "ipaddress"))
"""Modules that are quick to import and have the same members on every machine."""

# The kinds of nodes that a script may have most of, and that are asked in vain.
_USE_NOTHING = frozenset((ast.Attribute, ast.Name, ast.Constant))
_IDENTITY = ("instance", "xid", "xname")
_OF_CLASSES = frozenset(("key_field", "mro", "definition", "metadata"))
_BODILY = frozenset(("json", "text", "form", "data", "args", "params", "query_params", "get_json", "cookies"))


def check_usage(
    compiled: Compiled, classes: Mapping[str, AtomDefinition], report: Report, *, routing: bool
) -> None:
    """Report uses of built-in objects and classes that cannot work."""
    _Usage(compiled, classes, report, routing).check()


@dataclass(slots=True)
class _Usage:
    """The rules on one script."""

    compiled: Compiled
    classes: Mapping[str, AtomDefinition]
    report: Report
    routing: bool
    meaning: Meaning = field(init=False)
    _guarded: Collection[int] = ()

    def check(self) -> None:
        nodes = [node for statement in self.compiled.body() for node in walk(statement)]
        self.meaning = Meaning.of(self.compiled, self.classes, nodes)
        self._guarded = guarded_lines(self.compiled.tree, "AttributeError") | asked_lines(self.compiled.tree)
        for node in nodes:
            self._look(node)
        used = [
            use
            for node in nodes
            if type(node) not in _USE_NOTHING
            for use in awaiting.uses(node, self.meaning.bound)
        ]
        used += [use for value in self._answers() for use in awaiting.answered(value)]
        handed_on = awaiting.handed_on(nodes, used)
        for use in used:
            self._awaited(use, handed_on)

    def _answers(self) -> Iterator[ast.expr]:
        """What a routing script returns."""
        for statement in own(self.compiled.body()) if self.routing else ():
            if isinstance(statement, ast.Return) and statement.value is not None:
                yield statement.value

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.With):
            for item in node.items:
                self._entered(item.context_expr)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._iterated(node)
        elif isinstance(node, ast.Await):
            self._awaits(node)

    def _awaited(self, use: awaiting.Use, handed_on: Collection[str]) -> None:
        """Report a coroutine that is used as if it were its result."""
        value = use.value
        while isinstance(value, ast.NamedExpr):
            if value.target.id in handed_on and not use.fails:
                return
            value = value.value
        if not isinstance(value, ast.Call | ast.Name):
            return
        if isinstance(value, ast.Name) and value.id in handed_on and not use.fails:
            return
        found = self.meaning.kind(value)
        if found is not None and found.what == "coroutine":
            message = f"{quoted(found.shown)} is a coroutine that is not awaited: nothing of it happens"
            hint = f"write `{use.how} ...`"
            self.report.error(self.compiled.location(value), "not-awaited", message, hint=hint)

    def _iterated(self, node: ast.For | ast.AsyncFor | ast.comprehension) -> None:
        found = self.meaning.kind(node.iter)
        if found is not None and found.what == "FIFO":
            message = f"{quoted(found.shown)} is not iterated: it hands out one item at a time"
            hint = "write `async with ... as item`, in a function that is called again"
            self.report.error(self.compiled.location(node.iter), "not-awaited", message, hint=hint)
        is_async = node.is_async if isinstance(node, ast.comprehension) else isinstance(node, ast.AsyncFor)
        if not is_async and self.meaning.gives_many(node.iter):
            message = "`iterate` gives its instances asynchronously"
            self.report.error(
                self.compiled.location(node.iter), "not-awaited", message, hint="write `async for`"
            )

    def _awaits(self, node: ast.Await) -> None:
        """Report an `await` of something that is not a coroutine."""
        found = self.meaning.kind(node.value)
        if found is not None and found.what == "FIFO":
            what, hint = f"{quoted(found.shown)} cannot be awaited", "write `async with ... as item`"
        elif self.meaning.gives_many(node.value):
            what, hint = "`iterate` cannot be awaited", "write `async for`, or `await ....retrieve(...)`"
        else:
            return
        self.report.error(self.compiled.location(node), "not-awaited", what, hint=hint)

    def _entered(self, node: ast.expr) -> None:
        found = self.meaning.kind(node)
        if found is not None and found.what == "FIFO":
            message = f"{quoted(found.shown)} is entered by `with`, and its items come asynchronously"
            self.report.error(self.compiled.location(node), "not-awaited", message, hint="write `async with`")

    def _attribute(self, node: ast.Attribute) -> None:
        owner = self.meaning.kind(node.value)
        if owner is None:
            self._of_module(node)
        if owner is None or owner.what == "method" or node.attr.startswith("_"):
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

    def _of_module(self, node: ast.Attribute) -> None:
        """Report members that a module in scope lacks, unless the script tests for them."""
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name not in _WHOLE_MODULES or self.meaning.bound[name] or node.lineno in self._guarded:
            return
        if isinstance(node.ctx, ast.Load) and not hasattr(MODULES[name], node.attr):
            inner = getattr(MODULES[name], name, None)
            if hasattr(inner, node.attr):
                hint = f"{quoted(name)} is the module here: write `{name}.{name}.{node.attr}`"
            else:
                hint = self.report.did_you_mean(node.attr, dir(MODULES[name])) or ""
            self._unknown(node, f"the module {quoted(name)} has no {quoted(node.attr)}", hint)

    def _unknown(self, node: ast.Attribute, message: str, hint: str) -> None:
        line, offset = node.end_lineno or node.lineno, (node.end_col_offset or 0) - len(node.attr.encode())
        location = self.compiled.source.byte_location(line, max(offset, 0))
        self.report.error(location, "unknown-member", message, hint=hint or None)

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
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        for builtin in CALLS:
            if self.meaning.is_builtin(node.func, builtin) or (
                builtin == called and self.meaning.is_parameter(called)
            ):
                self._arguments(node, call(builtin), f"{builtin}(...)", ())
                return
        owner = self.meaning.kind(node.func)
        if owner is not None and owner.what == "class" and owner.atom is not None and not owner.open:
            self._arguments(node, Signature(keywords=_IDENTITY, free=True), owner.shown, _fields(owner.atom))
        if not isinstance(node.func, ast.Attribute):
            return
        owner = self.meaning.kind(node.func.value)
        if owner is None or owner.open:
            return
        signature = self.meaning.signature(owner, node.func.attr)
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
            arguments = "argument" if most == 1 else "arguments"
            message = f"{quoted(what)} takes {most} {arguments} without a name, not {len(node.args)}"
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
