"""A script's positions are those of its YAML file: in tracebacks, carets and syntax errors."""

from __future__ import annotations

import asyncio
import linecache
import traceback
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import Checked, check

ROUTE = "proxy:\n  authorization: {auth_mode: none}\n  path: /x\n"


def write(folder: Path, text: str, name: str = "a.yaml", **options: Any) -> Checked:
    linecache.clearcache()
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return check(folder, environ={}, **options)


def failing_frame(error: BaseException) -> traceback.FrameSummary:
    return traceback.extract_tb(error.__traceback__)[-1]


def run_worker(checked: Checked) -> traceback.FrameSummary:
    """Run the worker, which is to fail, and give the innermost frame."""
    assert checked.problems == ()
    worker = checked.definitions.workers[0]
    scope: dict[str, Any] = {}
    worker.script.run(scope)
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(scope[worker.function]())
    return failing_frame(caught.value)


def underlined(frame: traceback.FrameSummary) -> str:
    """What the carets of a traceback stand under."""
    assert frame.filename is not None
    line = Path(frame.filename).read_bytes().decode("utf-8-sig").splitlines()[frame.lineno - 1]  # type: ignore[operator]
    return line.encode()[frame.colno : frame.end_colno].decode()  # type: ignore[attr-defined]


W = "name: W\nmode: single\nscript: "
SCRIPTS = {
    "literal": W + "|\n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n",
    "stripped": W + "|-\n\n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n",
    "kept": W + "|+\n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n\n",
    "indented": W + "|2\n   \n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n",
    "anchored": W + "&s |\n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n",
    "crlf": "name: W\r\nmode: single\r\nscript: |\r\n  async def consume():\r\n      注文 = 'é'; 注文, 1 / 0\r\n",
    "bom": "\ufeffname: W\nmode: single\nscript: |\n  async def consume():\n      注文 = 'é'; 注文, 1 / 0\n",
    "in a list": "- name: W\n  mode: single\n  script: |\n    async def consume():\n        '注文', 1 / 0\n",
    "double": W + '"async def consume():\\n    x = \\"\\u6ce8\\"; 注文 = 1 / 0\\n"\n',
    "folded double": (
        W + '"async def consume():\\n    x = \\"\\u6ce8\\u6587\\"\\n\\\n  \\    y = \\"é\\"; 1 / 0   \\n"\n'
    ),
    "double with \\r\\n": (W + '"async def consume():\\r\\n    x = 1\\r\\n\\\n  \\    1 / 0\\r\\n"\n'),
    "single": W + "'async def consume(): \"it''s\", 1 / 0'\n",
    "folded single": W + "'async def consume(): return [\"é\",\n\n      1 / 0]'\n",
    "plain": W + "async def consume(\n  ):1 / 0\n",
    "flow": "{name: W, mode: single, script: 'async def consume(): return 1 / 0'}\n",
}


@pytest.mark.parametrize("style", SCRIPTS)
def test_a_traceback_shows_the_line_of_the_file_and_its_carets(style: str, tmp_path: Path) -> None:
    text = SCRIPTS[style]
    frame = run_worker(write(tmp_path, text))
    assert frame.filename == str(tmp_path / "a.yaml")
    lines = text.removeprefix("\ufeff").splitlines()
    expected = next(number for number, line in enumerate(lines, 1) if "1 / 0" in line)
    assert frame.lineno == expected
    assert frame.line == lines[expected - 1].strip()
    assert underlined(frame) == "1 / 0"


