"""Stubs of `context`: its settings, and each module by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from framework.definitions import ModuleDefinition
from framework.stubs.signatures import ANY, Annotations, imported, signature

_INDENT = "    "


def context_stub(modules: Iterable[ModuleDefinition]) -> str:
    """What `context` has."""
    names = sorted(module.name for module in modules)
    imports = "".join(f"from . import {name} as {name}\n" for name in names)
    return f"from framework.script.settings import Settings as _Settings\n\n{imports}\nsettings: _Settings\n"


def module_stub(module: ModuleDefinition) -> str:
    """What the top level of a module binds."""
    annotations = Annotations(prefix="atom")
    lines = list(_body(ast.parse(module.script.text).body, annotations, ""))
    head = "import builtins as _builtins\nimport datetime as _datetime\nfrom typing import Any as _Any\n\n"
    head += "from framework.values.mu import MU as _MU\n" + imported(annotations.modules)
    return f"{head}\n" + "\n".join(lines)


def _body(body: Iterable[ast.stmt], annotations: Annotations, indent: str) -> Iterator[str]:
    seen: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name not in seen:
                yield from _function(statement, annotations, indent)
            seen.add(statement.name)
        elif isinstance(statement, ast.ClassDef):
            yield from _class(statement, annotations, indent)
            seen.add(statement.name)
        else:
            for name in _bound(statement):
                if name not in seen and not name.startswith("__"):
                    seen.add(name)
                    yield f"{indent}{name}: {ANY}"


def _function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, annotations: Annotations, indent: str
) -> Iterator[str]:
    if not function.decorator_list:
        yield indent + signature(function, annotations, own=bool(indent))
    else:
        yield f"{indent}{function.name}: {ANY}"


def _class(statement: ast.ClassDef, annotations: Annotations, indent: str) -> Iterator[str]:
    """A class. Its bases are not shown, and its constructor only if it has its own `__init__`."""
    if statement.decorator_list or statement.keywords or statement.bases:
        yield f"{indent}{statement.name}: {ANY}"
        return
    yield f"{indent}class {statement.name}:"
    inside = list(_body(statement.body, annotations, indent + _INDENT))
    inside.append(f"{indent}{_INDENT}def __getattr__(self, name: str) -> {ANY}: ...")
    yield from inside


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement of the top level binds."""
    if isinstance(statement, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names if alias.name != "*"]
    found = []
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
            continue
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.extend(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            waiting.extend(ast.iter_child_nodes(node))
    return list(dict.fromkeys(found))
