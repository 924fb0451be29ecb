"""References: what a field takes, how it is kept, and what becomes of it when its instance goes."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
import yaml
from sqlalchemy import delete, select, text

from framework.atom import Atom, references
from framework.atom.classes import Atoms, Models
from framework.atom.references import LEVELS
from framework.errors import (
    Duplicate,
    Gone,
    StillReferred,
    TransactionHeld,
    Unavailable,
    ValidationError,
)
from framework.storage import Storage
from framework.storage.operations import Execute, Insert, Update
from framework.transactions import context
from framework.transactions.session import Session
from framework.values import jsontext
from framework.values.mu import MU
from tests.conftest import Recorder

pytestmark = pytest.mark.anyio


def refused(rule: str, field: str) -> Any:
    """The ValidationError of a rule on a field."""
    return pytest.raises(ValidationError, check=lambda error: (error.rule, error.field) == (rule, field))


@pytest.fixture
async def team(atom: Atoms) -> Atom:
    """A saved team of three, of whom the first is the captain."""
    members = [atom.Member(memberId=f"m{n}", name=f"name {n}", code=n) for n in range(3)]
    return await atom.Team(teamId="t", title="A", members=members, captain=members[0]).save()


def keys(members: list[Any]) -> list[str]:
    return [each.memberId if isinstance(each, Atom) else each for each in members]


# ---- values ---------------------------------------------------------------------------------


async def test_a_reference_takes_an_instance_a_key_or_the_mapping_of_a_new_one(atom: Atoms) -> None:
    member = atom.Member(name="x")
    team = atom.Team(captain=7, members=(member, "m9", {"name": "y"}, MU(name="z")))
    assert team.captain == 7, "the captain is referred to by `code`, a whole number"
    assert team.members[0] is member
    assert team.members[1] == "m9"
    assert [type(each) for each in team.members[2:]] == [atom.Member] * 2
    assert [each.name for each in team.members[2:]] == ["y", "z"]
    team.members = None
    assert team.members == [], "an array is never None"
    assert atom.Team().captain is None


@pytest.mark.parametrize("give", ["construct", "assign", "add", "save"])
@pytest.mark.parametrize(
    ("field", "value", "rule", "place"),
    [
        ("captain", "text", "type", "captain"),
        ("captain", True, "type", "captain"),
        ("captain", [], "type", "captain"),
        ("captain", {"name": 1}, "type", "captain.name"),
        ("captain", {}, "required", "captain.name"),
        ("captain", {"nmae": "x"}, "unknown", "captain.nmae"),
        ("members", "m1", "type", "members"),
        ("members", ["m1", 7], "type", "members[1]"),
        ("members", [None], "nullable", "members[0]"),
        ("members", ["m1", {"name": "x", "code": "x"}], "type", "members[1].code"),
        ("members", [{"name": "x", "friends": [{"name": 7}]}], "type", "members[0].friends[0].name"),
    ],
)
async def test_what_a_reference_does_not_take_is_refused_by_its_place(
    atom: Atoms, team: Atom, give: str, field: str, value: Any, rule: str, place: str
) -> None:
    before = team.dictionary
    with pytest.raises(ValidationError) as caught:
        if give == "construct":
            atom.Team(**{field: value})
        elif give == "assign":
            setattr(team, field, value)
        elif give == "add":
            team += {"title": "other", field: value}
        else:
            await team.save(title="other", **{field: value})
    assert (caught.value.class_name, caught.value.field, caught.value.rule) == ("Team", place, rule)
    assert team.dictionary == before


async def test_an_instance_of_another_class_is_refused(atom: Atoms) -> None:
    with pytest.raises(ValidationError, match=r"Team\.members\[0\]: it takes a Member, not a Team"):
        atom.Team(members=[atom.Team()])
    with refused("type", "captain"):
        atom.Team(captain=atom.Note(author="m"))


async def test_a_local_reference_is_one_of_the_local_fields(atom: Atoms, team: Atom) -> None:
    with refused("required", "author"):
        atom.Note(text="x")
    with refused("nullable", "author"):
        atom.Note(text="x", author=None)
    note = await atom.Note(text="x", author=team.captain).save()
    assert atom.Note.fieldnames() == ["instance", "xid", "xname", "text", "author"]
    assert note.localfields() == {"text": "x", "author": team.captain}
    note.author = "m0"
    with refused("immutable", "author"):
        note.author = "m1"
    assert team.localfields() == {"teamId": "t", "title": "A", "data": {}}
    names = ["instance", "xid", "xname", "teamId", "title", "data", "captain", "members"]
    assert atom.Team.fieldnames() == names


# ---- saving ---------------------------------------------------------------------------------


async def test_saving_stores_what_is_referred_to_first_and_all_in_one_transaction(
    recorder: Recorder, team: Atom
) -> None:
    [unit] = recorder.units
    inserted = [(op.table.name, op.values.get("memberId")) for op in unit if isinstance(op, Insert)]
    assert inserted == [("Member", "m0"), ("Member", "m1"), ("Member", "m2"), ("Team", None)]


async def test_saving_writes_only_what_differs_wherever_it_is(
    atom: Atoms, recorder: Recorder, team: Atom
) -> None:
    loaded = await atom.Team.load("t")
    recorder.units.clear()
    await loaded.save()
    assert recorder.units == []
    loaded.members[1].name = "changed"
    loaded.members.append(atom.Member(memberId="m3", name="new"))
    await loaded.save()
    [unit] = recorder.units
    assert [type(op).__name__ for op in unit][:4] == ["Update", "Insert", "Update", "Link"]
    assert dict(unit[0].values) == {"name": "changed"}
    recorder.units.clear()
    await loaded.save()
    assert recorder.units == []
    again = await atom.Team.load("t")
    assert keys(again.members) == ["m0", "m1", "m2", "m3"]
    assert again.members[1].name == "changed"


async def test_order_and_repetition_are_kept(atom: Atoms, team: Atom) -> None:
    await team.save(members=["m2", "m0", "m2"])
    loaded = await atom.Team.load("t")
    assert keys(loaded.members) == ["m2", "m0", "m2"]
    assert loaded.members[0] is loaded.members[2], "one row is one instance"
    loaded.members.reverse()
    loaded.members.pop()
    await loaded.save()
    assert (await atom.Team.load("t", shallow=True)).members == ["m2", "m0"]
    await loaded.save(members=[])
    assert (await atom.Team.load("t")).members == []


async def test_a_list_stays_the_same_list_and_mappings_in_it_become_instances(
    atom: Atoms, team: Atom
) -> None:
    members = team.members
    members.append({"name": "new", "memberId": "m9"})
    await team.save()
    assert team.members is members
    assert (members[3].memberId, members[3].name) == ("m9", "new")
    await members[3].save(name="newer")
    assert (await atom.Member.load("m9")).name == "newer"


async def test_a_bad_value_inside_a_list_is_found_when_it_is_saved(atom: Atoms, team: Atom) -> None:
    team.members.append(7)
    with refused("type", "members[3]"):
        await team.save(title="other")
    assert team.title == "A"
    assert (await atom.Team.load("t")).title == "A"


async def test_new_instances_in_a_cycle_are_stored(atom: Atoms) -> None:
    one, two = atom.Member(memberId="a", name="a"), atom.Member(memberId="b", name="b")
    team = atom.Team(teamId="t", members=[one, two])
    one.team = two.team = team
    one.friends, two.friends = [two, one], [one]
    await one.save()
    loaded = await atom.Member.load("a")
    assert loaded.team.members[0] is loaded
    other = loaded.team.members[1]
    assert (loaded.friends[0], loaded.friends[1]) == (other, loaded)
    assert other.friends[0] is loaded
    assert await loaded.save() is loaded


async def test_without_propagation_only_its_own_row_is_written(
    atom: Atoms, recorder: Recorder, team: Atom
) -> None:
    team.members[0].name = "changed"
    team.members.pop()
    recorder.units.clear()
    await team.save(propagation_mode=False)
    assert {op.table.name for op in recorder.units[0]} == {"Team", "Team.members", "Member"}
    assert (await atom.Member.load("m0")).name == "name 0"
    assert (await atom.Team.load("t", shallow=True)).members == ["m0", "m1"]
    team.members.append(atom.Member(name="unsaved"))
    with pytest.raises(ValidationError, match="not saved yet"):
        await team.save(propagation_mode=False)
    node = atom.Node(number=1)
    node.next = node
    await node.save(propagation_mode=False)
    loaded = await atom.Node.load(1)
    assert loaded.next is loaded, "to refer to itself it need not be saved before"


@pytest.mark.parametrize("propagate", [True, False])
async def test_a_reference_to_nothing_is_refused(atom: Atoms, team: Atom, propagate: bool) -> None:
    for field, value in (("members", ["m0", "nobody"]), ("captain", 99)):
        with pytest.raises(ValidationError, match="there is no Member") as caught:
            await team.save(title="other", propagation_mode=propagate, **{field: value})
        assert (caught.value.field, caught.value.rule) == (field, "reference")
        with refused("reference", field):
            await atom.Team(**{field: value}).save(propagation_mode=propagate)
    assert team.title == "A"
    assert len(await atom.Team.retrieve()) == 1


async def test_what_was_destroyed_in_the_meantime_is_not_referred_to(atom: Atoms, team: Atom) -> None:
    stale = await atom.Member(memberId="x", name="x").save()
    other = await atom.Member.load("x")
    await other.destroy()
    with refused("reference", "members"):
        await team.save(members=[stale])
    with refused("reference", "members"):
        await team.save(members=[other])
    loaded = await atom.Team.load("t")
    await team.save(members=["m1"], captain=1)
    await (await atom.Member.load("m0")).destroy()
    loaded.members.append("m2")
    with refused("reference", "members"):
        await loaded.save()
    assert (await atom.Team.load("t", shallow=True)).members == ["m1"]


async def test_without_the_key_that_is_stored_nobody_is_referred_to(atom: Atoms) -> None:
    with pytest.raises(ValidationError, match="has no code"):
        await atom.Team(captain=atom.Member(name="without a code")).save()


async def test_a_failed_save_leaves_every_instance_as_it_was(
    atom: Atoms, recorder: Recorder, team: Atom
) -> None:
    team.members[0].name = "changed"
    new = atom.Member(memberId="m9", name="new")
    recorder.failures = [Unavailable("the disk is full")]
    with pytest.raises(Unavailable):
        await team.save(title="other", members=[*team.members, new])
    assert (team.title, keys(team.members)) == ("A", ["m0", "m1", "m2"])
    assert team.members[0].name == "changed", "what was assigned before stays assigned, and unsaved"
    await team.save(title="other", members=[*team.members, new])
    loaded = await atom.Team.load("t")
    assert (loaded.title, keys(loaded.members)) == ("other", ["m0", "m1", "m2", "m9"])
    assert loaded.members[0].name == "changed"


async def test_a_duplicate_below_undoes_everything(atom: Atoms, team: Atom) -> None:
    new = [atom.Member(memberId="m8", name="a"), atom.Member(memberId="m0", name="there is one")]
    other = atom.Team(teamId="u", members=new)
    with pytest.raises(Duplicate) as caught:
        await other.save()
    assert (caught.value.table, caught.value.columns) == ("Member", ("memberId",))
    assert await atom.Member.load("m8") is None
    assert await atom.Team.load("u") is None
    other.members[1] = "m0"
    await other.save()
    assert keys((await atom.Team.load("u")).members) == ["m8", "m0"]


async def test_a_transaction_that_is_not_stored_takes_memory_back_with_it(
    atom: Atoms, session: Session, team: Atom
) -> None:
    new = atom.Member(memberId="m9", name="new")
    with pytest.raises(RuntimeError):
        async with session.collected():
            await team.save(title="other", members=[*team.members, new])
            assert keys((await atom.Team.load("t")).members) == ["m0", "m1", "m2", "m9"]
            raise RuntimeError
    assert (team.title, keys(team.members)) == ("A", ["m0", "m1", "m2"])
    assert await atom.Member.load("m9") is None
    await team.save(title="other", members=[*team.members, new])
    assert keys((await atom.Team.load("t")).members) == ["m0", "m1", "m2", "m9"]


async def test_two_that_save_different_fields_both_win(atom: Atoms, team: Atom) -> None:
    one, two, three = [await atom.Team.load("t") for _ in range(3)]
    two.members.pop()
    await asyncio.gather(one.save(title="B"), two.save(), three.save(captain=2))
    loaded = await atom.Team.load("t")
    assert (loaded.title, keys(loaded.members), loaded.captain.code) == ("B", ["m0", "m1"], 2)


async def test_links_of_a_row_that_is_gone_are_not_written(atom: Atoms, team: Atom) -> None:
    loaded = await atom.Team.load("t")
    await team.destroy()
    loaded.members.pop()
    with pytest.raises(Gone):
        await loaded.save()


async def test_what_is_unique_is_referred_to_once(atom: Atoms, team: Atom) -> None:
    note = await atom.Note(author="m0").save()
    await atom.Badge(number=1, holder="m0", shown_to=[note]).save()
    with pytest.raises(Duplicate) as caught:
        await atom.Badge(number=2, holder="m0").save()
    assert (caught.value.table, caught.value.columns) == ("Badge", ("holder",))
    with pytest.raises(Duplicate) as caught:
        await atom.Badge(number=2, shown_to=[note.instance]).save()
    assert (caught.value.table, caught.value.columns) == ("Badge", ("shown_to",))


async def test_a_reference_that_is_not_stored_is_kept_in_the_instance_alone(atom: Atoms, team: Atom) -> None:
    note = atom.Note(author="m0")
    badge = await atom.Badge(number=1, last=note).save()
    assert badge.last is note
    assert await atom.Note.count() == 0
    assert (await atom.Badge.load(1)).last is None


async def test_a_key_that_changes_takes_its_own_references_along(atom: Atoms) -> None:
    one = atom.Renamed(key="a", others=[atom.Renamed(key="b"), atom.Renamed(key="c")])
    await one.save()
    await one.save(key="z")
    assert await atom.Renamed.load("a") is None
    loaded = await atom.Renamed.load("z")
    assert [each.key for each in loaded.others] == ["b", "c"]
    with pytest.raises(StillReferred):
        await loaded.others[0].save(key="y")
    loaded.others[0].key = "y"
    await loaded.save(others=loaded.others[1:])
    await loaded.others[0].save(key="c")
    loaded.others[0].key = "x"
    with pytest.raises(StillReferred):
        await loaded.others[0].save()


# ---- loading --------------------------------------------------------------------------------


async def test_loading_brings_what_is_referred_to(atom: Atoms, team: Atom) -> None:
    for loaded in (await atom.Team.load("t"), *await atom.Team.retrieve(title="A")):
        assert loaded.dictionary == team.dictionary
        assert loaded.captain is loaded.members[0]
        assert [each.name for each in loaded.members] == ["name 0", "name 1", "name 2"]


async def test_shallow_leaves_the_keys(atom: Atoms, team: Atom) -> None:
    for loaded in (await atom.Team.load("t", shallow=True), *await atom.Team.retrieve(shallow=True)):
        assert (loaded.captain, loaded.members) == (0, ["m0", "m1", "m2"])
        assert loaded.dictionary == {
            **team.dictionary,
            "captain": 0,
            "members": ["m0", "m1", "m2"],
        }
        await loaded.save(title="B")
    loaded.members.pop()
    await loaded.save()
    assert keys((await atom.Team.load("t")).members) == ["m0", "m1"]


@pytest.mark.parametrize("form", ["dictionary", "yaml_format", "json"])
async def test_a_cycle_neither_loops_nor_loses(atom: Atoms, form: str) -> None:
    one, two = atom.Member(memberId="a", name="a", code=1), atom.Member(memberId="b", name="b")
    team = atom.Team(teamId="t", members=[one, two], captain=one)
    one.team = two.team = team
    one.friends = [two]
    await team.save()
    loaded = await atom.Team.load("t")
    shown = {
        "dictionary": lambda: loaded.dictionary,
        "yaml_format": lambda: yaml.safe_load(loaded.yaml_format)["Team"],
        "json": lambda: json.loads(jsontext.encode(loaded)),
    }[form]()
    captain = shown["captain"]
    assert (captain["memberId"], captain["team"]) == ("a", "t"), "inside itself an instance is its key"
    assert captain["friends"] == [shown["members"][1]]
    assert shown["members"][0] == captain, "it is expanded each time it occurs"
    assert (shown["members"][1]["name"], shown["members"][1]["team"]) == ("b", "t")
    assert shown == team.dictionary


async def test_a_net_of_references_ends_and_shows_each_instance(
    atom: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "REPEATS", 500)
    nodes = [atom.Node(number=number) for number in range(60)]
    for one, other in itertools.pairwise(nodes):  # 2 ** 59 ways lead from the first to the last
        one.links = [other, other]
        one.next = other
    text = nodes[0].yaml_format
    assert all(f"number: {number}\n" in text for number in range(60))
    assert len(text) < 1_000_000


async def test_a_long_chain_in_memory_is_shown_to_its_end(atom: Atoms) -> None:
    first = node = atom.Node(number=0)
    for number in range(1, 5000):
        node.next = atom.Node(number=number)
        node = node.next
    node.next = first
    shown, depth = first.dictionary, 0
    while isinstance(shown["next"], dict):
        shown, depth = shown["next"], depth + 1
    assert (shown["number"], shown["next"], depth) == (4999, 0, 4999)


async def test_what_has_no_identifier_yet_is_not_referred_to_in_the_database(atom: Atoms) -> None:
    badge = atom.Badge(holder=atom.Member(name="a"))
    with refused("required", "number"):
        await badge.save()
    badge.number = 7
    await badge.save()
    node = atom.Node(number=1, next=atom.Node())
    with refused("reference", "next"):
        await node.save()
    assert await atom.Node.retrieve() == []
    node.next.number = 2
    await node.save()
    assert (await atom.Node.load(1)).next.number == 2


async def test_a_long_chain_comes_as_far_as_it_may_and_then_as_a_key(
    atom: Atoms, statements: list[str]
) -> None:
    first = atom.Node(number=0)
    node = first
    for number in range(1, 3000):
        node.next = atom.Node(number=number)
        node = node.next
    await first.save()
    statements.clear()
    node = await atom.Node.load(0)
    assert len(statements) <= 2 * LEVELS
    loaded = node
    for number in range(LEVELS):
        assert node.number == number
        node = node.next
    assert node == LEVELS
    assert loaded.dictionary["next"]["number"] == 1
    await loaded.save(value=1)
    node = await atom.Node.load(LEVELS)
    assert node.next.number == LEVELS + 1


async def test_what_is_not_there_stays_its_key(atom: Atoms, model: Models, team: Atom) -> None:
    async with model.aiodb() as conn:
        await conn.execute(delete(model.Member).where(model.Member.c.memberId == "m0"))
    loaded = await atom.Team.load("t")
    assert loaded.captain == 0
    assert loaded.members[0] == "m0"
    assert loaded.members[1].name == "name 1"
    await loaded.save(title="it can be saved, as long as the reference is not touched")


async def test_teams_with_all_members_take_three_statements(
    atom: Atoms, storage: Storage, statements: list[str]
) -> None:
    numbers = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {})"
    player = "INSERT INTO \"Player\" (instance, number, name) {} SELECT 'p' || n, n, 'name ' || n FROM c"
    squad = "INSERT INTO \"Squad\" (instance, number) {} SELECT 's' || n, n FROM c"
    link = 'INSERT INTO "Squad.players" (owner, position, target) {} SELECT n / 20, n % 20, n FROM c'
    for insert, many in ((player, 20_000), (squad, 1000), (link, 20_000)):
        await storage.write([Execute(text(insert.format(numbers.format(many - 1))))])
    statements.clear()
    found = await atom.Squad.retrieve(order_by=["number"])
    assert len(statements) <= 3
    assert [[player.number for player in squad.players] for squad in found] == [
        list(range(20 * n, 20 * n + 20)) for n in range(1000)
    ]
    assert found[999].players[19].name == "name 19999"


async def test_for_update_holds_the_writer(atom: Atoms, model: Models, session: Session, team: Atom) -> None:
    for read in (atom.Team.load("t", for_update=True), atom.Team.retrieve(for_update=True)):
        with pytest.raises(TransactionHeld, match="conn="):
            await read
    with pytest.raises(TransactionHeld):
        await atom.Plain.retrieve(for_update=True)
    waiting = None
    async with model.aiodb() as conn, conn.begin():
        [loaded] = await atom.Team.retrieve(conn=conn, for_update=True)
        waiting = asyncio.create_task(_outside(atom, session))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "nobody else writes until the transaction ends"
        await loaded.save(conn=conn, title=loaded.title + "+")
    await waiting
    assert (await atom.Team.load("t")).title == "A+!"


async def _outside(atom: Atoms, session: Session) -> None:
    """Another script: it has begun no transaction."""
    context.forget()
    async with session.connection().begin() as conn:
        loaded = await atom.Team.load("t", conn=conn, for_update=True)
        await loaded.save(conn=conn, title=loaded.title + "!")


# ---- destroying -----------------------------------------------------------------------------


async def test_destroying_takes_the_links_and_leaves_who_was_referred_to(
    atom: Atoms, model: Models, team: Atom
) -> None:
    await team.destroy()
    assert await atom.Member.count() == 3
    async with model.aiodb() as conn:
        assert len(await conn.execute(select(model["Team.members"]))) == 0
    await (await atom.Member.load("m0")).destroy()


@pytest.mark.parametrize("propagate", [True, False])
async def test_what_is_still_referred_to_is_not_destroyed(atom: Atoms, team: Atom, propagate: bool) -> None:
    for key, by in (("m0", "Team.captain"), ("m1", "Team.members")):
        member = await atom.Member.load(key)
        with pytest.raises(StillReferred) as caught:
            await member.destroy(propagation_mode=propagate)
        assert str(caught.value) == f"Member {key!r} is still referred to by {by} of 't'"
        assert (caught.value.table, caught.value.key, caught.value.by, caught.value.by_key) == (
            "Member",
            key,
            by,
            "t",
        )
        assert await atom.Member.load(key) is not None
    await team.save(members=["m1"], captain=None)
    await member.save(name="it can still be saved")
    await (await atom.Member.load("m0")).destroy()


async def test_one_that_refers_to_itself_can_be_destroyed(atom: Atoms) -> None:
    node = atom.Node(number=1)
    node.next, node.links = node, [node]
    await node.save()
    await node.destroy()
    assert await atom.Node.count() == 0


async def test_a_value_that_is_referred_to_does_not_change(atom: Atoms, team: Atom) -> None:
    captain = team.captain
    with pytest.raises(StillReferred):
        await captain.save(code=100)
    assert captain.code == 0
    captain.code = 100
    await team.save()
    loaded = await atom.Team.load("t")
    assert loaded.captain.code == 100, "saved together with who refers to it, it may"


async def test_two_at_once_leave_no_reference_to_nothing(atom: Atoms) -> None:
    """One destroys what the other begins to refer to: exactly one of them succeeds."""
    for number in range(50):
        member = await atom.Member(memberId=f"m{number}", name="x").save()
        team = atom.Team(teamId=f"t{number}", members=[f"m{number}"])
        outcomes = await asyncio.gather(member.destroy(), team.save(), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] in (
            [StillReferred],
            [ValidationError],
        )
    for found in await atom.Team.retrieve():
        assert all(isinstance(each, Atom) for each in found.members)


# ---- the database ---------------------------------------------------------------------------


async def test_scripts_see_the_tables_of_references(atom: Atoms, model: Models, team: Atom) -> None:
    async with model.aiodb() as conn:
        links = model["Team.members"]
        rows = await conn.execute(select(links).order_by(links.c.position))
        assert rows.fetchall() == [("t", 0, "m0"), ("t", 1, "m1"), ("t", 2, "m2")]
        row = await conn.execute(select(model.Team.c.captain))
        assert row.scalar() == 0
    with pytest.raises(AttributeError, match="did you mean"):
        _ = model["Taem"]


async def test_a_class_without_references_is_saved_by_one_operation(atom: Atoms, recorder: Recorder) -> None:
    plain = await atom.Plain(key="a").save()
    await plain.save(one="x")
    await plain.destroy()
    assert recorder.kinds() == [["Insert"], ["Update"], ["Delete"]]
    assert isinstance(recorder.units[1][0], Update)
