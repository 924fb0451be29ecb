"""``framework fifo ls``, ``show`` and ``peek``: what stands, and in words why nothing moves."""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from framework.cli import main
from framework.queue.policies import from_json, to_json
from framework.storage import Storage
from framework.storage.operations import Deliver, Pause, RecordPolicy
from tests.acceptance.server import run

from .conftest import Database

FIFO_KEYS = {"name", "length", "dead", "paused", "state", "why", "in_work", "head", "policy"}
ITEM_KEYS = {
    "request_id",
    *("id", "fifo", "payload", "key", "attempts", "crashes", "suspicion", "held", "retry_in", "reason"),
    *("put_at", "first_at", "last_at", "traceback"),
}


def utc(text: str) -> float:
    at = datetime.datetime.fromisoformat(text)
    assert at.utcoffset() == datetime.timedelta(0)
    return at.timestamp()


def test_an_empty_database_has_no_fifos(database: Database) -> None:
    assert "no FIFOs yet" in database.do("ls")
    assert database.invoke("fifo", "ls", "--format", "json").out == "[]\n"
    assert database.invoke("fifo", "dead", "list", "--format", "json").out == "[]\n"


def test_ls_says_of_each_fifo_what_it_does(database: Database) -> None:
    began = time.time()
    for name in ("held", "paused", "ready", "waiting", "gone", "spent"):
        database.put(name, {"of": name})
    database.put("ready", {"of": "ready"})
    database.write(Pause("paused", True))
    database.fail("held", hold=True)
    for _ in range(3):
        database.fail("waiting")
    database.fail("waiting", delay=500)
    database.bury("spent")
    died = subprocess.run(
        [sys.executable, "-c", DIES, database.url], capture_output=True, check=False, text=True
    )
    assert died.returncode == 7, died.stderr

    found = {record["name"]: record for record in database.json("ls")}
    assert list(found) == sorted(found)
    assert {name: record["state"] for name, record in found.items()} == {
        "held": "held",
        "paused": "paused",
        "ready": "ready",
        "waiting": "waiting",
        "gone": "abandoned",
        "spent": "empty",
    }
    assert all(set(record) == FIFO_KEYS for record in found.values())
    assert (found["ready"]["length"], found["spent"]["length"], found["spent"]["dead"]) == (2, 0, 1)
    assert re.match(r"item \d+ is waiting \d+ s more after attempt 4 of 5$", found["waiting"]["why"])
    assert re.match(r"item \d+ is held after 1 attempt: `framework fifo retry held`", found["held"]["why"])
    assert "which died: the next process that asks takes it over" in found["gone"]["why"]
    assert found["gone"]["in_work"]["alive"] is False
    assert found["paused"]["paused"] is True
    head = found["waiting"]["head"]
    assert set(head) == ITEM_KEYS
    assert head["payload"] == {"of": "waiting"}
    assert (head["attempts"], head["crashes"], head["held"]) == (4, 0, False)
    assert 400 < head["retry_in"] <= 500
    assert began - 1 < utc(head["put_at"]) <= utc(head["first_at"]) <= utc(head["last_at"]) < time.time() + 1

    lines = database.do("ls").splitlines()
    assert lines[0].split() == ["NAME", "LENGTH", "DEAD", "STATE"]
    assert [line.split()[0] for line in lines[1:]] == list(found)
    for line in lines[1:]:
        record = found[line.split()[0]]
        assert line.split(None, 3)[1:3] == [str(record["length"]), str(record["dead"])]


DIES = """
import asyncio, os, sys
from framework.storage import open_storage
from framework.storage.operations import Deliver
async def main():
    async with open_storage(sys.argv[1]) as storage:
        await storage.write([Deliver("gone", 1.0, "Mortal")])
        os._exit(7)
asyncio.run(main())
"""


