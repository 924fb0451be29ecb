"""However large a definition file is: the check takes a time that grows with it, not with its square."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framework.definitions import check, render
from framework.definitions.load import MAX_BYTES


def module(body: str) -> str:
    return "name: m\ncode: |\n" + "".join(f"  {line}\n" for line in body.split("\n"))


def classes(count: int, more: Callable[[int], str]) -> str:
    return "".join(f"- name: C{number}\n  {more(number)}\n" for number in range(count))


# Each took from a minute to an hour; the largest files now take seconds.
LARGE = {
    "statements on one line": lambda n: module("é = 1; " * n + "x = 1"),
    "statements in quotes": lambda n: 'name: m\ncode: "' + "é = 1; " * n + '"\n',
    "unknown names": lambda n: module("\n".join(f"x = name{i}" for i in range(n))),
    "unknown names on one line": lambda n: module("; ".join(f"é{i}" for i in range(n))),
    "unknown names in functions": lambda n: module("\n".join(f"def f{i}(): return g{i}" for i in range(n))),
    "blocks in one function": lambda n: module(
        "async def f():\n" + "\n".join(f'  async with FIFO("q{i}"): pass' for i in range(n))
    ),
    "missing classes": lambda n: module("\n".join(f"atom.C{i}" for i in range(n))),
    "missing modules": lambda n: "".join(f"- {{name: m{i}, code: x = context.n{i}}}\n" for i in range(n)),
    "a chain of classes": lambda n: classes(n, lambda i: f"extends: [C{i - 1}]" if i else "attributes: {}"),
    "a circle of classes": lambda n: classes(n, lambda i: f"extends: [C{i - 1 if i else n - 1}]"),
    "many parents": lambda n: f"name: C\nextends: [{', '.join(f'P{i}' for i in range(n))}]\n",
    "one parent many times": lambda n: f"name: C\nextends: [{', '.join(['C'] * n)}]\n",
    "variables of a path": lambda n: (
        f"proxy: {{authorization: {{auth_mode: none}}, path: '{''.join(f'/{{v{i}}}' for i in range(n))}'}}\n"
        "request_forbidden_process: return 1\n"
    ),
    "unknown states": lambda n: (
        "name: C\nattributes:\n  local_fields:\n  - {field_name: f, field_type: string, field_enum: ["
        f"{', '.join(f'a{i}' for i in range(n))}], field_fsm: {{"
        f"{', '.join(f't{i}: {{execution_method: m, status_value: b{i}}}' for i in range(n))}}}}}\n"
    ),
    "missing references of a schema": lambda n: (
        "proxy: {authorization: {auth_mode: none}, path: /a}\nrequest_forbidden_process: return 1\n"
        f"validation: {{body: {{$defs: {{{', '.join(f'd{i}: {{}}' for i in range(n))}}}, properties: {{"
        + ", ".join(f"p{i}: {{$ref: '#/$defs/e{i}'}}" for i in range(n))
        + "}}}\n"
    ),
    "required names that are none": lambda n: (
        "proxy: {authorization: {auth_mode: none}, path: /a}\nrequest_forbidden_process: return 1\n"
        f"validation: {{body: {{required: [{', '.join(f'{i}, a{i}' for i in range(n))}]}}}}\n"
    ),
    "chains of attributes": lambda n: module("\n".join(["a = 1"] + ["a" + ".b" * 90] * (n // 10))),
    "aliases of a script": lambda n: (
        "- name: m\n  code: &a |\n"
        + "    x = 1\n" * n
        + "".join(f"- {{name: m{i}, code: *a}}\n" for i in range(n))
    ),
}


@pytest.mark.timeout(40)
@pytest.mark.parametrize("what", LARGE)
def test_no_large_file_holds_the_check_up(what: str, tmp_path: Path) -> None:
    text = LARGE[what](5000)
    assert len(text.encode()) < MAX_BYTES
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    checked = check(tmp_path, environ={})
    assert render(checked, "text")


def test_the_instructions_of_a_script_are_those_that_python_tells() -> None:
    import ast
    import dis
    import inspect

    from framework.definitions import seen

    code = compile(
        inspect.getsource(ast) + "\nx: int = 1\nclass A:\n  y = x.z\n  global b\n  b = 1\n", "a", "exec"
    )
    for part, mine in seen._scan(code):
        told = [one for one in dis.get_instructions(part) if one.opname != "EXTENDED_ARG"]
        assert [one[0] for one in mine] == [one.opcode for one in told]
        assert [one[2] for one in mine] == [tuple(one.positions or ()) for one in told]
        named = seen._LOADS | seen._ATTRIBUTES | seen._STORES | seen._OWN_STORES
        for one, other in zip(mine, told, strict=True):
            if one[0] in named:
                assert seen._name(part, one) == other.argval


def test_circles_are_found_and_what_only_leads_to_one_is_not_in_it() -> None:
    from framework.definitions.circles import in_circles

    assert in_circles({"a": ["b"], "b": ["c", "x"], "c": ["a"], "d": ["a"], "e": ["e"], "f": []}) == set(
        "abce"
    )
    assert in_circles({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == set()


def test_a_walk_meets_the_nodes_that_python_meets_but_for_the_contexts() -> None:
    import ast
    import inspect

    from framework.definitions.trees import walk

    tree = ast.parse(
        inspect.getsource(ast) + "\nmatch x:\n  case {'a': [*b], **c} | 1: type = f'{x!r:>{y}}'\n"
    )
    met = [node for node in ast.walk(tree) if not isinstance(node, ast.expr_context)]
    assert [*map(id, walk(tree))] == [*map(id, met)]
