"""What the check knows of the built-in objects is what their classes say."""

from __future__ import annotations

import ast
from importlib import resources

import pytest

from framework.definitions.interfaces import CALLS, PLACES, call, headers, interface, interface_of, signature


def _text(path: str) -> str:
    return resources.files("framework").joinpath(path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PLACES)
def test_a_class_without_its_bodies_has_what_the_whole_class_has(name: str) -> None:
    path, owner = PLACES[name]
    assert interface(name) == interface_of(_text(path), owner)
    assert interface(name).members
    assert len(headers(_text(path), owner)) < len(_text(path))


@pytest.mark.parametrize("name", CALLS)
def test_a_built_in_function_takes_what_its_code_takes(name: str) -> None:
    path, function = CALLS[name]
    owner, _, own = function.rpartition(".")
    classes = [node for node in ast.walk(ast.parse(_text(path))) if isinstance(node, ast.ClassDef)]
    around = next((node for node in classes if node.name == owner), ast.parse(_text(path)))
    found = [
        node
        for node in ast.walk(around)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == own
    ]
    assert [signature(node, is_method=bool(owner)) for node in found] == [call(name)]
