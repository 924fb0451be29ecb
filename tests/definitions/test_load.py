"""Any folder can be checked: what is odd is read as it was written, what is broken is a problem with a place."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from framework.definitions import CannotRun, Checked, check, locate, render
from framework.definitions.load import MAX_BYTES
from framework.definitions.locate import documents
from framework.definitions.nodes import plain
from framework.definitions.problem import Report
from framework.definitions.source import Source

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FIXTURES = Path(__file__).parents[1] / "fixtures"


def read(text: str) -> tuple[list[object], list[str]]:
    report = Report()
    nodes, _ = documents(Source("a.yaml", "/a.yaml", text), report)
    return [plain(node) for node in nodes], [problem.code for problem in report.problems()]


def codes(checked: Checked) -> list[str]:
    return [problem.code for problem in checked.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "~", "")),
        *((word, int(word)) for word in ("0", "-0", "7", "-12", "10000000000000000000000")),
        *((word, float(word)) for word in ("1.5", "-0.25", "1.0e+5", "1.5E-3", "0.0")),
        (".inf", float("inf")),
        ("-.inf", float("-inf")),
        *(
            (word, word)
            for word in ("on", "off", "yes", "no", "NO", "y", "n", "tRUE", "Null", "NULL", "None")
        ),
        *((word, word) for word in ("012", "089", "+1", "0o14", "0x1F", "0b1", "1_000", "12:30:45", "1:2")),
        *(
            (word, word)
            for word in ("2026-01-01", "2026-01-01T00:00:00Z", "1e5", "1.0e5", "1.", ".5", "1.2.3")
        ),
        *((word, word) for word in ("=", ".Inf", ".NaN", "+.inf", "00.5", "1_0.0", "٣", "1\u00a0")),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int '1'", 1),
        ("!!float 1", 1.0),
        ("!!bool true", True),
        ("!!null ''", None),
    ],
)
def test_what_a_scalar_means(text: str, value: object) -> None:
    found, problems = read(f"a: {text}\n")
    assert problems == []
    assert found == [{"a": value}]
    assert type(found[0]["a"]) is type(value)  # type: ignore[index]


text_values = st.text(st.characters(exclude_categories=["Cs"]))
data = st.recursive(
    text_values | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(text_values, inner),
    max_leaves=10,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(text_values, data), st.sampled_from([None, '"', "'", "|"]), st.booleans(), st.booleans()
)
@example({"a": "012", "b": ["1.0e5", "1e5", "=", "<<", "0o7", "Null", "y"]}, None, False, False)
@example({"<<": 1, "~": "\x85\u2028", "é": "\r\n"}, '"', False, False)
def test_what_pyyaml_dumps_is_read_as_it_was(
    value: dict[str, Any], style: str | None, flow: bool, unicode: bool
) -> None:
    text = yaml.safe_dump(value, default_style=style, default_flow_style=flow, allow_unicode=unicode)
    found, problems = read(text)
    if any(hidden in text for hidden in "\x85\u2028\u2029\ufeff"):
        assert problems  # a line that ends where no editor shows it
        return
    if found != [value]:
        assume(yaml.safe_load(text) == value)  # PyYAML does not read all of its own output back
    assert problems == []
    assert found == [value]


scripts = st.lists(
    st.tuples(st.sampled_from(["", " ", "  ", "\t"]), st.text("ab'\"\\é注 #:|\t", max_size=12)), max_size=6
)


@settings(max_examples=300, deadline=None)
@given(scripts, st.sampled_from([None, '"', "'", "|"]), st.integers(20, 100), st.booleans())
def test_every_character_of_a_text_is_found_in_its_file(
    lines: list[tuple[str, str]], style: str | None, width: int, unicode: bool
) -> None:
    from framework.definitions.nodes import MapNode, ScalarNode
    from framework.definitions.scalarmap import ScalarMap

    value = "\n".join(indent + line for indent, line in lines)
    text = yaml.safe_dump({"a": value}, default_style=style, width=width, allow_unicode=unicode)
    source = Source("a.yaml", "/a.yaml", text)
    node = documents(source, Report())[0][0]
    assert isinstance(node, MapNode)
    scalar = node.entries["a"][1] if "a" in node.entries else None
    assert isinstance(scalar, ScalarNode)
    found = ScalarMap(scalar)
    places = []
    for number, line in enumerate(value.split("\n"), 1):
        for column, character in enumerate(line):
            row, place = found.begin(number, column)
            places.append((row, place))
            written = source.line(row)[place : place + 1]
            assert written == character or written in "\\'\"" or (character == " " and not written)
    assert places == sorted(places)
    if (
        unicode
        and value.isprintable()
        and value.strip()
        and "'" not in value
        and '"' not in value
        and "\\" not in value
    ):
        assert len(set(places)) == len(places)


def test_files_are_found_at_any_depth_and_links_do_not_loop(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.yml").write_text("fifo: one\n")
    (tmp_path / "a" / "two.yaml").write_text("fifo: two\n")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "again").symlink_to(tmp_path / "a")
    for hidden in (".c.yaml", "_d.yaml", ".git/e.yaml", "_old/f.yaml", "g.yaml~", "h.yaml.bak", "i.json"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_text("{")
    checked = check(tmp_path)
    assert checked.problems == ()
    assert checked.files == 2
    assert {policy.name for policy in checked.definitions.fifos} == {"one", "two"}


def test_paths_are_shown_as_the_folder_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.yaml").write_text("fifo: a\nfifo: b\n")
    monkeypatch.chdir(tmp_path)
    assert str(check("d").problems[0].location) == "d/a.yaml:2:1"
    assert str(check("d/").problems[0].location) == "d/a.yaml:2:1"
    assert str(check(".").problems[0].location) == "d/a.yaml:2:1"
    assert str(check(tmp_path).problems[0].location) == f"{tmp_path}/d/a.yaml:2:1"


@pytest.mark.parametrize(("folder", "named"), [("", "''"), (" ", "' '"), ("tea ", "'tea '")])
def test_a_folder_that_nobody_would_see_in_the_message_is_quoted(folder: str, named: str) -> None:
    with pytest.raises(CannotRun, match=f"^the folder {named} cannot be read: No such file"):
        check(folder)


def test_a_folder_that_is_not_there_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="nothing cannot be read: No such file"):
        check(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="is not a folder"):
        check(tmp_path / "file")
    with pytest.raises(CannotRun):
        check("a\0b")


def test_files_that_cannot_be_read_hide_no_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"fifo: \xff\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfef\0")
    (tmp_path / "c.yaml").write_bytes(b"fifo: a\0b\n")
    (tmp_path / "d.yaml").mkdir()
    (tmp_path / "e.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "f.yaml")
    (tmp_path / "g.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "h.yaml").write_text("[" * 100_000)
    (tmp_path / "i.yaml").write_bytes(b"")
    (tmp_path / "j.yaml").write_bytes(b"# nothing\n---\n")
    (os.fsencode(tmp_path) + b"/k\xff.yaml").decode("utf-8", "surrogateescape")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/k\xff.yaml")).write_text("fifo: k\nfifo: k\n")
    (tmp_path / "z.yaml").write_text("fifo: z\n")
    checked = check(tmp_path)
    assert sorted(codes(checked)) == [
        *("duplicate-key", "encoding", "encoding", "not-a-file", "not-a-file"),
        *("too-large", "too-large", "unreadable", "yaml"),
    ]
    assert [policy.name for policy in checked.definitions.fifos] == ["k", "z"]
    for format_ in ("text", "json", "github"):
        render(checked, format_).encode()  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable for root")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0)
    assert codes(check(tmp_path)) == ["unreadable"]


def test_bounds_on_nesting_and_aliases(tmp_path: Path) -> None:
    fine = "fifo: a\nx-a: " + "[" * (locate.MAX_DEPTH - 1) + "]" * (locate.MAX_DEPTH - 1) + "\n"
    assert read(fine)[1] == []
    assert read(fine.replace("[]", "[[]]"))[1] == ["too-large"]
    deep = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n"
    assert read(deep)[1] == ["too-large"]
    laughs = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{key}: &{key} [{','.join([f'*{before}'] * 10)}]\n"
        for before, key in zip("abcdefghijkl", "bcdefghijklm", strict=True)
    )
    started = time.monotonic()
    assert read(laughs)[1] == ["too-large"]
    assert time.monotonic() - started < 1
    assert read("a: &a [1]\nb: *a\nc: *a\n") == ([{"a": [1], "b": [1], "c": [1]}], [])


def test_anchors_do_not_reach_the_next_document() -> None:
    assert read("a: &a 1\n---\nb: *a\n")[1] == ["yaml-alias"]


def test_a_class_of_a_broken_file_is_no_second_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: Order\nattributes: {\n")
    (tmp_path / "Invoice.yaml").write_bytes(b"\xff")
    (tmp_path / "b.yaml").write_text("name: Item\nattribute: {}\n")
    (tmp_path / "c.yaml").write_text("name: M\ncode: x = atom.Order, atom.Invoice, atom.Item, atom.Other\n")
    assert codes(check(tmp_path)) == ["encoding", "yaml", "no-kind", "no-such-class"]


def mutations(count: int) -> list[tuple[int, str]]:
    """Random damage to the files of the reference application and to the fixtures that pass."""
    files = sorted((FIXTURES / "reference-app").glob("*.yaml")) + sorted(
        (FIXTURES / "check" / "right").rglob("a.yaml")
    )
    texts = [path.read_bytes().decode() for path in files]
    chance = random.Random(20260101)
    pieces = [
        "\t",
        "\n",
        " ",
        ":",
        "- ",
        "'",
        '"',
        "[",
        "{",
        "}",
        "&a ",
        "*a",
        "!!x ",
        "|",
        ">",
        "#",
        "\0",
        "\ufeff",
    ]
    pieces += [
        "<<: ",
        "? ",
        "---\n",
        "%",
        "@",
        "`",
        "\\",
        "\u2028",
        "\x85",
        "é",
        "yield ",
        "return\n",
        "(",
        "${",
        "1",
    ]
    found = []
    for number in range(count):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            until = at if chance.random() < 0.5 else min(len(text), at + chance.randint(1, 30))
            text = text[:at] + (chance.choice(pieces) if chance.random() < 0.8 else "") + text[until:]
        found.append((number, text))
    return found


def test_damaged_files_never_raise(tmp_path: Path) -> None:
    for number, text in mutations(600):
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8", newline="")
        try:
            checked = check(tmp_path, environ={})
            render(checked, "text"), render(checked, "json"), render(checked, "github")
        except Exception as error:
            raise AssertionError(f"mutation {number}:\n{text}") from error
        lines = text.count("\n") + text.count("\r") + 2
        assert all(1 <= problem.location.line <= lines for problem in checked.problems)


def test_values_of_any_other_type_never_raise(tmp_path: Path) -> None:
    """Every value of a definition is replaced, in turn, by what nobody would write there."""
    whole = [
        *(
            yaml.safe_load((FIXTURES / "reference-app" / name).read_text())
            for name in ("OrderEntry.yaml", "Dispatcher.yaml")
        ),
        *yaml.safe_load((FIXTURES / "reference-app" / "orders.routing.yaml").read_text()),
        {"fifo": "a", "backoff": {"max": 1}, "max_attempts": 2, "timeout": 3},
        {"name": "m", "code": "x = 1"},
        {"name": "r", "authorities": [{"regex": "a", "methods": ["GET"]}]},
        {
            "name": "Y",
            "extends": ["OrderEntry"],
            "attributes": {
                "local_fields": [
                    {
                        "field_name": "a",
                        "field_type": "MU",
                        "field_enum": [{}],
                        "field_format": {"type": "object"},
                    }
                ],
                "ref_fields": [{"field_name": "b", "field_type": "<AxisAtom.Y>", "ref_class": "Y"}],
            },
            "methods": {"instance_methods": [{"method_body": "def f(self): pass", "timeout": 1}]},
        },
    ]
    odd = [
        None,
        True,
        0,
        -1,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "\n",
        "é\0",
        "(",
        "{}",
        "${A",
        [],
        [None],
        [[]],
        {},
        {"a": None},
    ]
    for definition in whole:
        for owner, key in list(places_of(definition)):
            kept = owner[key]
            for value in odd:
                owner[key] = value
                (tmp_path / "a.yaml").write_text(yaml.dump(definition, Dumper=DUMPER))
                checked = check(tmp_path, environ={})
                render(checked, "text")
            owner[key] = kept


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a structure that holds a value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places_of(value[key])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_can_be_checked(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "a.yaml").write_bytes(data)
    render(check(folder), "text")


def test_the_pure_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(FIXTURES / "check" / "right")
    monkeypatch.setattr(locate, "_PARSER", yaml.SafeLoader)
    for name in sorted(os.listdir(".")):
        assert check(name, environ={}).problems == ()
    assert read('a: "\\ud800"\n')[1] == ["yaml"]


def many(folder: Path, count: int) -> Path:
    """A folder of ``count`` apps, each a class, a worker and a route."""
    folder.mkdir()
    atom, worker, routing = (
        (FIXTURES / "reference-app" / name).read_text(encoding="utf-8")
        for name in ("OrderEntry.yaml", "Dispatcher.yaml", "orders.routing.yaml")
    )
    for number in range(count):
        (folder / f"a{number}.yaml").write_text(atom.replace("OrderEntry", f"Entry{number}"))
        text = worker.replace("OrderEntry", f"Entry{number}").replace("Dispatcher", f"D{number}")
        (folder / f"w{number}.yaml").write_text(text.replace("orders", f"orders{number}"))
        text = routing.replace("OrderEntry", f"Entry{number}").replace("orders", f"orders{number}")
        (folder / f"r{number}.yaml").write_text(text)
    return folder


def test_the_cost_of_a_check_grows_with_the_number_of_files_not_faster(tmp_path: Path) -> None:
    few, lots = many(tmp_path / "few", 33), many(tmp_path / "lots", 330)
    check(few)  # what the first check of a process costs once

    def cost(folder: Path) -> float:
        started = time.process_time()
        checked = check(folder)
        assert checked.problems == ()
        assert checked.files == 3 * len(checked.definitions.routes)
        return time.process_time() - started

    assert cost(lots) < 30 * min(cost(few) for _ in range(3))


def test_the_package_is_light_to_import() -> None:
    code = (
        "import sys, framework.definitions; "
        "heavy = {'sqlalchemy', 'jsonschema', 'starlette', 'aiosqlite', 'asyncio', 'aiohttp'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("hidden", ["\x85", "\u2028", "\u2029", "\ufeff", "\r"])
@pytest.mark.parametrize(
    "text", ["a: b{}c\n", "a: 'b{}c'\n", "a: |\n  b{}  c\n", "# b{}c\na: 1\n", "a: [b,{}c]\n"]
)
def test_a_line_ends_where_an_editor_shows_it_or_the_place_is_told(hidden: str, text: str) -> None:
    report = Report()
    whole = text.format(hidden)
    documents(Source("a.yaml", "/a.yaml", whole), report)
    [problem] = report.problems()
    before = whole[: whole.index(hidden)]
    assert (problem.code, problem.location.line) == ("yaml", before.count("\n") + 1)
    assert problem.location.column == len(before.rpartition("\n")[2]) + 1


def test_what_is_written_as_an_escape_is_text() -> None:
    found, problems = read(r'a: "\N\L\P\uFEFF\r"' + "\n")
    assert (found, problems) == ([{"a": "\x85\u2028\u2029\ufeff\r"}], [])
    assert read("a: 1\rb: 2\r") == ([{"a": 1, "b": 2}], [])  # all lines end in this way
