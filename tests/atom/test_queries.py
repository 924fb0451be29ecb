"""Finding instances: by what they refer to, one by one in flat memory, and how many there are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.schema import CreateTable

from framework.atom import queries
from framework.atom.classes import Atoms, Models
from framework.definitions import Definitions
from framework.errors import FrameworkError, ValidationError
from framework.storage import Storage
from framework.storage.operations import Execute
from framework.storage.sqlite.dialect import Dialect
from framework.transactions.session import Session

pytestmark = pytest.mark.anyio


@pytest.fixture
async def teams(atom: Atoms) -> Atoms:
    """Three members, and the teams a (m0, m1), b (m1) and c (nobody); m1 is the captain of a and b."""
    members = [atom.Member(memberId=f"m{n}", name=f"name {n}", code=n) for n in range(3)]
    await atom.Team(teamId="a", members=members[:2], captain=members[1], title="x").save()
    await atom.Team(teamId="b", members=["m1"], captain=1, title="x").save()
    await atom.Team(teamId="c", title="y").save()
    await members[2].save()
    return atom


async def found(teams: Atoms, **arguments: Any) -> str:
    return "".join([team.teamId for team in await teams.Team.retrieve(**arguments)])


async def test_a_single_reference_is_found_by_an_instance_by_its_key_and_by_none(teams: Atoms) -> None:
    one = await teams.Member.load("m1")
    assert await found(teams, captain=one) == "ab"
    assert await found(teams, captain=1) == "ab"
    assert await found(teams, captain=1, title="y") == ""
    assert await found(teams, captain=None) == "c"
    assert await found(teams, captain=await teams.Member.load("m2")) == ""
    assert await found(teams, order_by=["-captain", "teamId"]) == "abc"


async def test_an_array_is_found_by_one_of_its_members(teams: Atoms) -> None:
    assert await found(teams, members="m1") == "ab"
    assert await found(teams, members=await teams.Member.load("m0")) == "a"
    assert await found(teams, members="m0", captain=1, title="x") == "a"
    assert await found(teams, members="nobody") == ""


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"members": ["m1"]}, "filter"),
        ({"members": None}, "filter"),
        ({"members": {"name": "x"}}, "filter"),
        ({"captain": {"name": "x"}}, "filter"),
        ({"captain": "text"}, "type"),
        ({"captian": 1}, "unknown"),
        ({"order_by": ["members"]}, "order"),
        ({"order_by": ["-captian"]}, "unknown"),
    ],
)
async def test_what_cannot_be_looked_for_is_refused(
    teams: Atoms, arguments: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        await teams.Team.retrieve(**arguments)
    assert caught.value.rule == rule


async def test_what_is_counted_is_what_would_be_retrieved(teams: Atoms) -> None:
    for equals in ({}, {"captain": 1}, {"captain": None}, {"members": "m1"}, {"title": "y"}, {"xid": "7"}):
        rows = await teams.Team.retrieve(**equals)
        assert await teams.Team.count(**equals) == len(rows)
        assert [team.teamId async for team in teams.Team.iterate(**equals)] == [row.teamId for row in rows]
    with pytest.raises(ValidationError, match="cannot compare"):
        await teams.Team.count(data={})


async def test_count_and_iterate_see_what_the_transaction_wrote(teams: Atoms, session: Session) -> None:
    async with session.collected():
        await teams.Team(teamId="d", captain=1).save()
        assert await teams.Team.count(captain=1) == 3
        assert [team.teamId async for team in teams.Team.iterate()] == ["a", "b", "c", "d"]


async def test_null_is_the_least_value_in_every_order(atom: Atoms) -> None:
    """In memory as well, and where the database itself would put it last."""
    for number, value in enumerate((2, None, 1, None)):
        await atom.Node(number=number, value=value).save()
    assert [node.number for node in await atom.Node.retrieve(order_by=["value"])] == [1, 3, 2, 0]
    assert [node.number for node in await atom.Node.retrieve(order_by=["-value"])] == [0, 2, 1, 3]


async def test_the_statement_of_a_page_is_sql_for_any_database(atom: Atoms) -> None:
    statement = queries._statement(atom.Node, {"value": 1}, ("value", "-next", "number"))
    made = str(statement.compile(dialect=asyncpg.dialect()))
    assert 'ORDER BY "Node".value ASC NULLS FIRST, "Node".next DESC NULLS LAST, "Node".number ASC, ' in made
    assert made.count("::BIGINT") >= 2, "a bound of 64 bits"
    assert queries.Page().bounds() == {"_offset": 0, "_limit": 2**63 - 1}


async def test_a_default_of_truth_is_sql_for_any_database(define: Callable[..., Definitions]) -> None:
    fields = "\n  ".join(
        f"- {{field_name: {name}, field_type: boolean, field_nullable: false, field_default: {value}}}"
        for name, value in (("on", "True"), ("off", "False"))
    )
    definitions = define(f"name: Switch\nattributes:\n  local_fields:\n  {fields}\n")
    [table] = Atoms(definitions.atoms, Session(), {}).records
    made = str(CreateTable(table).compile(dialect=asyncpg.dialect()))
    assert "BOOLEAN DEFAULT true NOT NULL" in made
    assert "BOOLEAN DEFAULT false NOT NULL" in made
    ours = str(CreateTable(table).compile(dialect=Dialect()))
    assert "BOOLEAN DEFAULT 1 NOT NULL" in ours, "as in the databases that there are"


async def test_scripts_may_ask_for_columns_of_their_own(teams: Atoms, model: Models) -> None:
    async with model.aiodb() as conn:
        members = model["Team.members"]
        query = (
            select(model.Team.c.title, func.count())
            .select_from(model.Team.join(members, members.c.owner == model.Team.c.teamId))
            .group_by(model.Team.c.title)
        )
        assert (await conn.execute(query)).fetchall() == [("x", 3)]
    assert await found(teams, order_by=[model.Team.c.teamId.desc()], limit=2, offset=1) == "ba"


# ---- many rows ------------------------------------------------------------------------------


async def fill(storage: Storage, atom: Atoms, many: int) -> None:
    """Rows of Plain, as SQLite makes them quickest."""
    numbers = f"WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {many - 1})"
    insert = 'INSERT INTO "Plain" (instance, key, one)'
    row = f"SELECT 'i' || n, 'k' || n, '{'x' * 100}' FROM c"
    await storage.write([Execute(text(f"{insert} {numbers} {row}"))])


async def test_iterating_reads_pages_in_the_order_of_insertion(
    atom: Atoms, storage: Storage, statements: list[str]
) -> None:
    many = 3 * queries.PAGE
    await fill(storage, atom, many)
    statements.clear()
    assert [each.key async for each in atom.Plain.iterate()] == [f"k{n}" for n in range(many)]
    assert len(statements) == 4, "one for each page, and one that finds the end"


async def test_nothing_is_held_between_the_pages(atom: Atoms, storage: Storage) -> None:
    """Others write meanwhile; what is gone before its page is not given, what is new is."""
    await fill(storage, atom, queries.PAGE + 10)
    seen = []
    async for each in atom.Plain.iterate():
        if not seen:
            await (await atom.Plain.load(f"k{queries.PAGE + 5}")).destroy()
            await atom.Plain(key="new").save()
            await each.save(one="changed")
        seen.append(each.key)
    expected = [f"k{n}" for n in range(queries.PAGE + 10) if n != queries.PAGE + 5]
    assert seen == [*expected, "new"]


async def test_any_number_of_rows_is_iterated_in_flat_memory(atom: Atoms, storage: Storage) -> None:
    await fill(storage, atom, 100_000)
    number = early = 0
    tracemalloc.start()
    try:
        async for _ in atom.Plain.iterate():
            number += 1
            if number == 10_000:
                early = tracemalloc.get_traced_memory()[1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 100_000
    assert peak < early * 1.2 + 100_000, (early, peak)


async def test_a_page_brings_what_is_referred_to(teams: Atoms, statements: list[str]) -> None:
    statements.clear()
    loaded = {team.teamId: team async for team in teams.Team.iterate()}
    assert [each.name for each in loaded["a"].members] == ["name 0", "name 1"]
    assert loaded["b"].captain is loaded["a"].captain, "one row is one instance in a page"
    assert len(statements) <= 5
    shallow = [team.members async for team in teams.Team.iterate(shallow=True)]
    assert shallow == [["m0", "m1"], ["m1"], []]


async def test_an_iteration_may_be_left(atom: Atoms, storage: Storage) -> None:
    await fill(storage, atom, 10)
    async for each in atom.Plain.iterate():
        assert each.key == "k0"
        break
    with pytest.raises(ValidationError, match="did you mean 'one'"):
        _ = [each async for each in atom.Plain.iterate(oen="x")]
    with pytest.raises(FrameworkError):
        await atom.Plain.retrieve(limit=-1)


async def test_what_was_there_comes_once_whatever_is_inserted_and_destroyed_meanwhile(
    atom: Atoms, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 3)
    await fill(storage, atom, 20)
    seen: list[str] = []
    async for each in atom.Plain.iterate():
        seen.append(each.key)
        if each.key in ("k2", "k5", "k6"):  # the last one of a page, and ones in the middle
            await each.destroy()
            await atom.Plain(key=f"after {each.key}").save()
    there = [key for key in seen if key.startswith("k")]
    assert there == [f"k{number}" for number in range(20)]
    assert len(seen) == len(set(seen))


# ---- several processes ----------------------------------------------------------------------

WRITER = """
import asyncio, sys
from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.transactions.session import Session
from framework.storage import open_storage

async def main(folder, url, field):
    async with open_storage(url) as storage:
        session = Session()
        session.bind(storage)
        atom = Atoms(check(folder, environ={}).definitions.atoms, session, {**MODULES})
        loaded = await atom.Plain.load("row")
        print("loaded", flush=True)
        sys.stdin.readline()
        for number in range(100):
            await loaded.save(**{field: f"{field} {number}"})

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_that_save_different_fields_of_one_row_both_win(
    atom: Atoms, url: str, tmp_path: Path
) -> None:
    await atom.Plain(key="row").save()
    command = [sys.executable, "-c", WRITER, str(tmp_path / "definitions"), url]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([*command, field], stdin=pipe, stdout=pipe, text=True) for field in ("one", "two")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert await asyncio.to_thread(writer.stdout.readline) == "loaded\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        assert [await asyncio.to_thread(writer.wait, 30) for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    loaded = await atom.Plain.load("row")
    assert (loaded.one, loaded.two) == ("one 99", "two 99")
