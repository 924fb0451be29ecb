"""Imports point one way, and each part knows only what it must: read from the syntax trees."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import framework

ROOT = Path(framework.__file__).parent

# The parts of the framework, lowest first. A part imports from the layers below its own, and from itself.
LAYERS = (
    (
        "definitions",
        "errors",
        "observing",
        "values",
    ),
    (
        "client",
        "process",
        "stubs",
    ),
    ("storage",),
    ("transactions",),
    (
        "access",
        "atom",
        "queue",
        "workers",
    ),
    ("script",),
    ("gateway",),
    ("serving",),
    ("repl",),
    ("cli",),
    ("__main__",),
)

# What is imported by a name of its own, and by whom it must not be.
FOREIGN = {
    "definitions": {
        "asyncio",
        "sqlite3",
        "aiosqlite",
        "asyncpg",
        "sqlalchemy",
        "http",
        "aiohttp",
        "starlette",
    },
    "storage": {"http", "aiohttp", "starlette", "uvicorn", "yaml", "click"},
    "atom": {"sqlite3", "aiosqlite", "asyncpg", "aiohttp", "starlette"},
    "queue": {"sqlite3", "aiosqlite", "asyncpg", "sqlalchemy", "aiohttp", "starlette"},
    "gateway": {"sqlite3", "aiosqlite", "asyncpg", "sqlalchemy", "yaml"},
    "workers": {"sqlite3", "aiosqlite", "asyncpg", "sqlalchemy", "aiohttp", "starlette"},
    "cli": {"sqlite3", "aiosqlite", "asyncpg", "sqlalchemy", "yaml"},
}


def module_name(path: Path) -> str:
    parts = ("framework", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(name: str) -> Iterator[str]:
    """Every module that a module imports, wherever in it and for whatever purpose."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield whole if whole in MODULES else source


def graph() -> dict[str, set[str]]:
    ours = MODULES.keys() - {"framework"}
    return {name: ours & {*imports(name)} - {name} for name in MODULES}


GRAPH = graph()


def part(module: str) -> str:
    return module.split(".")[1]


def test_every_part_has_a_layer() -> None:
    parts = {part(name) for name in MODULES if name != "framework"}
    declared = [name for layer in LAYERS for name in layer]
    assert sorted(declared) == sorted(parts), "declare the new part in LAYERS, as low as it can stand"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "framework"])
def test_a_module_imports_from_lower_layers_only(name: str) -> None:
    layer = {declared: number for number, layer in enumerate(LAYERS) for declared in layer}
    for imported in GRAPH[name]:
        if part(imported) != part(name):
            assert layer[part(imported)] < layer[part(name)], f"{name} imports {imported}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither at run time nor for the type checker: what is imported under ``TYPE_CHECKING`` counts."""
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_a_part_knows_nothing_of_what_is_not_its_own(name: str) -> None:
    for module in MODULES:
        if module != "framework" and part(module) == name:
            known = {imported.partition(".")[0] for imported in imports(module)}
            assert not known & FOREIGN[name], module


def test_only_an_engine_knows_its_driver() -> None:
    engines = {"sqlite3": "framework.storage.sqlite", "aiosqlite": "framework.storage.sqlite"}
    for module in MODULES:
        for imported in imports(module):
            if imported in engines:
                assert module.startswith(engines[imported]), f"{module} imports {imported}"


def test_what_chooses_an_engine_knows_its_database_alone() -> None:
    for module, imported in GRAPH.items():
        if module.startswith("framework.") and not module.startswith("framework.storage.sqlite"):
            known = {name for name in imported if name.startswith("framework.storage.sqlite")}
            assert known == (
                {"framework.storage.sqlite.database"} if module == "framework.storage" else set()
            ), module


def test_what_is_imported_is_declared_or_of_the_standard_library() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    declared = {re.split(r"[^\w-]", line)[0] for line in listed}
    # `referencing` and `yarl` are parts of the API of what brings them in.
    distribution = {
        "yaml": "pyyaml",
        "referencing": "jsonschema",
        "yarl": "aiohttp",
        "jsonschema_rs": "jsonschema-rs",
    }
    for module in MODULES:
        for imported in imports(module):
            top = imported.partition(".")[0]
            known = top in ("framework", *sys.stdlib_module_names) or distribution.get(top, top) in declared
            assert known, f"{module} imports {imported}"


def test_the_graph_is_not_empty() -> None:
    assert len(GRAPH) > 40
    assert "framework.transactions.session" in GRAPH["framework.queue.fifo"]
    assert "framework.definitions.location" in GRAPH["framework.definitions.fields"]
    assert "framework.storage.sqlite.database" in GRAPH["framework.storage"], "imports inside functions count"
