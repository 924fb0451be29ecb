"""Names that nobody can see are mistakes, and nothing that Python would find is called one."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.definitions import COMMON_NAMES, METHODS, MODULES, ROUTING_PARAMETERS, check
from framework.definitions.surroundings import SETTING

ROUTE = "proxy:\n  authorization: {auth_mode: none}\n  path: /x\nrequest_forbidden_process: |\n"


def indented(script: str) -> str:
    return "".join(f"  {line}\n" for line in script.split("\n"))


def mistakes(folder: Path, script: str, *, module: bool = False) -> list[tuple[str, int, int, str | None]]:
    """Code, line and column inside the script, and hint of each problem."""
    head = "name: prices\ncode: |\n" if module else ROUTE
    text = head + indented(script if module else f"{script}\nreturn 200")
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    (folder / "b.yaml").write_text("name: Order\nattributes: {}\n")
    (folder / "c.yaml").write_text("name: shared\ncode: x = 1\n")
    start = head.count("\n")
    problems = check(folder, environ={f"{SETTING}ANY": "1"}).problems
    return [(p.code, p.location.line - start, p.location.column - 2, p.hint) for p in problems]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("atmo.Order()", ("unseen-name", 1, 1, "did you mean `atom`?")),
        ("x = 'é'; prnt(x)", ("unseen-name", 1, 10, "did you mean `print`?")),
        ("order = 1\nordr.save()", ("unseen-name", 2, 1, "did you mean `order`?")),
        ("[y for x in range(3)]", ("unseen-name", 1, 2, None)),
        ("class A:\n    b = c", ("unseen-name", 2, 9, None)),
        ("class A:\n    size = 1\n    def f(self): return size", ("unseen-name", 3, 25, None)),
        ("def f(a=wrong): pass", ("unseen-name", 1, 9, None)),
        ("@wrong\ndef f(): pass", ("unseen-name", 1, 2, None)),
        ("f'{wrong}'", ("unseen-name", 1, 4, None)),
        ("lambda: wrong", ("unseen-name", 1, 9, None)),
        ("try:\n    pass\nexcept Wrong:\n    pass", ("unseen-name", 3, 8, None)),
        ("try:\n    pass\nfinally:\n    print(wrong)", ("unseen-name", 4, 11, None)),
        ("with open(wrong): pass", ("unseen-name", 1, 11, None)),
        ("del wrong", ("script-syntax", 1, 1, None)),
        ("atom.Ordr", ("no-such-class", 1, 6, "did you mean `Order`?")),
        ("await (atom\n  .Ordr).load(1)", ("no-such-class", 2, 4, "did you mean `Order`?")),
        ("def f():\n    return atom.order(a=1)", ("no-such-class", 2, 17, "did you mean `Order`?")),
        ("model.Ordr", ("no-such-class", 1, 7, "did you mean `Order`?")),
        ("model.aiodbb()", ("no-such-class", 1, 7, "did you mean `aiodb`?")),
        ("context.shard.x", ("no-such-module", 1, 9, "did you mean `shared`?")),
        ("context.setting.X", ("no-such-module", 1, 9, "did you mean `settings`?")),
    ],
)
def test_a_name_that_nobody_can_see(
    script: str, found: tuple[str, int, int, str | None], tmp_path: Path
) -> None:
    if found[0] == "script-syntax":  # it is local to the function, so that Python itself finds nothing
        assert mistakes(tmp_path, script) == []
        return
    assert mistakes(tmp_path, script) == [found]


@pytest.mark.parametrize(
    "script",
    [
        "atom.Order, model.Order, model.aiodb, context.shared.x, context.settings.ANY, atom.__class__",
        "atom = 1\natom.anything",
        "def f(atom, model=1): return atom.x, model.y",
        "for atom in []: atom.x",
        "import types as atom\natom.x",
        "[atom.x for atom in []]",
        "with open('a') as atom: atom.x",
        "match 1:\n    case atom: atom.x",
        "lambda atom: atom.x",
        "try:\n    wrong\nexcept (KeyError, NameError):\n    pass",
        "globals()['wrong'] = 1\nwrong",
        "exec('wrong = 1')\nwrong",
        "def f():\n    global late\n    late = 1\nf()\nlate",
        "x: int = 1",
        "getattr(atom, 'Wrong')",
        "atom[1], atom",
        "async def g():\n    yield 1\nasync for i in g(): print(i)",
        "import os.path\nos.path.join('a')",
        "class A:\n    a = 1\n    b = a\n    c = __qualname__, __module__, __name__",
        "(lambda *, a, **k: (a, k))(a=1)",
        "def outer():\n    n = 1\n    def inner():\n        nonlocal n\n        n += 1\n    return inner",
        "print(f'{(n := 3)} {n=} {n!r:>{n}}')",
        "print(sqlalchemy.select, jsonschema, and_, or_, not_, join, select, urllib.parse, Cache, mu := MU())",
    ],
)
def test_no_false_alarm(script: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, script) == []
    top = script.replace("await ", "").replace("async for i in g(): print(i)", "")
    assert mistakes(tmp_path, top, module=True) == []


@pytest.mark.parametrize(
    "name", ["request", "resources", "parameters", "route", "finish", "session", "response"]
)
def test_each_kind_of_script_sees_its_own_names(name: str, tmp_path: Path) -> None:
    told = [found[:3] for found in mistakes(tmp_path, f"print({name})", module=True)]
    assert told == [("unseen-name", 1, 7)]
    expected = [] if name != "response" else [("unseen-name", 1, 7)]
    assert [found[:3] for found in mistakes(tmp_path, f"print({name})")] == expected


def test_the_names_of_the_platform_are_all_there() -> None:
    assert set(ROUTING_PARAMETERS) == {"request", "resources", "parameters", "route", "finish", "session"}
    assert set(METHODS) == {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
    for word in [
        "io",
        "re",
        "time",
        "uuid",
        "json",
        "datetime",
        "copy",
        "base64",
        "ipaddress",
        "urllib",
        "asyncio",
    ]:
        assert MODULES[word].__name__ == word
    assert set(MODULES) < COMMON_NAMES
    assert {"sqlalchemy", "jsonschema", "and_", "or_", "not_", "join", "select", *METHODS} <= COMMON_NAMES
    assert MODULES["urllib"].parse.quote("é") == "%C3%A9"
    with pytest.raises(KeyError):
        MODULES["os"]


def worker(name: str, script: str) -> str:
    return f"name: {name}\nmode: single\nscript: |\n{indented(script)}---\n"


READS = 'async def consume():\n    async with FIFO("{}") as item:\n        print(item)'


@pytest.mark.parametrize(
    ("scripts", "codes"),
    [
        ([READS.format("a"), 'async def consume():\n    await FIFO("a").put(1)'], []),
        ([READS.format("a"), 'async def consume():\n    await FIFO("b").put(1)'], ["fifo-unread"]),
        ([READS.format("a"), 'async def consume():\n    await FIFO("b").put_many([1])'], ["fifo-unread"]),
        ([READS.format("a"), 'async def consume():\n    f = FIFO("b")\n    await f.put(1)'], []),
        ([READS.format("a"), 'q = FIFO("b")\nasync def consume():\n    await FIFO("b").put(1)'], []),
        ([READS.format("a"), 'n = "b"\nasync def consume():\n    await FIFO("b").put(1), FIFO(n)'], []),
        ([READS.format("a"), 'q = FIFO\nasync def consume():\n    await FIFO("b").put(1)'], []),
        ([READS.format("a"), 'FIFO = print\nasync def consume():\n    await FIFO("b").put(1)'], []),
        ([READS.format("a"), 'async def consume(FIFO=print):\n    await FIFO("b").put(1)'], []),
        ([READS.format("a"), READS.format("b")], []),
        ([READS.format("a"), READS.format("a")], ["fifo-shared"]),
        (
            [READS.format("a"), 'q = FIFO("a")\nasync def consume():\n    async with q as x: pass'],
            ["fifo-shared"],
        ),
        ([READS.format("a"), "FIFO = open\n" + READS.format("a")], []),
    ],
)
def test_fifos_that_are_filled_and_read(scripts: list[str], codes: list[str], tmp_path: Path) -> None:
    text = "".join(worker(f"W{number}", script) for number, script in enumerate(scripts))
    (tmp_path / "a.yaml").write_text(text)
    checked = check(tmp_path)
    assert [problem.code for problem in checked.problems] == codes
    assert checked.errors == ()
