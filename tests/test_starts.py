"""What passes the check starts: every set of definitions of these tests, the examples and the documentation."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path

import pytest

from framework.definitions import check, render
from framework.serving.runtime import open_runtime

from .test_docs import PAGES, snippets

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
FOLDERS = [
    ROOT / "definitions",
    FIXTURES / "reference-app",
    FIXTURES / "exports",
    *sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir()),
    *sorted((FIXTURES / "check" / "right").iterdir()),
    *sorted((FIXTURES / "check" / "broken").iterdir()),  # some of them have nothing but warnings
]
SNIPPETS = [
    text
    for page in PAGES
    for text in snippets(page, "yaml")
    if "brewing" not in text  # a file that the reader has, and these tests have not
]

NAMES = (
    *(
        "instance",
        "Instance",
        "INSTANCE",
        "XID",
        "Xid",
        "xName",
        "_sequence",
        "Sequence",
        "sequence",
        "rowid",
    ),
    *("id", "ID", "oid", "key", "name", "owner", "position", "target", "order", "select", "index", "table"),
    *(
        "self",
        "cls",
        "class_",
        "save",
        "Save",
        "SAVE",
        "items",
        "Conn",
        "definition",
        "type",
        "json",
        "fields",
    ),
    *(
        "aiodb",
        "AIODB",
        "records",
        "define_methods",
        "atom",
        "sqlite_x",
        "SQLite_x",
        "pg_x",
        "_framework_fifo",
    ),
    *(
        "Framework_fifo",
        "fifo",
        "FIFO",
        "run_modules",
        "_modules",
        "settings",
        "logger",
        "context",
        "__class__",
    ),
)


async def starts(folder: Path, url: str) -> bool:
    """Whether the definitions pass; if they do, they are started, with workers and gateway."""
    checked = check(folder, environ={})
    if checked.errors or any(problem.code == "no-import" for problem in checked.problems):
        return False
    async with open_runtime(checked.definitions, url) as (runtime, app):
        assert app is not None
        assert [atom.__name__ for atom in runtime.snapshot.atoms] == [
            a.name for a in checked.definitions.atoms
        ]
        scope = runtime.snapshot.scope
        for atom in runtime.snapshot.atoms:
            assert getattr(scope["atom"], atom.__name__) is atom
            if atom._model.stored:
                assert getattr(scope["model"], atom.__name__).name == atom.__name__
                await atom.count()  # it has a table; a worker may have put something there already
        for module in checked.definitions.modules:
            assert getattr(scope["context"], module.name).__name__ == module.name
    return True


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_a_folder_that_passes_starts(folder: Path, url: str) -> None:
    passed = await starts(folder, url)
    assert passed or "broken" in folder.parts


async def test_every_snippet_of_the_documentation_that_passes_starts(tmp_path: Path) -> None:
    passed = 0
    for number, text in enumerate(SNIPPETS):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "a.yaml").write_text(text, encoding="utf-8")
        passed += await starts(folder, f"sqlite:///{folder}/test.db")
    assert passed > len(SNIPPETS) // 3


USES = {
    "class": "name: {0}\nattributes: {{identifier: {{field_name: k, field_type: string}}}}",
    "identifier": "name: C\nattributes: {{identifier: {{field_name: {0}, field_type: string}}}}",
    "field": "name: C\nattributes: {{local_fields: [{{field_name: {0}, field_type: string}}]}}",
    "indexed field": (
        "name: C\nattributes: {{local_fields: [{{field_name: {0}, field_type: string, field_unique: true}}]}}"
    ),
    "reference": """
        - {{name: P, attributes: {{identifier: {{field_name: k, field_type: string}}}}}}
        - name: C
          attributes: {{ref_fields: [{{field_name: {0}, field_type: <AxisAtom.P>}}]}}""",
    "array": """
        - {{name: P, attributes: {{identifier: {{field_name: k, field_type: string}}}}}}
        - name: C
          attributes: {{ref_fields: [{{field_name: {0}, field_type: array<AxisAtom.P>, field_unique: true}}]}}""",
    "inherited field": """
        - {{name: P, attributes: {{local_fields: [{{field_name: {0}, field_type: string}}]}}}}
        - {{name: C, extends: [P]}}""",
    "field without a column": (
        "name: C\nattributes: {{local_fields: [{{field_name: {0}, field_type: string, field_persistence: false}}]}}"
    ),
    "method": "name: C\nattributes: {{}}\nmethods: {{instance_methods: [{{method_body: 'def {0}(self): pass'}}]}}",
    "alias": "name: C\nattributes: {{local_fields: [{{field_name: f, field_type: string, field_alias: {0}}}]}}",
    "module": "name: {0}\ncode: x = 1",
    "worker": "name: {0}\nmode: multi\nscript: 'async def consume(): pass'",
    "FIFO": "fifo: {0}",
    "role": "name: {0}\nauthorities: [{{regex: /, methods: [GET]}}]",
}


@pytest.mark.parametrize("use", USES)
async def test_a_name_that_passes_starts(use: str, tmp_path: Path) -> None:
    """All names that pass together: also two that a database does not tell apart."""
    passed = []
    for name in NAMES:
        folder = tmp_path / name.encode().hex()
        folder.mkdir()
        (folder / "a.yaml").write_text(textwrap.dedent(USES[use]).format(name))
        if await starts(folder, f"sqlite:///{folder}/test.db"):
            passed.append(name)
    assert passed
    for one, other in itertools.combinations(passed, 2):
        if one.lower() == other.lower() and use in ("class", "module", "FIFO", "worker", "role"):
            both = tmp_path / f"{one}-{other}"
            both.mkdir()
            for name in (one, other):
                (both / f"{name.encode().hex()}.yaml").write_text(USES[use].format(name))
            await starts(both, f"sqlite:///{both}/test.db")


@pytest.mark.parametrize("use", ["identifier", "field", "reference", "array", "inherited field"])
@pytest.mark.parametrize("name", ["instance", "Instance", "INSTANCE", "XID", "Xid", "xname", "XName"])
def test_no_field_has_the_name_of_a_column_in_any_case(use: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(textwrap.dedent(USES[use]).format(name))
    checked = check(tmp_path, environ={})
    assert [problem.code for problem in checked.problems] == ["field-name"], render(checked, "text")
