"""What must hold between definitions is told once, where it is made; what is not certain is not told."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import check
from framework.definitions.queues import Queues, queues

ANSWERS = "  return 200\n"
SOMETIMES = "  if request.method == GET:\n    return 200\n"


def found(folder: Path, *texts: str, **where: Any) -> list[tuple[str, str, int]]:
    """Code, file and line of everything that is told of a folder with these files: 0.yaml, 1.yaml…"""
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    return [
        (problem.code, Path(problem.location.path).name, problem.location.line)
        for problem in check(folder, environ={}, **where).problems
    ]


def codes(folder: Path, *texts: str, **where: Any) -> list[str]:
    return [code for code, *_ in found(folder, *texts, **where)]


def route(path: str, script: str = ANSWERS, more: str = "") -> str:
    head = f"proxy:\n  authorization: {{auth_mode: none}}\n  path: {path}\n"
    return head + (f"request_forbidden_process: |\n{script}" if script else "") + more


def class_(name: str, more: str = "") -> str:
    return f"name: {name}\nattributes: {{}}\n{more}"


def worker(name: str, script: str) -> str:
    body = "".join(f"  {line}\n" for line in script.split("\n"))
    return f"name: {name}\nmode: single\nscript: |\n{body}"


# ---- names that stand once ------------------------------------------------------------------


def test_each_further_definition_of_a_name_is_told_with_the_first(tmp_path: Path) -> None:
    texts = [class_("Order"), class_("Task"), class_("Order"), class_("ORDER"), class_("Tasks")]
    assert found(tmp_path, *texts) == [("duplicate-class", "2.yaml", 1), ("duplicate-class", "3.yaml", 1)]
    problems = check(tmp_path, environ={}).problems
    assert [Path(one.path).name for problem in problems for one in problem.related] == ["0.yaml", "0.yaml"]
    assert "`Order`" in problems[1].message


def test_names_of_different_kinds_do_not_meet(tmp_path: Path) -> None:
    role = "name: same\nauthorities:\n- {regex: /a, methods: [GET]}\n"
    texts = [class_("same"), worker("same", "async def consume(): pass"), role, "name: same\ncode: x = 1\n"]
    assert codes(tmp_path, *texts) == []
    assert codes(tmp_path, *texts, *texts) == [
        "duplicate-class",
        "duplicate-worker",
        "duplicate-role",
        "duplicate-module",
    ]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("/a/{b}", "/a/{c}", True),
        ("/a/{b}", "/a/{c}/", True),
        ("/a/", "/a", True),
        ("/a", "/A", False),
        ("/a/{b}", "/a/b", False),
        ("/aX", "/a", False),
    ],
)
def test_paths_that_take_the_same_requests_stand_once(
    tmp_path: Path, first: str, second: str, same: bool
) -> None:
    expected = [("duplicate-path", "1.yaml", 3), ("duplicate-path", "3.yaml", 3)] if same else []
    texts = [route(first), route(second), route("/other"), route(second) if same else route("/more")]
    assert found(tmp_path, *texts) == expected


# ---- classes that exist ---------------------------------------------------------------------


def test_a_class_that_is_missing_is_told_at_each_place_that_names_it(tmp_path: Path) -> None:
    text = (
        "name: Line\nextends: [Bas]\nattributes:\n  ref_fields:\n"
        "  - {field_name: one, field_type: <AxisAtom.Odrer>}\n"
        "  - {field_name: two, field_type: <AxisAtom.Order>, ref_class: Oder}\n"
        "  - {field_name: three, field_type: array<AxisAtom.Ordr>}\n"
        "  - {field_name: four, field_type: <AxisAtom.Order>, ref_class: Order}\n"
    )
    told = found(tmp_path, text, class_("Order"))
    assert told == [("no-such-class", "0.yaml", line) for line in (2, 5, 6, 7)]
    hints = [problem.hint for problem in check(tmp_path, environ={}).problems]
    assert hints == [None, *["did you mean `Order`?"] * 3]


def test_what_a_broken_file_was_to_define_is_not_missing(tmp_path: Path) -> None:
    broken = "name: Order\nattributes: {\n"
    script = "  return 200, [atom.Order, model.Order, context.Order]\n"
    told = codes(tmp_path, broken, class_("Line", "extends: [Order]\n"), route("/a", script))
    assert "no-such-class" not in told
    assert "no-such-module" not in told
    assert told


def test_each_class_of_a_circle_is_told_and_no_other(tmp_path: Path) -> None:
    texts = [class_("A", "extends: [B]\n"), class_("B", "extends: [A]\n"), class_("C", "extends: [A]\n")]
    assert [one for one in found(tmp_path, *texts) if one[0] == "extends-cycle"] == [
        ("extends-cycle", "0.yaml", 1),
        ("extends-cycle", "1.yaml", 1),
    ]


# ---- names that scripts see -----------------------------------------------------------------


def told_of(folder: Path, line: str, *texts: str) -> list[tuple[str, str | None]]:
    script = f"  {line}\n  return 200\n"
    (folder / "script.yaml").write_text(route("/script", script), encoding="utf-8")
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    return [(problem.code, problem.hint) for problem in check(folder, environ={}).problems]


STORED = class_("Order")
DRAFT = class_("Draft", "persistence: false\n")
MODULE = "name: prices\ncode: x = 1\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x = Order()", [("unseen-name", "write `atom.Order`")]),
        ("x = Oder()", [("unseen-name", None)]),
        ("x = atm.Order()", [("unseen-name", "did you mean `atom`?")]),
        ("x = modl.Order", [("unseen-name", "did you mean `model`?")]),
        ("x = __ROOT__", [("unseen-name", "only an `async def` under `instance_methods` sees it")]),
        ("x = pritn", [("unseen-name", "did you mean `print`?")]),
        ("total = 1; x = totl", [("unseen-name", "did you mean `total`?")]),
        ("x = atom.__class__, model.__dict__, context.__class__", []),
        ("x = model.Draft", [("no-such-class", None)]),
        ("x = model.Order, model.aiodb", []),
        ("x = model.Orde", [("no-such-class", "did you mean `Order`?")]),
        ("x = atom.Draft, atom.Order", []),
        ("x = atom.Drft", [("no-such-class", "did you mean `Draft`?")]),
        ("x = context.prices, context.settings", []),
        ("x = context.price", [("no-such-module", "did you mean `prices`?")]),
        (
            "x = atom.Oder, atom.Order, pritn",
            [("no-such-class", "did you mean `Order`?"), ("unseen-name", "did you mean `print`?")],
        ),
        ("x = request.anything_else_of_its_own", None),
    ],
)
def test_a_name_in_a_script_is_one_that_it_can_see(
    tmp_path: Path, line: str, told: list[tuple[str, str | None]] | None
) -> None:
    if told is None:  # members of built-in objects are told of elsewhere
        assert "no-such-class" not in dict(told_of(tmp_path, line, STORED, DRAFT, MODULE))
        return
    assert told_of(tmp_path, line, STORED, DRAFT, MODULE) == told


def test_a_method_sees_its_class_as_an_atom_and_not_by_its_bare_name(tmp_path: Path) -> None:
    body = "methods:\n  instance_methods:\n  - method_body: |\n      def copy(self): return {}()\n"
    assert codes(tmp_path, class_("Order", body.format("Order"))) == ["unseen-name"]
    assert codes(tmp_path, class_("Order", body.format("atom.Order"))) == []


def test_a_line_that_expects_an_unknown_name_is_passed_over_and_others_are_not(tmp_path: Path) -> None:
    guarded = "try:\n    x = wrong\n  except NameError:\n    x = 1\n  y = wrong"
    assert found(tmp_path, route("/a", f"  {guarded}\n  return 200, 'NameError'\n")) == [
        ("unseen-name", "0.yaml", 9)
    ]
    assert codes(tmp_path, route("/a", "  x = wrong\n  return 200, 'NameError'\n")) == ["unseen-name"]


# ---- requests that are answered -------------------------------------------------------------


def looped(folder: Path, authority: str, *, path: str = "/a", to: str = "", **where: Any) -> list[str]:
    target = f"target: {{authorities: ['{authority}']{f', path: {to}' if to else ''}}}\n"
    return codes(folder, route(path, SOMETIMES, target), **where)


@pytest.mark.parametrize(
    ("authority", "host", "port", "loops"),
    [
        ("http://127.0.0.1:9099", "127.0.0.1", 9099, True),
        ("http://127.0.0.1:9098", "127.0.0.1", 9099, False),
        ("http://LOCALHOST:9099", "127.0.0.1", 9099, True),
        ("http://localhost:9099", "0.0.0.0", 9099, True),
        ("http://[::1]:9099", "localhost", 9099, True),
        ("http://127.9.9.9:9099", "::", 9099, True),
        ("http://127.0.0.1:9099", "[::]", 9099, True),
        ("http://192.0.2.1:9099", "127.0.0.1", 9099, False),
        ("http://127.0.0.1:9099", "192.0.2.1", 9099, False),
        ("http://192.0.2.1:9099", "192.0.2.1", 9099, True),
        ("http://a.example:9099", "A.Example", 9099, True),
        ("http://a.example:9099", "b.example", 9099, False),
        ("http://a.example:9099", "localhost", 9099, False),
        ("http://localhost:9099", "LocalHost", 9099, True),
        ("http://localhost", "localhost", 80, True),
        ("http://localhost", "localhost", 443, False),
        ("https://localhost", "localhost", 443, True),
        ("https://localhost", "localhost", 80, False),
    ],
)
def test_a_target_is_the_gateway_where_it_listens(
    tmp_path: Path, authority: str, host: str, port: int, loops: bool
) -> None:
    assert looped(tmp_path, authority, host=host, port=port) == (["target-loop"] if loops else [])


@pytest.mark.parametrize(
    ("path", "to", "loops"),
    [
        ("/a", "", True),
        ("/a", "/a", True),
        ("/a", "/a/", True),
        ("/a/", "/a", True),
        ("/a", "/b", False),
        ("/aX", "/a", False),
        ("/a", "/aX", False),
        ("/a/{b}", "'/a/{b}'", True),
        ("/a/{b}", "/a/b", False),
    ],
)
def test_a_target_at_the_gateway_is_a_loop_on_the_same_path_alone(
    tmp_path: Path, path: str, to: str, loops: bool
) -> None:
    told = looped(tmp_path, "http://127.0.0.1:9099", path=f"'{path}'", to=to)
    assert told == (["target-loop"] if loops else [])


def test_one_of_several_targets_that_is_the_gateway_is_a_loop(tmp_path: Path) -> None:
    target = "target: {authorities: ['http://192.0.2.1:1', 'http://127.0.0.1:9099']}\n"
    assert codes(tmp_path, route("/a", SOMETIMES, target)) == ["target-loop"]


TARGET = "target: {authorities: ['http://192.0.2.1:8080']}\n"


@pytest.mark.parametrize(
    ("script", "more", "told"),
    [
        (ANSWERS, "", []),
        (SOMETIMES, "", [("no-target", 5)]),
        ("", "", [("no-target", 3)]),
        ("  x = 1\n", "", [("no-target", 5)]),
        (SOMETIMES, "target: {path: /b}\n", [("no-target", 5)]),
        (SOMETIMES, TARGET, []),
        ("", TARGET, []),
        (ANSWERS, f"idempotency: true\nidempotency_headers: []\n{TARGET}", []),
        (SOMETIMES, f"idempotency: true\nidempotency_headers: []\n{TARGET}", [("idempotency-target", 5)]),
        ("  # nothing is done\n", "", [("no-target", 5)]),
        ("  return 200 +\n", "", [("script-syntax", 5)]),  # and nothing of its consequence
    ],
)
def test_each_request_is_answered_or_forwarded(
    tmp_path: Path, script: str, more: str, told: list[tuple[str, int]]
) -> None:
    assert [(code, line) for code, _, line in found(tmp_path, route("/a", script, more))] == told


# ---- FIFOs that are filled and read ---------------------------------------------------------

READS = 'async def consume():\n    async with FIFO("{}") as item:\n        print(item)'


def test_a_fifo_that_nobody_reads_is_told_once_at_the_first_place_that_fills_it(tmp_path: Path) -> None:
    puts = '  await FIFO("oders").put(1)\n  return 202\n'
    told = found(tmp_path, route("/a", puts), route("/b", puts), worker("W", READS.format("orders")))
    assert told == [("fifo-unread", "0.yaml", 5)]


def test_nothing_is_told_of_unread_fifos_while_a_file_is_broken(tmp_path: Path) -> None:
    """The file may have read them."""
    puts = '  await FIFO("oders").put(1)\n  return 202\n'
    assert "fifo-unread" not in codes(tmp_path, route("/a", puts), "name: W\nmode: single\n")


def test_each_further_worker_that_reads_a_fifo_is_told_with_the_first(tmp_path: Path) -> None:
    texts = [worker(name, READS.format("orders")) for name in ("A", "B", "C")]
    twice = READS.format("own") + "\n" + READS.format("own").replace("consume", "other")
    assert found(tmp_path, *texts, worker("D", twice)) == [
        ("fifo-shared", "1.yaml", 5),
        ("fifo-shared", "2.yaml", 5),
    ]
    for problem, name in zip(check(tmp_path, environ={}).problems, ("B", "C"), strict=True):
        assert "`A`" in problem.message
        assert f"`{name}`" in problem.message
        assert [Path(one.path).name for one in problem.related] == ["0.yaml"]


def test_a_route_that_reads_a_fifo_shares_it_with_its_worker_in_silence(tmp_path: Path) -> None:
    reads = '  async with FIFO("orders") as item:\n    print(item)\n  return 200\n'
    one, two = (worker(name, READS.format("orders")) for name in ("V", "W"))
    assert codes(tmp_path, route("/a", reads), one) == []
    assert codes(tmp_path, route("/a", reads), one, route("/b", reads), two) == ["fifo-shared"]


def seen(script: str) -> Queues:
    return queues(ast.parse(script))


@pytest.mark.parametrize(
    ("script", "puts", "reads", "mentions", "known"),
    [
        ('FIFO("a").put(1)', ["a"], [], [], True),
        ('FIFO("a").put_many([1])', ["a"], [], [], True),
        ('FIFO("a").size()', [], [], ["a"], True),
        ('f(FIFO("a"))', [], [], ["a"], True),
        ('x = FIFO("a")', [], [], ["a"], True),
        ("FIFO(name).put(1)", [], [], [], True),  # it is filled, whatever its name is
        ("FIFO(name).size()", [], [], [], False),
        ("FIFO(name)", [], [], [], False),
        ('FIFO("a", 1).x', [], [], [], False),
        ("FIFO(1).x", [], [], [], False),
        ("FIFO().x", [], [], [], False),
        ("x = FIFO", [], [], [], False),
        ("f(FIFO)", [], [], [], False),
        ("f(FIFO).put(1)", [], [], [], False),  # it may be read there
        ("FIFO.x", [], [], [], False),
        ('FIFO(name); FIFO("a").put(1)', ["a"], [], [], False),
        ('f(FIFO); FIFO(name).put(1)', [], [], [], False),
        ('async def f():\n  async with FIFO("a") as x: pass', [], ["a"], ["a"], True),
        ('async def f():\n  async with FIFO("a") as x, FIFO("b") as y: pass', [], ["a", "b"], ["a", "b"], True),
        ('q = FIFO("a")\nasync def f():\n  async with q: pass', [], ["a"], ["a"], True),
        ('q: object = FIFO("a")\nasync def f():\n  async with q: pass', [], ["a"], ["a"], True),
        ('(q := FIFO("a"))\nasync def f():\n  async with q: pass', [], ["a"], ["a"], True),
        ('p = q = FIFO("a")\nasync def f():\n  async with q: pass', [], ["a"], ["a"], True),
        ('q = FIFO("a")\nq = FIFO("b")\nasync def f():\n  async with q: pass', [], [], ["a", "b"], True),
        ('q = 1\nasync def f():\n  async with q, r, s.t: pass', [], [], [], True),
        ('with FIFO("a"): pass', [], [], ["a"], True),
        *((f'{binds}\nFIFO("a").put(1)', [], [], [], True) for binds in (
            "FIFO = print",
            "def FIFO(): pass",
            "async def FIFO(): pass",
            "class FIFO: pass",
            "def f(FIFO): pass",
            "import FIFO",
            "from a import b as FIFO",
            "from a import *",
            "for FIFO in []: pass",
            "del FIFO",
        )),
        ('import FIFO as other\nfrom a import b\nFIFO("a").put(1)', ["a"], [], [], True),
        ('def f(other): pass\nclass Other: pass\nFIFO("a").put(1)', ["a"], [], [], True),
    ],
)  # fmt: skip
def test_what_a_script_does_with_fifos_is_told_as_far_as_it_is_certain(
    script: str, puts: list[str], reads: list[str], mentions: list[str], known: bool
) -> None:
    found = seen(script)
    assert (list(found.puts), list(found.reads)) == (puts, reads)
    assert (found.mentions, found.known) == (set(mentions), known)


def test_the_first_place_is_the_one_that_is_told() -> None:
    found = seen(
        'FIFO("a").put(1)\nFIFO("a").put(2)\nasync def f():\n  async with FIFO("b"): pass\n  async with FIFO("b"): pass'
    )
    assert (found.puts["a"].lineno, found.reads["b"].lineno) == (1, 4)
