"""What the mutation runs name is there: a module that has moved would be left out without a word."""

from __future__ import annotations

import ast
import tomllib

import pytest

from mutation.parts import PARTS, ROOT, Part


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_names_modules_and_tests_that_exist(part: Part) -> None:
    assert part.files
    named = [*part.tests, *part.without]
    assert [test for test in named if not (ROOT / test.split("::")[0]).exists()] == []


def test_a_module_that_is_gone_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"queue: there is no framework/gone\.py"):
        _ = Part("queue", ("framework/gone.py",), ()).files


def test_an_equivalent_mutant_names_a_function_that_exists() -> None:
    entries = tomllib.loads((ROOT / "mutation/equivalent.toml").read_text())["mutant"]
    named = {(one["module"], one["function"]) for one in entries}
    assert named
    assert [one for one in sorted(named) if one not in _functions(one[0])] == []


def _functions(module: str) -> set[tuple[str, str]]:
    path = ROOT / module
    if not path.exists():
        return set()
    found = set()
    for node in ast.parse(path.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        functions = (one for one in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
        found |= {(module, prefix + function.name) for function in functions}
    return found
