"""When an input is whole, and what statements become of it."""

from __future__ import annotations

import pytest

from framework.repl.statement import Compiler, whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "await x",
        "[await y async for y in z]",
        "x = [1,\n2]",
        "for i in x:\n    a\n",
        "for i in x:\n    a\nprint(1)",
        "if 1: 2\n",
        "class A:\n  def f(self):\n    pass\n",
        # mistakes: more lines would not help
        "1 1",
        "   1",
        "return 1",
        "for i in x:\n",
        "try:\n  a\n",
        "@d\n",
        "x = \x00",
    ],
)
def test_these_are_run(text: str) -> None:
    assert whole(text)


@pytest.mark.parametrize(
    "text",
    [
        "for i in x:",
        "for i in x:  # why",
        "for i in x:\n    a",
        "for i in x:\n    a\n    ",  # not an empty line
        "if 1: 2",
        "if 1:\n  a\nelse:",
        "try:\n  a",
        "@d",
        "@d\ndef f():\n  pass",
        "async with x as y: pass",
        "def f():\n    a\n    \n    b",
        "x = [",
        "x = [\n",
        "f(\n\n",
        "x='''\n\n",
        "f'''a\n\n",
        "x = 1 + \\",
        "x = 1 + \\\n",
    ],
)
def test_these_want_another_line(text: str) -> None:
    assert not whole(text)


def test_an_input_of_several_statements_is_compiled_one_by_one() -> None:
    lines = [statement.line for statement in Compiler().compile("a = 1\n\nfor b in c:\n    d\ne")]
    assert lines == [1, 3, 5]


def test_a_mistake_anywhere_comes_before_the_first_statement() -> None:
    for text in ("a = 1\nreturn 2", "a = 1\nb = = 2", "a = 1\nawait = 2"):
        with pytest.raises(SyntaxError):
            Compiler().compile(text)


def test_imports_from_the_future_hold_for_later_inputs() -> None:
    compiler = Compiler()
    list(compiler.compile("from __future__ import annotations"))
    [statement] = compiler.compile("def f(x: unknown): pass")
    names: dict[str, object] = {}
    exec(statement.code, names)
    assert names["f"].__annotations__ == {"x": "unknown"}
