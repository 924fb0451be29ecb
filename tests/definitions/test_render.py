"""The three formats of a check's outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.definitions import check, render


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    return "d"


def put(text: str, name: str = "a.yaml") -> None:
    Path("d", name).write_text(text, encoding="utf-8", newline="")


def test_text_keeps_the_caret_under_wide_letters_and_tabs(folder: str) -> None:
    put("fifo: a\nx-a: {注文: é, e\u0301: '\t', on: 1, on: 2}\n")
    assert render(check(folder), "text").splitlines()[:3] == [
        "d/a.yaml:2:30: error duplicate-key: the key `on` is in this mapping twice, first on line 2",
        "    x-a: {注文: é, e\u0301: '\t', on: 1, on: 2}",
        "    " + " " * 19 + "\t" + " " * 10 + "^",
    ]


def test_text_counts_and_strict_makes_errors_of_warnings(folder: str) -> None:
    put("name: W\nmode: single\nscript: |\n  async def consume():\n    await FIFO('a').put(1)\n")
    checked = check(folder)
    assert (len(checked.errors), len(checked.warnings)) == (0, 1)
    assert render(checked, "text").splitlines()[-1] == "1 warning in 1 file"
    assert " warning fifo-unread: " in render(checked, "text")
    strict = render(checked, "text", strict=True)
    assert strict.splitlines()[-1] == "1 error in 1 file"
    assert " error fifo-unread: " in strict
    assert json.loads(render(checked, "json", strict=True))["errors"] == 1


def test_text_of_a_clean_folder_is_one_line(folder: str) -> None:
    put("fifo: a\n---\nfifo: b\n---\nname: r\nauthorities: [{regex: /, methods: [GET]}]\n")
    assert render(check(folder), "text") == "d: 2 FIFO policies, 1 role: no mistakes"


def test_json(folder: str) -> None:
    put("fifo: a\nfifo: b\nmax_atempts: 1\n")
    assert json.loads(render(check(folder), "json")) == {
        "files": 1,
        "errors": 2,
        "warnings": 0,
        "problems": [
            {
                "path": "d/a.yaml",
                "line": 2,
                "column": 1,
                "severity": "error",
                "code": "duplicate-key",
                "message": "the key `fifo` is in this mapping twice, first on line 1",
                "hint": "remove one of the two",
                "related": [{"path": "d/a.yaml", "line": 1, "column": 1}],
            },
            {
                "path": "d/a.yaml",
                "line": 3,
                "column": 1,
                "severity": "error",
                "code": "unknown-key",
                "message": "unknown key `max_atempts`",
                "hint": "did you mean `max_attempts`?",
                "related": [],
            },
        ],
    }


def test_github_annotations_are_escaped(folder: str) -> None:
    put("fifo: a\n100%: b\n", "a,b:c.yaml")
    assert render(check(folder), "github").startswith(
        "::error file=d/a%2Cb%3Ac.yaml,line=2,col=1,title=unknown-key::unknown key `100%25` (the keys here are "
    )
    put("fifo: a\n", "a,b:c.yaml")
    assert render(check(folder), "github") == ""


def test_control_characters_of_a_file_do_not_reach_the_terminal(folder: str) -> None:
    put('fifo: "\\e[31m"\n"\\e[0m": 1\n')
    for format_ in ("text", "github"):
        assert "\x1b" not in render(check(folder), format_)  # type: ignore[arg-type]


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200f", "\u061c", "\u00ad", "\u2060"])
def test_text_turns_no_line_round(folder: str, hidden: str) -> None:
    put(f"fifo: a\nmax_attempts: 'x{hidden}y' # z{hidden}\n")
    text = render(check(folder), "text")
    assert hidden not in text
    assert hidden not in render(check(folder), "github")
    assert text.splitlines()[1:3] == ["    max_attempts: 'x\ufffdy' # z\ufffd", " " * 18 + "^"]


def test_text_keeps_the_joiners_of_letters(folder: str) -> None:
    put("fifo: a\nmax_attempts: می\u200cخواهم\n")
    assert "`می\u200cخواهم`" in render(check(folder), "text")


def test_a_name_of_a_file_or_folder_forges_no_line(tmp_path: Path) -> None:
    folder = tmp_path / "a\nb"
    folder.mkdir()
    (folder / "q.yaml").write_text("fifo: q\n")
    assert f"{tmp_path}/a\\nb: 1 FIFO policy: no mistakes" in render(check(folder), "text")
    (folder / "x\nERROR \x1b[2J.yaml").write_text("name: x\n")
    first = render(check(folder), "text").splitlines()[0]
    assert first.startswith(f"{tmp_path}/a\\nb/x\\nERROR \\x1b[2J.yaml:1:1: error no-kind: ")