def test_show_has_the_policy_and_the_last_error(database: Database) -> None:
    database.put("orders", {"n": 1})
    policy = to_json(from_json("orders", None)).replace('"max_attempts": 5', '"max_attempts": 9')
    database.write(RecordPolicy("orders", policy))
    database.fail("orders", delay=100)
    text = database.do("show", "orders")
    assert "of the definitions: max_attempts 9, max_crashes 5, backoff 0.5 s x 2 up to 60 s" in text
    assert re.search(r"now +item 1 is waiting \d+ s more after attempt 1 of 9\n", text)
    assert "error    ValueError: told to\n    Traceback ...\n      orders.yaml:7" in text
    record = database.json("show", "orders")
    assert record["policy"]["max_attempts"] == 9
    assert record["policy"]["recorded"] is True
    assert record["head"]["traceback"] == "Traceback ...\n  orders.yaml:7"
    [listed] = json.loads(database.invoke("fifo", "ls", "--format", "json").out)
    assert set(listed) == set(record)


@pytest.mark.anyio
async def test_an_item_in_work_is_shown_with_its_owner(database: Database) -> None:
    database_url = database.url
    from framework.storage import open_storage
    from framework.storage.operations import Put

    async with open_storage(database_url) as storage:
        await storage.write([Put("orders", "[1]", time.time())])
        await storage.write([Deliver("orders", time.time() - 75, "Courier")])
        record = database.json("show", "orders")
        owner = f"{socket.gethostname()}:{os.getpid()} worker Courier"
        assert record["why"].startswith("item 1 is in work for ")
        assert owner in record["why"]
        assert record["state"] == "in work"
        assert (record["in_work"]["slow"], record["in_work"]["alive"]) == (True, True)
        assert record["in_work"]["seconds"] >= 75
        text = database.do("ls")
        assert "SLOW: item 1 is in work for " in text
        assert "longer than slow_after (60 s)" in text
        assert "in work" in database.do("peek", "orders")
        await refuses_what_touches_it(database, storage)


async def refuses_what_touches_it(database: Database, storage: Storage) -> None:
    assert "in work; nothing was changed" in database.refused("skip", "orders")
    assert "in work; nothing was changed" in database.refused("drop", "orders", 1)
    assert "0 item(s) of FIFO orders deleted" in database.do("purge", "orders", "--yes")
    state = await storage.fifo_state("orders")
    assert state is not None
    assert (state.length, state.dead) == (1, 0)


def test_peek_shows_the_first_items_in_order(database: Database) -> None:
    ids = database.put("orders", *({"n": n} for n in range(12)))
    assert [record["id"] for record in database.json("peek", "orders")] == ids[:10]
    found = database.json("peek", "orders", "-n", 3)
    assert [record["payload"] for record in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert all(set(record) == ITEM_KEYS for record in found)
    lines = database.do("peek", "orders", "-n", 2).splitlines()
    assert [line.split()[-1] for line in lines] == ['{"n":0}', '{"n":1}']


# ---- what is not there -------------------------------------------------------------------------

VERBS = [
    ["show"],
    ["peek"],
    ["pause"],
    ["resume"],
    ["retry"],
    ["skip"],
    ["purge"],
    ["dead", "list"],
    ["dead", "redrive", "--all"],
    ["dead", "purge", "--all"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_an_unknown_fifo_is_told_with_what_was_meant(database: Database, verb: list[str]) -> None:
    database.put("orders", 1)
    result = CliRunner().invoke(main, ["fifo", "--database", database.url, *verb, "ordres"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no FIFO 'ordres'; did you mean orders?" in result.stderr
    assert database.use(lambda storage: storage.fifo_names()) == ["orders"]


def test_an_unknown_fifo_of_the_real_command(database: Database) -> None:
    assert "there is no FIFO 'orders'; there are none yet" in database.refused("show", "orders")


@pytest.mark.parametrize("where", ["before", "behind", "variable"])
def test_a_missing_database_is_2_and_is_not_made(tmp_path: Path, where: str) -> None:
    url = "sqlite:///missing.db"
    before, behind = ["--database", url] * (where == "before"), ["--database", url] * (where == "behind")
    env = {"FRAMEWORK_DATABASE": url} if where == "variable" else None
    result = run("fifo", *before, "put", "orders", "1", *behind, cwd=tmp_path, env=env)
    assert (result.code, result.out) == (2, "")
    assert "there is no database missing.db" in result.err
    assert not list(tmp_path.iterdir())


def test_what_is_behind_the_verb_counts(database: Database) -> None:
    database.put("orders", 1)
    arguments = ["fifo", "--database", "sqlite:///missing.db", "dead", "list", "--database", database.url]
    result = CliRunner().invoke(main, [*arguments, "--format", "json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
