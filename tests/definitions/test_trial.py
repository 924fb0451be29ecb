"""A default is tried once, and can neither hold the check up nor do anything."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from framework.definitions import Checked, check
from framework.definitions.trial import can_be_tried


def checked(folder: Path, *defaults: tuple[str, str]) -> Checked:
    fields = [
        {"field_name": f"f{number}", "field_type": type_, "field_default": default}
        for number, (type_, default) in enumerate(defaults)
    ]
    (folder / "a.yaml").write_text(json.dumps({"name": "C", "attributes": {"local_fields": fields}}))
    return check(folder, environ={})


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "default",
    [
        *("9**9**9", "sum(i for i in range(10**9))", "[i for i in range(10**9) if i > 10**9]"),
        *("'a' * 10**10", "(0,) * 10**10", "[[0] * 10**7 for i in range(10**6)]", "f'{1:>99999999999}'"),
        *("'%99999999999d' % 1", "1 << 10**11", "pow(3, 10**9)", "re.match('(a+)+$', 'a' * 50 + 'b')"),
        *("(lambda f: f(f))(lambda f: f(f))", "str(10**5000)", "[1].__class__", "bytes(10**12)"),
    ],
)
def test_no_default_holds_the_check_up(default: str, tmp_path: Path) -> None:
    found = checked(tmp_path, ("integer", default), ("integer", "1 + 1"), ("array", "[i for i in range(3)]"))
    assert {problem.code for problem in found.problems} <= {"default"}
    if "__class__" not in default:  # what is not tried passes
        assert [problem.location.line for problem in found.problems] == [1]


@pytest.mark.timeout(60)
def test_many_slow_defaults_take_no_longer_than_a_few(tmp_path: Path) -> None:
    found = checked(tmp_path, *[("integer", "9**9**9")] * 200)
    assert 0 < len(found.problems) < 20


@pytest.mark.parametrize(
    "text",
    [
        *("open('x')", "__import__('os')", "exec('1')", "eval('1')", "input()", "print(1)", "breakpoint()"),
        *(
            "uuid.os.getcwd()",
            "json.decoder.scanner",
            "io.open('x', 'w')",
            "time.sleep(100)",
            "asyncio.run(x)",
        ),
        *("urllib.request.urlopen('http://x')", "().__class__", "getattr(uuid, 'os')", "vars()", "globals()"),
        *("FIFO('a')", "atom.C", "callout('/')", "context.settings.A", "qprint(1)", "logger.info('a')"),
    ],
)
def test_what_touches_something_is_not_tried(text: str) -> None:
    assert not can_be_tried(ast.parse(text, mode="eval"))


def test_what_is_tried_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = checked(
        tmp_path,
        *(("string", "uuid.os.system('touch evil')"), ("string", "open('evil', 'w').name")),
        ("array", "[x for x in json.loads('[1, 2]')]"),
    )
    assert found.problems == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml"]


def test_values_of_another_process_are_judged_as_any_other(tmp_path: Path) -> None:
    found = checked(
        tmp_path,
        ("DateTime", "[datetime.datetime.now(datetime.timezone.utc) for i in range(1)][0]"),
        ("array", "sorted([3, 1, 2])"),
        ("object", "{str(i): i for i in range(3)}"),
        ("string", "','.join(str(i) for i in range(3))"),
        ("string", "max([uuid.uuid4() for i in range(2)])"),
        ("array", "(i for i in range(3))"),
    )
    assert [(problem.code, problem.message.rpartition(": ")[2]) for problem in found.problems] == [
        ("default", "it must be text, not a UUID"),
        ("default", "it must be a list, not a generator"),
    ]
