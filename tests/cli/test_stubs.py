"""Stubs make mypy know what scripts see: right code passes, a wrong name is found."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

import framework
from framework.cli import main
from framework.definitions import check
from framework.definitions.names import COMMON_NAMES
from framework.stubs import HEADER, stubs
from framework.stubs.names import names

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXAMPLES = Path(__file__).parents[2] / "examples"

SHOP = """\
- name: Drink
  abstract: true
  attributes:
    identifier: {field_name: drinkId, field_type: string, field_default: uuid.uuid4().hex}
    local_fields:
    - {field_name: litres, field_type: number, field_default: 1}
  methods:
    class_methods:
    - method_body: "async def largest(cls, limit: int = 1) -> list: return []"
    instance_methods:
    - method_body: |
        def label(self, *, long: bool = False) -> str:
            return "x"
    - method_body: "async def pour(self, into: 'Cup', at: datetime.datetime | None = None) -> MU | None: return None"
- name: Tea
  extends: [Drink]
  attributes:
    local_fields:
    - {field_name: kind, field_type: string, field_nullable: false}
    - field_name: state
      field_type: string
      field_enum: [waiting, ready]
      field_default: waiting
      field_nullable: false
    - {field_name: extras, field_type: MU, field_alias: more}
    - {field_name: at, field_type: DateTime}
    - {field_name: list, field_type: array}
    - {field_name: str, field_type: string}
    - {field_name: self, field_type: string}
    ref_fields:
    - {field_name: cup, field_type: <AxisAtom.Cup>}
    - {field_name: cups, field_type: array<AxisAtom.Cup>}
- name: Cup
  attributes:
    identifier: {field_name: number, field_type: integer}
- name: Note
  attributes: {local_fields: [{field_name: text, field_type: string}]}
- name: tools
  code: |
    import functools
    RATES = {"a": 1}
    first, (second, third) = 1, (2, 3)
    def twice(x: int, *rest: str, **named) -> int:
        return 2 * x
    async def later(tea: "atom.Tea") -> None: ...
    class Kettle:
        size: int = 3
        def __init__(self, litres: float) -> None:
            self.litres = litres
    @functools.cache
    def cached(): return 1
"""

RIGHT = """\
    from __future__ import annotations
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from framework_names import *

    async def brew(tea_id: str) -> atom.Tea | None:
        tea = await atom.Tea.load(tea_id, for_update=True)
        if tea is None:
            raise HTTPError(404, reason="no such tea")
        kind: str = tea.kind
        litres: float | None = tea.litres
        await tea.save(state="ready", kind=kind.upper(), extras={"sugar": 2})
        assert tea.extras is not None
        tea.extras.milk = True
        tea.state = "waiting"
        text: str = tea.label(long=True)
        poured = await tea.pour(atom.Cup(number=1))
        if poured is not None:
            logger.info("%s %s", text, poured.dictionary)
        if tea.cup is not None:
            number: int = tea.cup.number
            await tea.cups[0].destroy()
        found: list[atom.Tea] = await atom.Tea.retrieve(kind="green", state="ready", order_by=["-litres"])
        async for each in atom.Tea.iterate(cup=3):
            qprint(each.kind)
        total: int = await atom.Tea.count(kind="green") + await atom.Note.count()
        assert isinstance(tea, atom.Drink)
        fresh = atom.Tea(kind="black", cup=1, cups=[{"number": 2}], at="2026-01-31T12:00:00+00:00", list=[1])
        keys: dict[str, object] = fresh.localfields()
        fresh += {"kind": "x"}
        async with model.aiodb() as conn, conn.begin():
            await fresh.save(conn=conn)
            rows = await conn.execute(select(model.Tea.c.kind).where(and_(model.Tea.c.state == "ready")))
            qprint(rows.first())
        async with FIFO("kettle") as order:
            if order is not None and Runtime.running():
                await FIFO("kettle").put({"a": 1})
        answer = await callout(url="http://127.0.0.1/", method=POST, body=MU(a=1), response_jsonify=True)
        qprint(answer.code + context.tools.twice(2, "x") + len(context.settings.NAME))
        await context.tools.later(fresh)
        kettle = context.tools.Kettle(1.5)
        await Cache("k").put(json.dumps({"at": datetime.datetime.now().isoformat()}))
        return tea if context.tools.RATES else None
    """


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.yaml").write_text(SHOP, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["stubs", str(folder / "shop"), "--out", str(folder / "out"), *arguments])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mypy looks through the framework once, not for each test."""
    return tmp_path_factory.mktemp("mypy")


