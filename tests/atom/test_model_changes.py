"""References of filled classes when the definitions change: no link is lost, none points elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from framework import storage as engines
from framework.atoms import Atoms
from framework.definitions import MODULES, Definitions
from framework.errors import CannotOpen
from framework.session import Session

pytestmark = pytest.mark.anyio

BEFORE = """\
- name: Member
  attributes:
    identifier: {field_name: key, field_type: string}
    local_fields:
    - {field_name: name, field_type: string}
- name: Team
  attributes:
    identifier: {field_name: key, field_type: string}
    local_fields:
    - {field_name: captain, field_type: string}
    ref_fields:
    - {field_name: members, field_type: array<AxisAtom.Member>}
    - {field_name: friend, field_type: <AxisAtom.Team>}
"""

Edit = tuple[str, str]

PLANNED: Mapping[str, tuple[Edit, ...]] = {
    "the class is renamed": (
        ("name: Team", "name: Side\n  renamed_from: Team"),
        ("AxisAtom.Team", "AxisAtom.Side"),
    ),
    "the class that is referred to is renamed": (
        ("name: Member", "name: Player\n  renamed_from: Member"),
        ("AxisAtom.Member", "AxisAtom.Player"),
    ),
    "the references are renamed": (
        ("field_name: members", "field_name: players, renamed_from: members"),
        ("field_name: friend", "field_name: other, renamed_from: friend"),
    ),
    "class and references are renamed at once": (
        ("name: Team", "name: Side\n  renamed_from: Team"),
        ("AxisAtom.Team", "AxisAtom.Side"),
        ("field_name: members", "field_name: players, renamed_from: members"),
    ),
    "the keys become whole numbers": (
        ("{field_name: key, field_type: string}", "{field_name: key, field_type: integer}"),
        ("{field_name: captain, field_type: string}", "{field_name: captain, field_type: integer}"),
    ),
}


@pytest.fixture
def application(define: Callable[..., Definitions], url: str) -> Callable[..., Any]:
    """The classes of a text, on the database, with a storage that is closed at the end of the block."""

    async def run(text: str, work: Callable[[Atoms], Any]) -> Any:
        session = Session()
        atoms = Atoms(define(text).atoms, session, {**MODULES})
        async with engines.open_storage(url) as storage:
            session.bind(storage)
            await storage.ensure_tables(atoms.records)
            return await work(atoms)

    return run


async def fill(atom: Atoms) -> None:
    members = [atom.Member(key=str(n), name=f"name {n}") for n in range(1, 4)]
    one = atom.Team(key="1", members=[*members, members[0]], captain="2")
    await atom.Team(key="2", members=members[2:], friend=one, captain="3").save()


async def look(atom: Any) -> list[Any]:
    """The teams as plain data, whatever things are called now."""
    cls = getattr(atom, "Team" if "Team" in dir(atom) else "Side")
    found = []
    for team in await cls.retrieve(order_by=["key"]):
        members = getattr(team, "members" if "members" in cls.fieldnames() else "players")
        friend = getattr(team, "friend" if "friend" in cls.fieldnames() else "other")
        names = [(int(member.key), member.name) for member in members]
        found.append(
            (
                int(team.key),
                names,
                friend and int(friend.key),
                int(getattr(team.captain, "key", team.captain)),
            )
        )
    return found


ROWS = [
    (1, [(1, "name 1"), (2, "name 2"), (3, "name 3"), (1, "name 1")], None, 2),
    (2, [(3, "name 3")], 1, 3),
]


@pytest.mark.parametrize("change", PLANNED)
async def test_a_planned_change_takes_every_reference_along(
    application: Any, define: Callable[..., Definitions], url: str, change: str
) -> None:
    await application(BEFORE, fill)
    assert await application(BEFORE, look) == ROWS
    after = BEFORE
    for old, new in PLANNED[change]:
        assert old in after
        after = after.replace(old, new)
    with pytest.raises(CannotOpen, match="framework migrate"):
        await application(after, look)
    tables = Atoms(define(after).atoms, Session(), {**MODULES}).records
    engines.migrate(url, tables)
    assert await application(after, look) == ROWS


async def test_a_key_that_was_a_text_becomes_a_reference_by_itself(application: Any) -> None:
    await application(BEFORE, fill)
    after = BEFORE.replace("    - {field_name: captain, field_type: string}\n", "").replace(
        "ref_fields:\n", "ref_fields:\n    - {field_name: captain, field_type: <AxisAtom.Member>}\n"
    )
    assert after.count("captain") == 1

    async def captains(atom: Any) -> list[str]:
        return [team.captain.name for team in await atom.Team.retrieve(order_by=["key"])]

    assert await application(after, captains) == ["name 2", "name 3"]
    assert await application(after, look) == ROWS


async def test_a_new_reference_is_empty_and_one_that_is_no_longer_defined_is_kept(application: Any) -> None:
    await application(BEFORE, fill)
    more = BEFORE + "    - {field_name: fans, field_type: array<AxisAtom.Member>}\n"
    fewer = BEFORE.replace("    - {field_name: members, field_type: array<AxisAtom.Member>}\n", "")

    async def fans(atom: Any) -> list[Any]:
        return [team.fans for team in await atom.Team.retrieve()]

    async def friends(atom: Any) -> list[Any]:
        return [team.friend and team.friend.key for team in await atom.Team.retrieve(order_by=["key"])]

    assert await application(more, fans) == [[], []]
    assert await application(fewer, friends) == [None, "1"]
    assert await application(BEFORE, look) == ROWS, "it comes back with its definition"
