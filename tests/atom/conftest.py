"""Classes that refer to each other, with their tables, and the statements that are really sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from framework.atom.classes import Atoms, Models
from framework.definitions import MODULES, Definitions
from framework.storage import Storage
from framework.storage.sqlite.engine import SqliteStorage
from framework.transactions.session import Session

MEMBER = """\
name: Member
attributes:
  identifier: {field_name: memberId, field_type: string, field_default: uuid.uuid1().hex}
  local_fields:
  - {field_name: name, field_type: string, field_nullable: false}
  - {field_name: code, field_type: integer, field_unique: true}
  ref_fields:
  - {field_name: team, field_type: <AxisAtom.Team>, ref_class: Team}
  - {field_name: friends, field_type: array<AxisAtom.Member>}
"""

TEAM = """\
name: Team
attributes:
  identifier: {field_name: teamId, field_type: string, field_default: uuid.uuid1().hex}
  local_fields:
  - {field_name: title, field_type: string}
  - {field_name: data, field_type: object, field_default: dict()}
  ref_fields:
  - {field_name: captain, field_type: <AxisAtom.Member>, ref_class: Member, ref_class_field: code}
  - {field_name: members, field_type: array<AxisAtom.Member>}
"""

OTHERS = """\
- name: Badge
  attributes:
    identifier: {field_name: number, field_type: integer}
    ref_fields:
    - {field_name: holder, field_type: <AxisAtom.Member>, field_unique: true}
    - {field_name: shown_to, field_type: array<AxisAtom.Note>, field_unique: true}
    - {field_name: last, field_type: <AxisAtom.Note>, field_persistence: false}
- name: Note
  attributes:
    local_fields:
    - {field_name: text, field_type: string}
    - {field_name: author, field_type: <AxisAtom.Member>, field_nullable: false, field_immutable: true}
- name: Node
  attributes:
    identifier: {field_name: number, field_type: integer}
    local_fields:
    - {field_name: value, field_type: integer}
    ref_fields:
    - {field_name: next, field_type: <AxisAtom.Node>}
    - {field_name: links, field_type: array<AxisAtom.Node>}
- name: Squad
  attributes:
    identifier: {field_name: number, field_type: integer}
    ref_fields:
    - {field_name: players, field_type: array<AxisAtom.Player>}
- name: Player
  attributes:
    identifier: {field_name: number, field_type: integer}
    local_fields:
    - {field_name: name, field_type: string}
- name: Plain
  attributes:
    identifier: {field_name: key, field_type: string}
    local_fields:
    - {field_name: one, field_type: string}
    - {field_name: two, field_type: string}
- name: Renamed
  attributes:
    identifier: {field_name: key, field_type: string, field_immutable: false}
    ref_fields:
    - {field_name: others, field_type: array<AxisAtom.Renamed>}
"""


@pytest.fixture
def defined(define: Callable[..., Definitions]) -> Definitions:
    return define(MEMBER, TEAM, OTHERS)


@pytest.fixture
async def atom(defined: Definitions, session: Session, storage: Storage) -> Atoms:
    """The classes, with their tables."""
    atoms = Atoms(defined.atoms, session, {**MODULES})
    await storage.ensure_tables(atoms.records)
    return atoms


@pytest.fixture
def model(atom: Atoms, session: Session) -> Models:
    return Models(atom, session)


@pytest.fixture
async def statements(storage: Storage) -> list[str]:
    """Every statement that SQLite runs for a read, on whichever connection; but for BEGIN and its end."""
    assert isinstance(storage, SqliteStorage)
    seen: list[str] = []

    def note(sql: str) -> None:
        if sql not in ("BEGIN", "ROLLBACK"):
            seen.append(sql)

    def trace(connection: Any) -> None:
        connection.set_trace_callback(note)

    await storage._lookups.run(trace)
    trace(storage._lookups._connection)
    for reader in storage._readers:
        await reader.set_trace_callback(note)
    return seen