def mypy(folder: Path, cache: Path, code: str) -> str:
    """What mypy --strict says of a module that uses the stubs."""
    (folder / "brewing.py").write_text(dedent(code), encoding="utf-8")
    path = f"{folder / 'out'}:{Path(framework.__file__).parents[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "brewing.py"],
        cwd=folder,
        env={"MYPYPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_a_module_that_uses_everything_passes_mypy_in_its_strict_mode(shop: Path, cache: Path) -> None:
    assert run(shop).exit_code == 0
    assert mypy(shop, cache, RIGHT) == "Success: no issues found in 1 source file\n"


def test_mypy_finds_wrong_names_and_types(shop: Path, cache: Path) -> None:
    assert run(shop).exit_code == 0
    wrong = {
        "tea.knid": '"Tea" has no attribute "knid"',
        "atom.Tee": 'Module has no attribute "Tee"',
        "await tea.save(knid='x')": 'Unexpected keyword argument "knid" for "save" of "Tea"',
        "await tea.save(state='redy')": 'Argument "state" to "save" of "Tea" has incompatible type',
        "tea.kind + 1": "Unsupported operand types for +",
        "tea.litres + 1": 'Unsupported operand types for + ("None" and "int")',
        "atom.Tea()": 'Missing named argument "kind" for "Tea"',
        "await atom.Tea.retrieve(litre=1)": 'Unexpected keyword argument "litre" for "retrieve" of "Tea"',
        "await atom.Cup.load('x')": 'Argument 1 to "load" of "Cup" has incompatible type "str"; expected "int"',
        "tea.label(longer=True)": 'Unexpected keyword argument "longer" for "label" of "Drink"',
        "context.tool": 'Module has no attribute "tool"',
        "context.tools.twice('x')": 'Argument 1 to "twice" has incompatible type "str"; expected "int"',
        "model.Drink": 'Module has no attribute "Drink"',
        "FIFO('a').putt": '"Fifo" has no attribute "putt"',
    }
    lines = [
        "from framework_names import *",
        "async def f(tea: atom.Tea) -> None:",
        *(f"    {one}" for one in wrong),
    ]
    told = mypy(shop, cache, "\n".join(lines)).splitlines()
    for number, (line, message) in enumerate(wrong.items(), 3):
        assert any(f"brewing.py:{number}: error: " in one and message in one for one in told), (line, told)
    assert not [one for one in told if ".pyi" in one]


def test_every_name_that_scripts_see_is_in_the_stub() -> None:
    assert sorted(names()) == sorted(COMMON_NAMES)


@pytest.mark.parametrize(
    "folder",
    [
        *sorted((FIXTURES / "check" / "right").iterdir()),
        FIXTURES / "reference-app",
        *sorted(EXAMPLES.iterdir()),
    ],
    ids=lambda path: path.name,
)
def test_stubs_of_every_right_definition_are_python(folder: Path) -> None:
    for path, text in stubs(check(folder, environ={}).definitions).items():
        ast.parse(text, path)
        assert text.startswith(HEADER)


def test_check_tells_what_is_stale_and_writes_nothing(shop: Path) -> None:
    missing = run(shop, "--check")
    assert missing.exit_code == 1
    assert "atom.pyi is stale" in missing.output
    assert not (shop / "out").exists()
    assert "6 files" in run(shop).output
    assert run(shop, "--check").exit_code == 0
    definitions = shop / "shop" / "shop.yaml"
    definitions.write_text(SHOP.replace("field_name: kind,", "field_name: sort,"), encoding="utf-8")
    changed = run(shop, "--check")
    assert (changed.exit_code, changed.output.count("is stale")) == (1, 1)
    assert run(shop).exit_code == 0
    assert "sort: _builtins.str" in (shop / "out" / "atom.pyi").read_text()


def test_what_is_needed_no_more_is_removed_and_other_files_stay(shop: Path) -> None:
    run(shop)
    mine = shop / "out" / "mine.pyi"
    mine.write_text("x: int\n")
    definitions = shop / "shop" / "shop.yaml"
    definitions.write_text(SHOP.partition("- name: tools")[0], encoding="utf-8")
    assert "tools.pyi is stale" in run(shop, "--check").output
    assert "1 removed" in run(shop).output
    assert not (shop / "out" / "context" / "tools.pyi").exists()
    assert mine.exists()


def test_definitions_with_mistakes_give_no_stubs(shop: Path) -> None:
    (shop / "shop" / "b.yaml").write_text("name: Tea\nattributes: {}\n")
    result = run(shop)
    assert (result.exit_code, "duplicate-class" in result.output) == (1, True)
    assert not (shop / "out").exists()


def test_a_folder_that_cannot_be_written_is_told(shop: Path) -> None:
    (shop / "out").mkdir()
    (shop / "out" / "context").write_text("a file")
    result = run(shop)
    assert result.exit_code == 2
    assert "cannot be written" in result.output
