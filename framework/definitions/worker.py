"""A worker: a coroutine function that the reflector calls again and again.

The rule: the script's top level defines exactly one coroutine function that can be called without
arguments, or one of several is called `consume`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from .location import Location
from .names import COMMON_NAMES
from .nodes import MapNode, ScalarNode
from .problem import quoted
from .reading import Reading
from .script import Compiled, Script


@dataclass(frozen=True, slots=True)
class WorkerDefinition:
    """A worker. `function` is the name of the coroutine function at the top level of the script."""

    name: str
    location: Location
    category: str | None
    mode: Literal["single", "multi"]
    script: Script
    function: str


def parse_worker(node: MapNode, reading: Reading) -> WorkerDefinition | None:
    """The worker that a mapping defines."""
    name = reading.label(node, "name", "a worker")
    mode, scalar = node.text("mode"), node.scalar("script")
    if scalar is None or not isinstance(scalar.value, str):
        return None
    script = reading.script(scalar, name=name or "worker", names=COMMON_NAMES)
    if script is None:
        return None
    function = _function(reading.compiled[-1], scalar, reading)
    if name is None or function is None:
        return None
    return WorkerDefinition(
        name=name,
        location=node.value_location("name"),
        category=node.text("category"),
        mode="multi" if mode == "multi" else "single",
        script=script,
        function=function,
    )


def _function(compiled: Compiled, scalar: ScalarNode, reading: Reading) -> str | None:
    """The name of the function to call."""
    found: dict[str, ast.AsyncFunctionDef] = {}
    plain: dict[str, ast.FunctionDef] = {}
    for node in _top_level(compiled.tree.body):
        if isinstance(node, ast.AsyncFunctionDef):
            found[node.name] = node
        else:
            plain[node.name] = node
    report = reading.report
    if not found:
        if "consume" in plain or len(plain) == 1:
            wrong = plain.get("consume") or next(iter(plain.values()))
            message = f"{quoted(wrong.name)} is not a coroutine function"
            hint = f"write `async def {wrong.name}(...)`"
            report.error(compiled.location(wrong), "worker-function", message, hint=hint)
        else:
            message = "the script defines no coroutine function to call"
            hint = "write `async def consume():`"
            report.error(scalar.location, "worker-function", message, hint=hint)
        return None
    callable_ = {name: node for name, node in found.items() if not _required(node) or node.decorator_list}
    chosen = "consume" if "consume" in callable_ else next(iter(callable_)) if len(callable_) == 1 else None
    if "consume" in found and "consume" not in callable_:
        chosen = None
        callable_ = {}
    if chosen is not None:
        return chosen
    if not callable_:
        wrong_async = found.get("consume") or next(iter(found.values()))
        message = f"{quoted(wrong_async.name)} must be callable without arguments"
        report.error(compiled.location(wrong_async), "worker-function", message)
    else:
        named = ", ".join(map(quoted, callable_))
        last = list(callable_.values())[-1]
        message = f"the script defines several coroutine functions ({named}): which is to be called?"
        report.error(compiled.location(last), "worker-function", message, hint="call one of them `consume`")
    return None


def _top_level(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions that the top level defines, including those inside `if`, `try` and `with`."""
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node)
        elif not isinstance(node, ast.ClassDef):
            for name in ("body", "orelse", "finalbody"):
                found.extend(_top_level(getattr(node, name, [])))
            for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                found.extend(_top_level(part.body))
    return found


def _required(node: ast.AsyncFunctionDef) -> bool:
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or any(default is None for default in arguments.kw_defaults)
