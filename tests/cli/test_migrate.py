"""``framework migrate``: a plan that changes nothing, and its application while nobody else is there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.errors import CannotOpen
from framework.storage import open_storage
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.users import Users
from framework.transactions.session import Session
from tests.acceptance.server import COMMAND, Result, Server, environment, run

URL = "sqlite:///tea.db"

BEFORE = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string}
  local_fields:
  - {field_name: kind, field_type: string, field_nullable: false}
  - {field_name: grams, field_type: string}
  - {field_name: remark, field_type: string}
  - {field_name: shelf, field_type: integer}
"""
AFTER = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string}
  local_fields:
  - {field_name: kind, field_type: string, field_nullable: false}
  - {field_name: grams, field_type: integer}
  - {field_name: note, field_type: string, renamed_from: remark}
  - {field_name: organic, field_type: boolean, field_default: false}
"""
ROUTE = """
proxy: {path: /teas, authorization: {auth_mode: none}}
request_forbidden_process: |
  return 200, [tea.localfields() for tea in await atom.Tea.retrieve()]
"""


ROWS = [("t2", "100", 2), ("t1", "250", 1), ("t3", "50", 3)]


class Shop:
    """A folder of definitions and a filled database, made as a start and a script make them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tea.db"
        self.servers: list[Server] = []
        (folder / "definitions").mkdir()
        (folder / "definitions" / "route.yaml").write_text(ROUTE)
        self.define(BEFORE)
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        session = Session()
        atoms = Atoms(check(self.folder / "definitions").definitions.atoms, session, {**MODULES})
        async with open_storage(f"sqlite:///{self.file}") as storage:
            await storage.ensure_tables(atoms.records)
            session.bind(storage)
            for key, grams, shelf in ROWS:
                await atoms.Tea(teaId=key, kind="green", grams=grams, remark="x", shelf=shelf).save()

    def define(self, text: str) -> None:
        (self.folder / "definitions" / "tea.yaml").write_text(text)

    def serve(self) -> Server:
        server = Server(self.folder / "definitions", self.folder, database=URL)
        self.servers.append(server)
        return server.ready()

    def migrate(self, *arguments: str) -> Result:
        return run("migrate", "definitions", "--database", URL, *arguments, cwd=self.folder)

    def plan(self, *arguments: str) -> Any:
        result = self.migrate("--format", "json", *arguments)
        assert result.err == ""
        return json.loads(result.out)

    def execute(self, *statements: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as connection:
            found = [connection.execute(statement).fetchall() for statement in statements]
            connection.commit()
        return found[-1]

    def content(self) -> list[Any]:
        made = self.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE 'Tea%' ORDER BY name")
        return [made, self.execute("SELECT * FROM Tea ORDER BY _seq")]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    for server in shop.servers:
        server.close()


def test_tables_that_fit_need_nothing(shop: Shop) -> None:
    result = shop.migrate()
    assert (result.code, result.out) == (0, "the tables fit the definitions: there is nothing to do.\n")
    assert shop.migrate("--apply").out == result.out
    assert not list(shop.folder.glob("*.before-*"))


def test_the_plan_the_application_and_the_history(shop: Shop) -> None:
    before = shop.content()
    shop.define(AFTER)
    stopped = run("serve", "definitions", "--database", URL, "--port", "0", cwd=shop.folder)
    assert stopped.code == 2
    assert "~ column Tea.note: renamed from remark" in stopped.err
    assert "framework migrate" in stopped.err
    plan = shop.migrate()
    assert plan.code == 0
    assert plan.out == (
        "~ column Tea.grams    string → integer, 3 rows converted\n"
        "~ column Tea.note     renamed from remark\n"
        "+ column Tea.organic  new, the default in 3 rows\n"
        "- column Tea.shelf    no longer defined; kept, with the values of 3 rows\n"
        "\n"
        "nothing was changed yet: --apply does it, after a copy of the database. "
        "What is kept is dropped with --drop NAME.\n"
    )
    assert shop.content() == before

    done = shop.plan("--apply", "--drop", "Tea.shelf")
    assert done["applied"]
    assert not done["refused"]
    assert [(change["sign"], change["what"], change["rows"]) for change in done["changes"]] == [
        ("~", "column Tea.grams", 3),
        ("~", "column Tea.note", 3),
        ("+", "column Tea.organic", 3),
        ("-", "column Tea.shelf", 3),
    ]
    assert any(statement.startswith("DROP TABLE") for statement in done["statements"])
    copy = shop.folder / done["copy"]
    assert copy.stat().st_mode == shop.file.stat().st_mode
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT * FROM Tea ORDER BY _seq").fetchall() == before[1]
    assert "shelf" not in shop.execute("SELECT sql FROM sqlite_master WHERE name = 'Tea'")[0][0]
    assert shop.migrate().out.startswith("the tables fit")

    server = shop.serve()
    assert server.get("/teas").json() == [
        {"teaId": f"t{n}", "kind": "green", "grams": grams, "note": "x", "organic": False}
        for n, grams in ((2, 100), (1, 250), (3, 50))
    ]
    server.stop()

    first, second = json.loads(shop.migrate("--history", "--format", "json").out)
    assert (first["cause"], second["cause"]) == ("start", "migrate")
    assert second["copy"] == done["copy"]
    assert second["statements"] == done["statements"]
    assert {"+ table Tea  new", "~ column Tea.note  renamed from remark"} <= {
        line.strip() for line in shop.migrate("--history").out.splitlines()
    }


def test_what_is_refused_changes_nothing_and_ends_with_1(shop: Shop) -> None:
    shop.execute("UPDATE Tea SET grams = 'a pinch' WHERE teaId = 't3'")
    before = shop.content()
    shop.define(AFTER)
    for arguments in ((), ("--apply",), ("--apply", "--drop", "Tea.shelf")):
        result = shop.migrate(*arguments)
        assert result.code == 1
        assert "! column Tea.grams" in result.out
        assert "teaId 't3' must be a whole number as it is usually written, not 'a pinch'" in result.out
        assert "nothing was changed" in result.out
        assert shop.content() == before
    assert shop.plan()["refused"]
    assert not list(shop.folder.glob("*.before-*"))


def test_a_server_that_runs_is_named_and_left_alone(shop: Shop) -> None:
    server = shop.serve()
    before = shop.content()
    shop.define(AFTER)
    assert shop.migrate().code == 0, "a plan may be made at any time"
    refused = shop.migrate("--apply")
    assert refused.code == 2
    assert f"process {server.process.pid}: nothing was changed" in refused.err
    assert "nothing was changed" in refused.err
    assert shop.content() == before
    assert len(server.get("/teas").json()) == 3
    server.stop()
    assert shop.migrate("--apply").code == 0


def test_a_server_that_was_killed_is_in_nobodys_way(shop: Shop) -> None:
    shop.serve().kill()
    shop.define(AFTER)
    assert shop.migrate("--apply").code == 0
    assert not list((shop.folder / "tea.db.run").glob("user-*"))


def test_a_start_during_a_migration_is_refused(shop: Shop) -> None:
    with Locks(str(shop.file)) as locks, Users(locks).alone():
        stopped = run("serve", "definitions", "--database", URL, "--port", "0", cwd=shop.folder)
        second = shop.migrate("--apply")
    assert (stopped.code, second.code) == (2, 2)
    assert f"process {os.getpid()} is changing the tables" in stopped.err
    assert f"process {os.getpid()} is changing the tables already" in second.err
    shop.serve().stop()


def test_what_is_to_be_dropped_must_be_undefined(shop: Shop) -> None:
    for name in ("Tea.kind", "Tea", "Nothing"):
        result = shop.migrate("--drop", name)
        assert result.code == 2
        assert (
            f"{name} is not a table or column that is no longer defined: there is nothing to drop"
            in result.err
        )
    shop.define(AFTER)
    assert "what can be dropped is Tea.shelf" in shop.migrate("--drop", "Tea.shelv", "--apply").err


def test_definitions_with_mistakes_and_databases_that_are_not_there(shop: Shop) -> None:
    shop.define(AFTER.replace("integer", "intger"))
    mistaken = shop.migrate("--apply")
    assert mistaken.code == 1
    assert "wrong-value" in mistaken.err
    shop.define(AFTER)
    nowhere = run("migrate", "definitions", "--database", "sqlite:///no.db", cwd=shop.folder)
    assert nowhere.code == 2
    assert "there is no database no.db" in nowhere.err
    assert not (shop.folder / "no.db").exists()
    assert run("migrate", "nowhere", "--database", URL, cwd=shop.folder).code == 2


def test_a_database_of_which_nothing_is_remembered(shop: Shop) -> None:
    """One that an older version made: its columns are taken for what they look like."""
    shop.execute("DROP TABLE _framework_field", "DROP TABLE _framework_migration")
    shop.define(AFTER)
    assert shop.migrate("--history").out == "no table was changed yet\n"
    assert shop.plan("--apply")["applied"]
    assert [row[0] for row in shop.execute("SELECT grams FROM Tea ORDER BY _seq")] == [100, 250, 50]
    assert len(json.loads(shop.migrate("--history", "--format", "json").out)) == 1


def test_what_was_made_by_hand_comes_along_or_is_in_the_way(shop: Shop) -> None:
    shop.execute(
        "CREATE INDEX by_kind ON Tea (kind)",
        "CREATE VIEW Kinds AS SELECT kind FROM Tea",
        "CREATE TABLE Log (what)",
        "CREATE TRIGGER log_teas AFTER DELETE ON Tea BEGIN INSERT INTO Log VALUES (old.teaId); END",
    )
    shop.define(BEFORE.replace("grams, field_type: string", "grams, field_type: integer"))
    assert shop.migrate("--apply").code == 0
    shop.execute("DELETE FROM Tea WHERE teaId = 't1'")
    assert shop.execute("SELECT * FROM Log") == [("t1",)]
    assert len(shop.execute("SELECT * FROM Kinds")) == 2
    assert shop.execute("SELECT 1 FROM sqlite_master WHERE name = 'by_kind'") == [(1,)]
    shop.define(AFTER)
    refused = shop.migrate("--apply")
    assert refused.code == 1
    assert "! trigger log_teas" in refused.out
    assert "Log" not in refused.out.replace("log_teas", ""), "a table that no class had is nobody's business"


def test_counters_and_the_order_of_rows_stay(shop: Shop) -> None:
    shop.execute("DELETE FROM Tea WHERE teaId = 't3'", "UPDATE Tea SET _seq = 41 WHERE teaId = 't1'")
    shop.define(AFTER)
    assert shop.migrate("--apply").code == 0
    assert shop.execute("SELECT _seq, teaId FROM Tea ORDER BY _seq") == [(1, "t2"), (41, "t1")]


@pytest.mark.anyio
async def test_those_who_have_it_open_are_seen_until_they_close(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    database.touch()
    with ExitStack() as stack:
        users = [Users(stack.enter_context(Locks(str(database)))) for _ in range(3)]
        for one in users[:2]:
            one.enter()
        for one in users[:2]:
            with (
                pytest.raises(CannotOpen, match=f"open in process {os.getpid()}"),
                users[2].alone(),
            ):
                pass
            one.leave()
            one.leave()
        with users[2].alone():
            with pytest.raises(CannotOpen, match="is changing the tables"):
                users[0].enter()
            users[0].leave()


def test_ctrl_c_leaves_the_old_tables(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.file)) as connection:
        connection.executemany(
            "INSERT INTO Tea (instance, teaId, kind, grams) VALUES (?, ?, 'green', '7')",
            [(f"m{n}", f"m{n}") for n in range(60_000)],
        )
        connection.commit()
    before = shop.content()
    shop.define(AFTER)
    process = subprocess.Popen(
        [*COMMAND, "migrate", "definitions", "--database", URL, "--apply"],
        cwd=shop.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not list(shop.folder.glob("*.before-*")):  # from then on the rows are converted
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    if process.returncode:
        assert shop.content() == before
    assert shop.migrate("--apply").code == 0
