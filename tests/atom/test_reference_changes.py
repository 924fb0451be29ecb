"""What becomes of references that are stored when the definitions of either side change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from framework import storage as engines
from framework.atom.classes import Atoms
from framework.errors import CannotOpen
from tests.atom.test_model_changes import Application

pytestmark = pytest.mark.anyio

MEMBER = (
    "name: Member\nattributes:\n  identifier: {field_name: memberId, field_type: integer}\n  local_fields:\n"
)
NAME = "  - {field_name: name, field_type: string, field_unique: true}\n"
TEAM = "name: Team\nattributes:\n  identifier: {field_name: teamId, field_type: string}\n  ref_fields:\n"
CAPTAIN = "  - {field_name: captain, field_type: <AxisAtom.Member>}\n"
MEMBERS = "  - {field_name: members, field_type: array<AxisAtom.Member>}\n"
BEFORE = (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS)


@pytest.fixture
async def club(tmp_path: Path) -> Application:
    """Two teams of members, the members in another order than they were saved in."""
    application = Application(tmp_path)

    async def found(atoms: Atoms) -> None:
        await fill(atoms)
        members = await atoms.Member.retrieve()
        listed = [members[2], members[0], members[2]]  # one of them twice
        await atoms.Team(teamId="a", captain=members[1], members=listed).save()
        await atoms.Team(teamId="b", members=[members[3]]).save()

    await run(application, BEFORE, found)
    return application


async def run(application: Application, texts: Sequence[str], work: Callable[[Atoms], Awaitable[Any]]) -> Any:
    """Start with these definitions, and do something."""
    atoms = application.define(texts)
    async with engines.open_storage(application.url) as storage:
        await storage.ensure_tables(atoms.records)
        application._session.bind(storage)
        try:
            return await work(atoms)
        finally:
            application._session.stop()


async def fill(atoms: Atoms) -> None:
    """Four members."""
    for n in range(4):
        await atoms.Member(memberId=n, name=f"m{n}").save()


async def teams(application: Application, texts: Sequence[str], class_: str = "Team") -> dict[str, Any]:
    """Start with these definitions, and give the teams with the names of their captain and members."""

    async def look(atoms: Atoms) -> dict[str, Any]:
        found = {}
        for team in await getattr(atoms, class_).retrieve():
            values = {name: getattr(team, name) for name in team._model.relations}
            found[team.teamId] = {
                name: [each.name for each in value] if isinstance(value, list) else value and value.name
                for name, value in values.items()
            }
        return found

    found: dict[str, Any] = await run(application, texts, look)
    return found


BOTH = {
    "a": {"captain": "m1", "members": ["m2", "m0", "m2"]},
    "b": {"captain": None, "members": ["m3"]},
}


def renamed(found: dict[str, Any], **names: str) -> dict[str, Any]:
    return {key: {names.get(name, name): value for name, value in row.items()} for key, row in found.items()}


async def migrated(application: Application, texts: Sequence[str], told: str) -> None:
    """The start stops and says so; the migration is planned and made."""
    before = application.raw()
    with pytest.raises(CannotOpen):
        await teams(application, texts)
    assert application.raw() == before
    plan, _ = engines.migrate(application.url, application.define(texts).records)
    assert not plan.refused, plan.refused
    assert told in "\n".join(f"{change.sign} {change.what}: {change.text}" for change in plan.changes)
    again = engines.plan_migration(application.url, application.define(texts).records)
    assert not again.made


async def refused(application: Application, texts: Sequence[str], told: str) -> None:
    before = application.raw()
    with pytest.raises(CannotOpen) as stopped:
        await teams(application, texts)
    assert told in str(stopped.value)
    plan, copy = engines.migrate(application.url, application.define(texts).records)
    assert told in "\n".join(f"{change.sign} {change.what}: {change.text}" for change in plan.refused)
    assert copy is None
    assert application.raw() == before
    assert await teams(application, BEFORE) == BOTH


async def test_references_are_added_by_a_start(club: Application) -> None:
    more = "  - {field_name: coach, field_type: <AxisAtom.Member>}\n"
    more += "  - {field_name: guests, field_type: array<AxisAtom.Member>}\n"
    found = await teams(club, (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS + more))
    assert found == {key: {**row, "coach": None, "guests": []} for key, row in BOTH.items()}


async def test_references_that_are_no_longer_defined_are_kept(club: Application) -> None:
    less = (MEMBER + NAME, TEAM.replace("  ref_fields:\n", "  ref_fields: []\n"))
    assert await teams(club, less) == {"a": {}, "b": {}}
    plan = engines.plan_migration(club.url, club.define(less).records)
    assert [change.what for change in plan.changes if change.kept] == [
        "column Team.captain",
        "table Team.members",
    ]
    assert await teams(club, BEFORE) == BOTH


async def test_a_table_of_references_is_dropped_by_its_name(club: Application) -> None:
    less = (MEMBER + NAME, TEAM + CAPTAIN)
    plan, copy = engines.migrate(club.url, club.define(less).records, ["Team.members"])
    assert [(change.sign, change.what, change.rows) for change in plan.made] == [
        ("-", "table Team.members", 4)
    ]
    assert copy is not None
    assert "Team.members" not in club.raw()


async def test_a_class_that_refers_is_renamed_with_its_references(club: Application) -> None:
    after = (
        MEMBER + NAME,
        (TEAM + CAPTAIN + MEMBERS).replace("name: Team\n", "name: Squad\nrenamed_from: Team\n"),
    )
    before = club.raw()
    with pytest.raises(CannotOpen):
        await teams(club, after, "Squad")
    assert club.raw() == before
    plan, _ = engines.migrate(club.url, club.define(after).records)
    assert [change.what for change in plan.made if "renamed from Team" in change.text] == [
        "table Squad",
        "table Squad.members",
    ]
    assert await teams(club, after, "Squad") == BOTH
    assert not [name for name in club.raw() if name.startswith("Team")]


async def test_a_class_that_is_referred_to_is_renamed(club: Application) -> None:
    after = (
        (MEMBER + NAME).replace("name: Member\n", "name: Player\nrenamed_from: Member\n"),
        (TEAM + CAPTAIN + MEMBERS).replace("AxisAtom.Member", "AxisAtom.Player"),
    )
    await migrated(club, after, "~ table Player: renamed from Member, 4 rows")
    assert await teams(club, after) == BOTH


async def test_references_are_renamed(club: Application) -> None:
    after = (
        MEMBER + NAME,
        (TEAM + CAPTAIN + MEMBERS)
        .replace("name: captain,", "name: lead, renamed_from: captain,")
        .replace("name: members,", "name: players, renamed_from: members,"),
    )
    await migrated(club, after, "~ table Team.players: renamed from Team.members, 4 rows")
    assert await teams(club, after) == renamed(BOTH, captain="lead", members="players")


async def test_a_class_and_its_references_are_renamed_at_once(club: Application) -> None:
    after = (
        MEMBER + NAME,
        (TEAM + CAPTAIN + MEMBERS)
        .replace("name: Team\n", "name: Squad\nrenamed_from: Team\n")
        .replace("name: members,", "name: players, renamed_from: members,"),
    )
    plan, _ = engines.migrate(club.url, club.define(after).records)
    assert "table Squad.players" in [change.what for change in plan.made]
    assert await teams(club, after, "Squad") == renamed(BOTH, members="players")


async def test_a_class_that_refers_to_itself_is_renamed(club: Application) -> None:
    friend = "  - {field_name: friend, field_type: <AxisAtom.Team>}\n"
    before = (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS + friend)

    async def befriend(atoms: Atoms) -> None:
        await (await atoms.Team.load("a")).save(friend="b")

    async def friends(atoms: Atoms) -> list[Any]:
        return [squad.friend and squad.friend.members[0].name for squad in await atoms.Squad.retrieve()]

    await run(club, before, befriend)
    squad = before[1].replace("name: Team\n", "name: Squad\nrenamed_from: Team\n")
    after = (before[0], squad.replace("AxisAtom.Team", "AxisAtom.Squad"))
    engines.migrate(club.url, club.define(after).records)
    assert await run(club, after, friends) == ["m3", None]


@pytest.mark.parametrize("owner", ["string", "integer"])
async def test_an_identifier_of_another_type_takes_its_references_along(
    club: Application, owner: str
) -> None:
    """That of what is referred to, and that of the class that refers."""
    before = (MEMBER + NAME, (TEAM + CAPTAIN + MEMBERS).replace("teamId", "number"))

    async def number(atoms: Atoms) -> None:
        members = await atoms.Member.retrieve()
        for key, each in (("1", members[1:]), ("2", members[:1])):
            await atoms.Team(number=key, members=each).save()

    async def look(atoms: Atoms) -> list[Any]:
        return [
            (str(team.number), [each.name for each in team.members]) for team in await atoms.Team.retrieve()
        ]

    club.url += ".another"
    await run(club, (MEMBER + NAME,), fill)
    await run(club, before, number)
    after = (
        MEMBER.replace("integer", "string") + NAME,
        before[1].replace("number, field_type: string", f"number, field_type: {owner}"),
    )
    plan, _ = engines.migrate(club.url, club.define(after).records)
    told = [f"{change.what}: {change.text}" for change in plan.made]
    assert "column Team.members.target: integer → string, 4 rows converted" in told
    assert ("column Team.members.owner: string → integer, 4 rows converted" in told) == (owner == "integer")
    assert await run(club, after, look) == [("1", ["m1", "m2", "m3"]), ("2", ["m0"])]


async def test_a_text_becomes_a_reference_by_itself(club: Application) -> None:
    text = "  local_fields:\n  - {field_name: best, field_type: string}\n"
    reference = "  - {field_name: best, field_type: <AxisAtom.Member>, ref_class_field: name}\n"

    async def write(atoms: Atoms) -> None:
        await (await atoms.Team.load("a")).save(best="m2")

    async def best(atoms: Atoms) -> list[Any]:
        return [team.best and team.best.memberId for team in await atoms.Team.retrieve()]

    await run(club, (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS + text), write)
    assert await run(club, (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS + reference), best) == [2, None]


async def test_an_identifier_by_another_name_is_the_same(club: Application) -> None:
    after = (MEMBER.replace("name: memberId", "name: number, renamed_from: memberId") + NAME, BEFORE[1])
    await migrated(club, after, "~ column Member.number: renamed from memberId")
    assert await teams(club, after) == BOTH


async def test_another_field_as_the_identifier_is_refused_while_there_are_references(
    club: Application,
) -> None:
    """Their keys would be looked for among the values of another field, and perhaps be found there."""
    after = (
        MEMBER.replace("field_name: memberId, field_type: integer", "field_name: name, field_type: string")
        + "  - {field_name: memberId, field_type: integer}\n",
        BEFORE[1],
    )
    await refused(club, after, "holds values of Member.memberId, and is to hold those of Member.name")


async def test_a_reference_that_becomes_an_array_is_refused(club: Application) -> None:
    after = (MEMBER + NAME, TEAM + CAPTAIN.replace("<AxisAtom.Member>", "array<AxisAtom.Member>") + MEMBERS)
    await refused(
        club, after, "column Team.captain: is to be a table of references, and is a column with values"
    )


async def test_an_array_that_becomes_a_reference_is_refused(club: Application) -> None:
    after = (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS.replace("array<AxisAtom.Member>", "<AxisAtom.Member>"))
    await refused(
        club, after, "column Team.members: is to be a column, and is a table of references with 4 rows"
    )


async def test_an_array_becomes_a_reference_where_its_links_are_dropped_by_name(club: Application) -> None:
    """The index of the reference has the name that the table of the array had."""
    after = (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS.replace("array<AxisAtom.Member>", "<AxisAtom.Member>"))
    plan, copy = engines.migrate(club.url, club.define(after).records, ["Team.members"])
    assert copy is not None
    assert not plan.refused
    assert await teams(club, after) == {
        "a": {"captain": "m1", "members": None},
        "b": {"captain": None, "members": None},
    }
    assert await teams(club, BEFORE) == {
        "a": {"captain": "m1", "members": []},
        "b": {"captain": None, "members": []},
    }


async def test_a_reference_becomes_an_array_where_its_values_are_dropped_by_name(club: Application) -> None:
    after = (MEMBER + NAME, TEAM + CAPTAIN.replace("<AxisAtom.Member>", "array<AxisAtom.Member>") + MEMBERS)
    plan, copy = engines.migrate(club.url, club.define(after).records, ["Team.captain"])
    assert copy is not None
    assert not plan.refused
    assert await teams(club, after) == {key: {**row, "captain": []} for key, row in BOTH.items()}


async def test_an_array_without_references_becomes_a_reference_by_itself_and_back(club: Application) -> None:
    async def leave(atoms: Atoms) -> None:
        for team in await atoms.Team.retrieve():
            await team.save(members=[])

    await run(club, BEFORE, leave)
    single = (MEMBER + NAME, TEAM + CAPTAIN + MEMBERS.replace("array<AxisAtom.Member>", "<AxisAtom.Member>"))
    for _ in range(2):
        assert {team["members"] for team in (await teams(club, single)).values()} == {None}
        assert [team["members"] for team in (await teams(club, BEFORE)).values()] == [[], []]
