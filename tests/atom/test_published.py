"""Code and definitions as they are published for the platform run as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import Definitions, check
from framework.errors import ValidationError
from framework.script.settings import Options, Settings
from framework.storage import Storage
from framework.transactions.session import Session
from tests.script.test_scope import bound

pytestmark = pytest.mark.anyio

CLASSES = """\
- name: Employee
  abstract: true
  scope: local
  attributes:
    local_fields:
    - {field_name: name, field_type: string, field_nullable: false}
    - {field_name: mail, field_type: string, field_format: '{"format": "email"}'}
- name: LocalEmployee
  extends: [Employee]
  scope: secure
  api_generation: true
  attributes:
    identifier: {field_name: id, field_type: string, field_immutable: true}
    local_fields:
    - {field_name: position, field_type: string}
    ref_fields:
    - {field_name: boss, field_type: <AxisAtom.LocalEmployee>}
    - {field_name: team, field_type: array<AxisAtom.LocalEmployee>}
  methods:
    class_methods:
    - method_body: |
        def hire(cls, name, region=options.region):
            return cls(name=name, position=region)
    instance_methods:
    - propagation_mode: true
      method_body: |
        async def promote(self, told):
            told.append(f'{self.name} for {__ROOT__.name} at {options.default_apigw_port}')
- name: Empty
  scope: public
  attributes: {}
  methods: {}
- name: Bare
  scope: anything at all
  attributes: {}
"""


@pytest.fixture
async def scope(define: Callable[..., Definitions], session: Session, storage: Storage) -> dict[str, Any]:
    snapshot = bound(define(CLASSES), session)
    snapshot.scope["options"] = Options(Settings({"FRAMEWORK_SETTING_region": "eu"}))
    await storage.ensure_tables(snapshot.atoms.records)
    snapshot.atoms.define_methods(snapshot.scope)
    return snapshot.scope


async def test_an_instance_gets_its_identifier_after_construction(scope: dict[str, Any]) -> None:
    atom = scope["atom"]
    x = atom.LocalEmployee(name="a", position="b")
    with pytest.raises(ValidationError, match=r"LocalEmployee\.id: a value is needed"):
        await x.save()
    x.id = "7"
    await x.save()
    y = await atom.LocalEmployee(name="c", id="8", boss=x, team=[x])
    await y.save()
    assert atom.LocalEmployee.fieldnames() == [
        *("instance", "xid", "xname", "name", "mail", "id", "position", "boss", "team")
    ]
    shown = (await atom.LocalEmployee.load("8")).dictionary
    assert shown["boss"] == shown["team"][0]
    assert shown["boss"]["position"] == "b"


async def test_methods_see_options_and_the_root(scope: dict[str, Any]) -> None:
    hired = scope["atom"].LocalEmployee.hire("a")
    assert hired.position == "eu"
    hired.boss = scope["atom"].LocalEmployee(name="b")
    told: list[str] = []
    await hired.promote(told)
    assert told == ["a for a at 9099", "b for a at 9099"]
    assert (await scope["atom"].Empty().save()).dictionary.keys() == {"instance"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("class", "async def f(cls): return __ROOT__"),
        ("instance", "def f(self): return __ROOT__"),
        ("instance", "async def f(self, root=__ROOT__): pass"),
    ],
)
def test_only_a_coroutine_of_an_instance_sees_the_root(tmp_path: Path, kind: str, body: str) -> None:
    text = f"name: X\nattributes: {{}}\nmethods:\n  {kind}_methods:\n  - method_body: |\n      {body}\n"
    (tmp_path / "a.yaml").write_text(text)
    [problem] = check(tmp_path).problems
    assert (problem.code, problem.hint) == (
        "unseen-name",
        "only an `async def` under `instance_methods` sees it",
    )