def test_a_routing_script_is_an_async_function_of_the_names_it_sees(tmp_path: Path) -> None:
    text = ROUTE + (
        "request_forbidden_process: |-\n"
        "  text = '''one\n"
        "    two'''\n"
        "  if resources:\n"
        "      return 200, text\n"
        "  await asyncio.sleep(0)\n"
        "  raise ValueError(request, 1 / 0)\n"
        "response_forbidden_process: return response\n"
    )
    checked = write(tmp_path, text)
    assert checked.problems == ()
    route = checked.definitions.routes[0]
    assert route.request_script is not None
    assert route.response_script is not None
    scope: dict[str, Any] = {"asyncio": asyncio}
    before = set(scope) | {"__builtins__"}
    function = route.request_script.function(scope)
    assert set(scope) == before
    assert asyncio.run(function(None, {"a": 1}, None, None, None, None)) == (10 - 2, (200, "one\n  two"))
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(function(None, {}, None, None, None, None))
    frame = failing_frame(caught.value)
    assert (frame.lineno, frame.line) == (10, "raise ValueError(request, 1 / 0)")
    assert underlined(frame) == "1 / 0"
    assert frame.name == "request_forbidden_process"
    answer = route.response_script.function(scope)(None, None, None, None, None, None, 7)
    assert asyncio.run(answer) == (11, 7)


def test_a_default_and_a_method_fail_at_their_own_line(tmp_path: Path) -> None:
    text = (
        "name: X\nattributes:\n  local_fields:\n  - field_name: a\n    field_type: integer\n"
        "    field_default: int('é') + len(MU())\nmethods:\n  instance_methods:\n"
        "  - method_body: |\n      def f(self):\n        return 1 / 0\n"
    )
    checked = write(tmp_path, text)
    assert checked.problems == ()
    atom = checked.definitions.atoms[0]
    default = atom.fields[0].default
    assert default is not None
    with pytest.raises(ValueError, match="invalid literal") as caught:
        default.make({})
    frame = failing_frame(caught.value)
    assert (frame.lineno, underlined(frame)) == (6, "int('é')")
    scope: dict[str, Any] = {}
    method = atom.instance_methods[0]
    assert (method.name, method.is_async, str(method.location).split(":")[1:]) == ("f", False, ["10", "7"])
    with pytest.raises(ZeroDivisionError) as divided:
        method.script.members(scope)["f"](None)
    assert failing_frame(divided.value).lineno == 11


@pytest.mark.parametrize(
    ("script", "line", "column"),
    [
        ("return", 4, 3),
        ("x = 1\n  def", 5, 6),
        ("async def consume():\n      '注文', (1", 5, 13),
        ("async def consume():\n      nonlocal 注", 5, 7),
        ("async def consume(): pass\n  x = ('é', await y)", 5, 13),
        ("async def consume(): pass\n  class A:\n      return 1", 6, 7),
        ("async def consume():\n      '注文', f'{a b}'", 5, 16),
        ("async def consume():\n     x\n      y", 6, 7),
    ],
)
def test_a_syntax_error_stands_where_it_is(script: str, line: int, column: int, tmp_path: Path) -> None:
    checked = write(tmp_path, f"name: W\nmode: single\nscript: |\n  {script}\n")
    assert [problem.code for problem in checked.problems] == ["script-syntax"]
    place = checked.problems[0].location
    assert (place.line, place.column) == (line, column)


@pytest.mark.parametrize(
    "script",
    [
        "x = " + "(" * 500 + ")" * 500,
        "x = " + "-" * 100_000 + "1",
        "x = 1" + " + 1" * 20_000,
        "x = " + "[" * 150 + "]" * 150,
        "x = " + "9" * 6000,
        "x = '\\ud800'",
        "x = '\\N{nothing}'",
        "\\",
        "if x:\n\treturn\n        return",
        "from __future__ import braces",
        "from __future__ import annotations",
        "import *",
        "a.b: int = yield",
        "return *x",
        "async with x: pass\nasync for y in z: pass\nreturn [a async for a in b]",
    ],
)
def test_absurd_scripts_are_at_most_a_mistake(script: str, tmp_path: Path) -> None:
    indented = "\n".join(f"  {line}" for line in script.split("\n"))
    checked = write(tmp_path, f"{ROUTE}request_forbidden_process: |\n{indented}\n")
    assert all(problem.location.line >= 3 for problem in checked.problems)
    write(tmp_path, f"name: W\nmode: multi\nscript: |\n{indented}\n")


