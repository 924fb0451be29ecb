"""A module, a class and a function fit in a reader's head: the longest that each of them may be.

A function is measured from its `def` line to its last line, a class from its `class` line, decorators excluded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "framework"

MODULE, CLASS, FUNCTION = 400, 250, 50  # lines


def lengths(source: str, name: str) -> Iterator[tuple[str, int, int]]:
    """Each module, class and function with its length and the longest that it may be."""
    yield name, len(source.splitlines()), MODULE
    yield from _inside(ast.parse(source), f"{name} ")


def _inside(tree: ast.AST, prefix: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            longest = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
            yield prefix + node.name, (node.end_lineno or node.lineno) - node.lineno + 1, longest
            yield from _inside(node, f"{prefix}{node.name}.")
        else:
            yield from _inside(node, prefix)


def test_nothing_is_longer_than_a_reader_can_hold() -> None:
    found = [
        one
        for path in sorted(PACKAGE.rglob("*.py"))
        for one in lengths(path.read_text(), path.relative_to(PACKAGE).as_posix())
    ]
    assert len(found) > 1000
    long = {name: f"{length} lines, at most {longest}" for name, length, longest in found if length > longest}
    assert long == {}, "split it along its concepts"


def test_a_length_counts_from_the_def_line_to_the_last_line() -> None:
    source = "@decorated\nclass A:\n    if True:\n        async def f(\n            self,\n        ): ...\n"
    assert list(lengths(source, "a.py")) == [
        ("a.py", 6, MODULE),
        ("a.py A", 5, CLASS),
        ("a.py A.f", 3, FUNCTION),
    ]
