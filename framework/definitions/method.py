"""A method of an ATOM class: one whole `def` or `async def`, and how a call propagates to other instances.

The rule: a method means what it would mean in a Python class statement. So `super()` finds the class that the method
was written for, decorators and defaults are evaluated once, and the names of the class are not in scope.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .location import Location
from .names import COMMON_NAMES
from .nodes import MapNode, ScalarNode
from .problem import quoted
from .reading import Reading
from .script import Compiled, Script

MethodKind = Literal["class", "instance"]

OVERRIDABLE: Mapping[str, MethodKind] = {
    "save": "instance",
    "destroy": "instance",
    "load": "class",
    "retrieve": "class",
}
"""The framework's own methods that a class may have its own of; all are coroutines."""

RESERVED_METHODS = frozenset(
    (
        *("iterate", "count", "localfields", "fieldnames", "fieldmetadata", "key_field"),
        *("dictionary", "yaml_format", "json_format", "b64", "instance", "xid", "xname"),
        *("definition", "metadata"),
    )
)
"""What every class has and no method can take the place of."""

INTERNAL = frozenset(
    (
        *("_accept", "_own", "_from_row"),
        *("_model", "_session", "_scope", "_selects", "_states", "_stored", "_destroyed", "_sequence"),
        *("_memory", "_classes", "_referrers", "_referred", "_linked"),
    )
)
"""Names of the generated class that are its own affair."""

SPECIAL = frozenset(
    (
        *("__str__", "__repr__", "__format__", "__lt__", "__le__", "__gt__", "__ge__"),
        *("__len__", "__bool__", "__iter__", "__contains__", "__getitem__", "__call__"),
    )
)
"""Python's own methods that a class may have; the framework uses none of them."""

_DESCRIPTORS = ("staticmethod", "classmethod", "property")


@dataclass(frozen=True, slots=True)
class Method:
    """A function of the class `owner`. `script` is the body of that class and defines the function as `name`."""

    name: str
    owner: str
    kind: MethodKind
    location: Location
    script: Script
    is_async: bool
    propagation_mode: bool = False
    topdown: bool = True
    auto_rollback: bool = True
    multiplexable_number: int = 1
    field_order: str = "ascend"
    timeout: float | None = None


def parse_methods(node: MapNode, owner: str, reading: Reading) -> dict[MethodKind, tuple[Method, ...]]:
    """The class methods and the instance methods that `methods` of a class defines."""
    found: dict[str, Method] = {}
    kinds: tuple[MethodKind, ...] = ("class", "instance")
    for kind in kinds:
        for entry in node.maps(f"{kind}_methods"):
            method = _MethodReader(entry, owner, kind, reading).read()
            if method is None:
                continue
            first = found.setdefault(method.name, method)
            if first is not method:
                message = f"the method {quoted(method.name)} is defined twice"
                reading.report.error(method.location, "method", message, related=(first.location,))
    return {
        "class": tuple(method for method in found.values() if method.kind == "class"),
        "instance": tuple(method for method in found.values() if method.kind == "instance"),
    }


@dataclass(slots=True)
class _MethodReader:
    """Reads one method, and reports what is wrong with it."""

    node: MapNode
    owner: str
    kind: MethodKind
    reading: Reading

    def read(self) -> Method | None:
        scalar = self.node.scalar("method_body")
        if scalar is None or not isinstance(scalar.value, str):
            return None
        script = self.reading.script(
            scalar,
            name="method_body",
            names=COMMON_NAMES,
            owner=self.owner,
            rooted=self.kind == "instance",
        )
        if script is None:
            return None
        compiled = self.reading.compiled[-1]
        function = self._function(compiled, scalar)
        if function is None:
            return None
        location = compiled.location(function)
        self._check_name(function, location)
        self._check_decorators(function, compiled)
        self._check_first_argument(function, location)
        return Method(
            name=function.name,
            owner=self.owner,
            kind=self.kind,
            location=location,
            script=replace(script, name=function.name),
            is_async=isinstance(function, ast.AsyncFunctionDef),
            propagation_mode=self.node.flag("propagation_mode", False),
            topdown=self.node.flag("topdown", True),
            auto_rollback=self.node.flag("auto_rollback", True),
            multiplexable_number=self.node.integer("multiplexable_number") or 1,
            field_order=self.node.text("field_order") or "ascend",
            timeout=self.reading.finite(self.node, "timeout", 0.0) or None,
        )

    def _error(self, location: Location, message: str, hint: str | None = None, code: str = "method") -> None:
        self.reading.report.error(location, code, message, hint=hint)

    def _function(
        self, compiled: Compiled, scalar: ScalarNode
    ) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        body = compiled.body()
        functions = [s for s in body if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
        if len(functions) == 1 and len(body) == 1:
            return functions[0]
        told = f"{len(body)} statements" if len(body) != 1 else "another statement"
        message = f"a method's body must be one function and nothing else, not {told}"
        hint = "write one whole `def` or `async def`; an import can be inside it"
        self._error(scalar.location, message, hint)
        return None

    def _check_name(self, function: ast.FunctionDef | ast.AsyncFunctionDef, location: Location) -> None:
        name = function.name
        if name in OVERRIDABLE:
            kind = OVERRIDABLE[name]
            if kind != self.kind or not isinstance(function, ast.AsyncFunctionDef):
                message = (
                    f"the method {quoted(name)} takes the place of the framework's own, which is a "
                    f"coroutine of the {kind}"
                )
                what = "self" if kind == "instance" else "cls"
                hint = f"write `async def {name}({what}, …)` under `{kind}_methods`"
                self._error(location, message, hint, "method-name")
        elif name in RESERVED_METHODS or name in INTERNAL:
            message = f"{quoted(name)} cannot be the name of a method: every class has something of that name"
            self._error(location, message, "choose another name", "method-name")
        elif name.startswith("__") and name.endswith("__") and name not in SPECIAL:
            message = f"{quoted(name)} cannot be the name of a method: the framework or Python needs its own"
            hint = f"of Python's own methods a class may have {', '.join(f'`{s}`' for s in sorted(SPECIAL))}"
            self._error(location, message, hint, "method-name")

    def _check_decorators(self, function: ast.FunctionDef | ast.AsyncFunctionDef, compiled: Compiled) -> None:
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Name) and decorator.id in _DESCRIPTORS:
                message = (
                    f"the method {quoted(function.name)} cannot be decorated with {quoted(decorator.id)}"
                )
                hint = "take it away: `class_methods` and `instance_methods` say what a method is"
                self._error(compiled.location(decorator), message, hint)

    def _check_first_argument(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, location: Location
    ) -> None:
        arguments = (*function.args.posonlyargs, *function.args.args)
        wanted, other = ("cls", "self") if self.kind == "class" else ("self", "cls")
        if not arguments:
            if function.args.vararg is None:
                what = "class" if self.kind == "class" else "instance"
                message = f"the method {quoted(function.name)} has no first argument for its {what}"
                self._error(location, message, f"write `{function.name}({wanted}, …)`")
        elif arguments[0].arg == other:
            there = "instance_methods" if self.kind == "class" else "class_methods"
            message = (
                f"the first argument of {quoted(function.name)}, one of the `{self.kind}_methods`, is called "
                f"{quoted(other)}"
            )
            self._error(location, message, f"call it `{wanted}`, or move the method to `{there}`")