@pytest.mark.parametrize(
    "script",
    [
        "return 200",
        "raise Error(404)",
        "if request.body:\n    return 1\nelse:\n    raise x",
        "while True:\n    pass",
        "while 1:\n    for i in []:\n        break",
        "try:\n    return 1\nexcept ValueError:\n    return 2",
        "try:\n    x = 1\nexcept ValueError:\n    raise\nelse:\n    return 2",
        "try:\n    x = 1\nfinally:\n    return 2",
        "async with x as y:\n    return 1",
        "for i in []:\n    return 2\nelse:\n    return 3",
        "finish({}, code=200)",
        "finish({})\nreturn",
        "answer = finish\nanswer({})",
        "match x:\n    case 1:\n        return 1\n    case _:\n        return 2",
        "match x:\n    case 1:\n        return 1\n    case y:\n        return 2",
        "assert False, 'never'",
        "def f():\n    return\nreturn f()",
        "if True:\n    return 1",
    ],
)
def test_a_script_that_always_answers_needs_no_target(script: str, tmp_path: Path) -> None:
    indented = "\n".join(f"  {line}" for line in script.split("\n"))
    names = "  x = y = 1\n" if "x" in script else ""
    checked = write(tmp_path, f"{ROUTE}request_forbidden_process: |\n{names}{indented}\n")
    assert checked.problems == ()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("x = 1", 5),
        ("return", 5),
        ("return None", 5),
        ("if x:\n    return 1", 5),
        ("if x:\n    return 1\nelif y:\n    pass\nelse:\n    return 2", 8),
        ("while True:\n    break", 5),
        ("for i in x:\n    return 1", 5),
        ("try:\n    return 1\nexcept ValueError:\n    pass", 8),
        ("match x:\n    case 1:\n        return 1", 5),
        ("match x:\n    case y if y:\n        return 1", 5),
        ("with x:\n    y = 1", 6),
        ("if x:\n    finish(1)", 5),
        ("# nothing", 5),
    ],
)
def test_a_script_that_can_end_without_an_answer_needs_one(script: str, line: int, tmp_path: Path) -> None:
    indented = "\n".join(f"  {line}" for line in script.split("\n"))
    text = f"{ROUTE}request_forbidden_process: |\n{indented}\n".replace("x:", "request:").replace(
        "elif y", "elif 2"
    )
    text = text.replace("in x", "in []").replace("match x", "match 1")
    checked = write(tmp_path, text)
    assert [(problem.code, problem.location.line) for problem in checked.problems] == [("no-target", line)]


@pytest.mark.parametrize(
    ("host", "port", "authority", "loops"),
    [
        ("127.0.0.1", 9099, "http://localhost:9099", True),
        ("127.0.0.1", 9099, "localhost:9099", True),
        ("0.0.0.0", 9099, "http://127.0.0.1:9099", True),
        ("::1", 80, "http://[::1]", True),
        ("10.0.0.5", 9099, "http://10.0.0.5:9099/", True),
        ("127.0.0.1", 9098, "http://localhost:9099", False),
        ("127.0.0.1", 9099, "http://example.com:9099", False),
        ("10.0.0.5", 9099, "http://10.0.0.6:9099", False),
        ("10.0.0.5", 9099, "http://localhost:9099", False),
    ],
)
def test_a_target_that_is_the_gateway_itself(
    host: str, port: int, authority: str, loops: bool, tmp_path: Path
) -> None:
    text = "proxy:\n  authorization: {auth_mode: axis}\n  path: /a/{b}\ntarget:\n  path: '/a/{b}'\n"
    text = text.replace("/a/{b}\nt", "'/a/{b}'\nt") + f"  authorities: ['{authority}']\n"
    checked = write(tmp_path, text, host=host, port=port)
    assert [problem.code for problem in checked.problems] == (["target-loop"] if loops else [])
    elsewhere = write(
        tmp_path, text.replace("path: '/a/{b}'\n  a", "path: '/b/{b}'\n  a"), host=host, port=port
    )
    assert elsewhere.problems == ()
