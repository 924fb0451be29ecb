"""Names that are no Python names, and other short texts that end up in lines: what they may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.definitions import check

NAMED = {
    "FIFO": "fifo: {0}",
    "role": "name: {0}\nauthorities: [{{regex: /, methods: [GET]}}]",
    "worker": "name: {0}\nmode: multi\nscript: 'async def consume(): pass'",
}
IDENTIFIER = "identifier: {field_name: k, field_type: string}"


def problems(text: str, tmp_path: Path) -> list[str]:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    return [f"{p.location.line}:{p.location.column} {p.code}" for p in check(tmp_path, environ={}).problems]


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", ["a\n", "a\r\nb", "\x1b[31m", "a\x9b2J", "a\u202eb", "a\0", "x" * 201])
def test_a_name_is_one_printable_line(kind: str, name: str, tmp_path: Path) -> None:
    assert problems(NAMED[kind].format(json.dumps(name)), tmp_path) == ["1:7 wrong-value"]


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", ["注文", "a b, c", "x" * 200, "Größe 😀"])
def test_every_other_name_will_do(kind: str, name: str, tmp_path: Path) -> None:
    assert problems(NAMED[kind].format(json.dumps(name, ensure_ascii=False)), tmp_path) == []


def test_the_name_of_a_header_has_no_line_break(tmp_path: Path) -> None:
    route = (
        "proxy: {path: /a, authorization: {auth_mode: none}}\n"
        "idempotency: true\n"
        'idempotency_headers: ["X-Kind\\n"]\n'
        "request_forbidden_process: return 200\n"
    )
    assert problems(route, tmp_path) == ["3:23 wrong-value"]


@pytest.mark.parametrize("former", ["old name", "1st", "x\\n", "größe", "uuid.uuid4()"])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_former_name_is_one_that_a_field_could_have(former: str, inherited: bool, tmp_path: Path) -> None:
    field = f'{{renamed_from: "{former}", field_name: f, field_type: string}}'
    text = f"- name: C\n  attributes:\n    {IDENTIFIER}\n    local_fields: [{field}]\n"
    if inherited:
        text += "- name: D\n  extends: [C]\n"
    assert set(problems(text, tmp_path)) == {"4:35 renamed-from"}
