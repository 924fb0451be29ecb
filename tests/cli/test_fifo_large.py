"""Many items and many FIFOs: in portions, so that others write in between; resumable; lists of any length."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from framework.cli.fifo import large
from framework.storage import open_storage, portions
from framework.storage.operations import Put, Redrive
from framework.storage.sqlite.engine import SqliteStorage
from tests.acceptance.server import until

from .conftest import Database

FRAMEWORK = Path(sys.executable).parent / "framework"


def fill(database: Database, items: int = 0, dead: int = 0, size: int = 10) -> None:
    """Rows by hand, which takes no time."""
    database.put("q", 0)
    with closing(sqlite3.connect(database.file)) as connection:
        connection.execute("DELETE FROM _framework_item")
        connection.executemany(
            "INSERT INTO _framework_item (fifo, payload, put_at) VALUES (1, ?, 1.0)",
            ((json.dumps(f"{n:0{size}}"),) for n in range(items)),
        )
        connection.executemany(
            "INSERT INTO _framework_dead (fifo, item, payload, put_at, attempts, crashes, reason, died_at) "
            "VALUES (1, ?, ?, 1.0, 5, 0, 'why', 2.0)",
            ((n, json.dumps(f"{n:0{size}}")) for n in range(dead)),
        )
        connection.commit()


async def beside(database: Database, number: int) -> list[int]:
    """What somebody else puts meanwhile: one after another."""
    async with open_storage(database.url) as storage:
        ids = []
        for _ in range(number):
            [item] = await storage.write([Put("q", '"new"', time.time())])
            ids.append(int(item))
        return ids


def test_others_write_between_the_portions_of_a_redrive_and_the_order_is_kept(database: Database) -> None:
    fill(database, dead=3000)

    async def main() -> tuple[int, list[int]]:
        async with open_storage(database.url) as storage:
            _, last = await storage.last_ids("q")
            redriving = large.change(
                storage,
                large.Progress(""),
                3000,
                lambda limit: Redrive("q", None, last, min(limit, 100)),
                ("fifo dead redrive", "q", {}),
                count=len,
            )
            await redriving  # one portion, as if it had been broken off
            rest, new = await asyncio.gather(_redrive_all(storage, last), beside(database, 20))
            return rest, new

    rest, new = asyncio.run(main())
    assert rest == 2900
    items = database.use(lambda storage: storage.peek("q", 5000))
    old = [json.loads(item.payload) for item in items if item.payload != '"new"']
    assert old == [f"{n:010}" for n in range(3000)], "in the order of their death"
    ids = [item.id for item in items if item.payload != '"new"']
    assert any(ids[100] < one < ids[-1] for one in new), "somebody wrote in between"


async def _redrive_all(storage: Any, last: int) -> int:
    return await large.change(
        storage,
        large.Progress(""),
        2900,
        lambda limit: Redrive("q", None, last, limit),
        ("fifo dead redrive", "q", {}),
        count=len,
    )


def test_what_is_put_during_a_purge_stays(database: Database) -> None:
    fill(database, items=40_000)
    purge = subprocess.Popen(
        [FRAMEWORK, "fifo", "purge", "q", "--yes", "--database", database.url],
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: database.state("q").length < 40_000, 30, pause=0.001)
    new = asyncio.run(beside(database, 3))
    out, _ = purge.communicate(timeout=60)
    assert out == "40000 item(s) of FIFO q deleted\n"
    assert database.items("q") == new


def test_a_purge_that_is_broken_off_goes_on_with_the_same_command(database: Database) -> None:
    fill(database, items=150_000)
    purge = subprocess.Popen(
        [FRAMEWORK, "fifo", "purge", "q", "--yes", "--database", database.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: database.state("q").length < 150_000, 30, pause=0.001)
    purge.send_signal(signal.SIGINT)
    _, err = purge.communicate(timeout=60)
    assert purge.returncode == 130, err
    assert "the same command goes on" in err
    left = database.state("q").length
    assert 0 < left < 150_000
    assert database.do("purge", "q", "--yes") == f"{left} item(s) of FIFO q deleted\n"
    records = json.loads(database.invoke("audit", "--format", "json").out)
    assert sum(one["affected"] for one in records) == 150_000


@pytest.mark.parametrize(
    "verb", [("dead", "redrive", "--all", "q"), ("dead", "purge", "--all", "q", "--yes")]
)
def test_a_redrive_or_a_purge_that_is_killed_leaves_each_dead_letter_whole(
    database: Database, verb: tuple[str, ...]
) -> None:
    """``kill -9`` in the midst of it: each one was moved or deleted, or is as it was; the record says how many."""
    fill(database, dead=30_000)
    command = subprocess.Popen(
        [FRAMEWORK, "fifo", *verb, "--database", database.url], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: database.state("q").dead < 30_000 or command.poll() is not None, 60, pause=0.001)
    finally:
        command.kill()
        command.wait()
    left = database.state("q").dead
    assert 0 < left < 30_000
    assert changed(database) == 30_000 - left
    assert database.run("fifo", *verb).code == 0
    assert changed(database) == 30_000
    with closing(sqlite3.connect(database.file)) as connection:
        assert connection.execute("SELECT count(*) FROM _framework_dead").fetchone() == (0,)
        items = connection.execute("SELECT payload FROM _framework_item ORDER BY id").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    expected = [(json.dumps(f"{n:010}"),) for n in range(30_000)]
    assert items == (expected if "redrive" in verb else [])
    assert database.state("q").length == len(items)


def changed(database: Database) -> int:
    """How many the audit trail says were changed so far."""
    return sum(one["affected"] for one in json.loads(database.invoke("audit", "--format", "json").out))


def test_a_list_of_any_length_takes_flat_memory(database: Database) -> None:
    fill(database, dead=1200, size=100_000)
    program = (
        "import sys\nfrom framework.cli import main\nfrom tests.cli.peak import peak\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n"
        "    print(peak(), file=sys.stderr)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "fifo",
            "dead",
            "list",
            "--format",
            "json",
            "--database",
            database.url,
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert [letter["item_id"] for letter in found] == list(range(1200))
    assert int(done.stderr.split()[-1]) < 200 << 20, "120 MB of payloads were read at once"


def test_lists_are_read_page_by_page(database: Database) -> None:
    fill(database, items=350, dead=350)
    for verb in (("dead", "list", "q"), ("peek", "q", "-n", "1000")):
        whole = database.invoke("fifo", *verb, "--format", "json").out
        found = json.loads(whole)
        assert len(found) == 350
        assert whole == json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        ids = [one["id"] for one in found]
        some = "-n" if verb[0] == "peek" else "--limit"
        arguments = (*verb[:2], "q", some, 5) if verb[0] == "dead" else ("peek", "q", some, 5)
        page = json.loads(database.invoke("fifo", *arguments, "--after", ids[249], "--format", "json").out)
        assert [one["id"] for one in page] == ids[250:255]
    assert json.loads(database.invoke("fifo", "dead", "list", "--after", 999, "--format", "json").out) == []


def test_ten_thousand_fifos_are_listed_with_a_question_a_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"fifo-{n:05}" for n in range(10_000)]
    database.write(*(Put(name, "1", time.time()) for name in names))
    asked = []
    read = SqliteStorage._read

    async def counted(self: SqliteStorage, sql: str, parameters: Any) -> Any:
        asked.append(sql)
        return await read(self, sql, parameters)

    monkeypatch.setattr(SqliteStorage, "_read", counted)
    found = json.loads(database.invoke("fifo", "ls", "--format", "json").out)
    assert [one["name"] for one in found] == names
    assert {one["head"]["payload"] for one in found} == {1}
    assert len(asked) <= 105


def test_an_empty_fifo_is_forgotten_and_one_that_holds_something_is_not(database: Database) -> None:
    database.put("q", 1, 2)
    assert "holds 2 item(s); it was not forgotten" in database.refused("forget", "q")
    database.bury("q")
    assert "holds 1 item(s) and 1 dead letter(s)" in database.refused("forget", "q")
    database.do("purge", "q", "--yes")
    assert "holds 1 dead letter(s)" in database.refused("forget", "q")
    database.do("dead", "purge", "--all", "q", "--yes")
    database.do("pause", "q")
    assert database.do("forget", "q") == "FIFO q is forgotten\n"
    assert "there is no FIFO 'q'" in database.refused("show", "q")
    assert "there is no FIFO 'q'" in database.refused("forget", "q")
    database.put("q", 3)
    assert not database.state("q").paused


def test_a_portion_that_took_long_is_followed_by_a_smaller_one() -> None:
    assert portions.next_limit(1000, 0.001) == 2000
    assert portions.next_limit(1000, 0.02) == 1000
    assert portions.next_limit(1000, 0.1) == 100
    assert portions.next_limit(1000, 10.0) == portions.LEAST
    assert portions.next_limit(portions.LARGEST, 0.001) == portions.LARGEST
