"""``framework fifo dead``: dead letters listed, shown, put to the tail again, deleted."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest

from .conftest import Database
from .test_fifo_look import utc

KEYS = {
    "request_id",
    *("id", "fifo", "item_id", "payload", "attempts", "crashes", "reason"),
    *("put_at", "first_at", "last_at", "died_at", "traceback"),
}


def invoke(database: Database, *arguments: object) -> tuple[int, str, str]:
    result = database.invoke("fifo", "dead", *arguments)
    return result.code, result.out, result.err


@pytest.fixture
def graves(database: Database) -> Database:
    """Dead letters 1 to 3 of orders, the first one a year old, 4 of parcels; a living item 5 in orders."""
    database.put("orders", {"n": 1}, {"n": 2}, {"n": 3})
    database.put("parcels", ["p"])
    database.put("orders", {"n": 5})
    database.bury("orders", at=time.time() - 365 * 86400)
    for fifo in ("orders", "orders", "parcels"):
        database.bury(fifo)
    return database


def test_list_is_one_array_of_full_records(graves: Database) -> None:
    found = graves.json("dead", "list")
    assert all(set(record) == KEYS for record in found)
    assert [(record["id"], record["fifo"]) for record in found] == [
        *((1, "orders"), (2, "orders"), (3, "orders"), (4, "parcels"))
    ]
    second = found[1]
    assert (second["payload"], second["item_id"], second["attempts"], second["crashes"]) == (
        {"n": 2},
        2,
        1,
        0,
    )
    assert (second["reason"], second["traceback"]) == (
        "ValueError: told to",
        "Traceback ...\n  orders.yaml:7",
    )
    assert (
        utc(second["put_at"]) <= utc(second["first_at"]) <= utc(second["last_at"]) <= utc(second["died_at"])
    )
    assert json.loads(invoke(graves, "list", "parcels", "--format", "json")[1]) == [found[3]]
    assert json.loads(invoke(graves, "show", "2", "--format", "json")[1]) == second
    lines = graves.do("dead", "list", "orders").splitlines()
    assert len(lines) == 3
    assert lines[1].endswith('ValueError: told to  {"n":2}')


def test_show_has_the_traceback(graves: Database) -> None:
    text = graves.do("dead", "show", 2)
    assert text.startswith("dead letter 2 of FIFO orders\n")
    assert 'payload  {"n":2}\n    Traceback ...\n      orders.yaml:7' in text
    assert "there is no dead letter 99" in graves.refused("dead", "show", 99)


def test_redrive_puts_one_to_the_tail(graves: Database) -> None:
    letter = graves.dead()[1]
    assert "dead letter 2 is item 6 of FIFO orders now" in graves.do("dead", "redrive", 2)
    found = graves.json("peek", "orders")
    assert [record["id"] for record in found] == [5, 6]
    item = found[1]
    assert (item["payload"], item["attempts"], item["crashes"]) == ({"n": 2}, 0, 0)
    kept = [letter.put_at, letter.first_at, letter.last_at]
    assert [utc(item[name]) for name in ("put_at", "first_at", "last_at")] == pytest.approx(kept, abs=0.001)
    assert [letter.id for letter in graves.dead()] == [1, 3, 4]
    assert "there is no dead letter 2" in graves.refused("dead", "redrive", 2)


def test_redrive_all_keeps_the_order_of_their_death(graves: Database) -> None:
    out = graves.do("dead", "redrive", "--all", "orders")
    assert "3 dead letter(s) of FIFO orders are items again, from 6 to 8" in out
    payloads = [record["payload"] for record in graves.json("peek", "orders")]
    assert payloads == [{"n": 5}, {"n": 1}, {"n": 2}, {"n": 3}]
    assert [letter.fifo for letter in graves.dead()] == ["parcels"]
    assert "has no dead letters" in invoke(graves, "redrive", "--all", "orders")[1]


def test_purge_deletes_only_with_yes(graves: Database) -> None:
    _lived(graves, 1, 31)
    for arguments, number in (
        (["3"], 1),
        (["--all", "orders"], 3),
        (["--all", "orders", "--older", "30d"], 1),
    ):
        code, out, err = invoke(graves, "purge", *arguments)
        assert (code, out) == (2, "")
        assert f"would delete {number} dead letter(s) for good: add --yes" in err
    assert len(graves.dead()) == 4
    assert "1 dead letter(s) deleted" in graves.do(
        "dead", "purge", "--all", "orders", "--older", "30d", "--yes"
    )
    assert [letter.id for letter in graves.dead()] == [2, 3, 4]
    assert invoke(graves, "purge", "3", "--yes")[1] == "1 dead letter(s) deleted\n"
    assert invoke(graves, "purge", "--all", "orders", "--yes")[1] == "1 dead letter(s) deleted\n"
    assert [letter.id for letter in graves.dead()] == [4]
    assert invoke(graves, "purge", "3", "--yes")[0] == 1
    assert graves.items("orders") == [5]


def test_what_is_old_by_the_wall_clock_alone_is_not_purged_and_that_is_told(graves: Database) -> None:
    code, out, err = invoke(graves, "purge", "--all", "orders", "--older", "30d", "--yes")
    assert (code, out) == (0, "0 dead letter(s) deleted\n")
    assert "1 more are older by this machine's clock alone, and stay" in err
    _lived(graves, 1, None)  # of a database from an earlier version
    assert graves.do("dead", "purge", "--all", "orders", "--older", "30d", "--yes").startswith("1 dead")


def _lived(database: Database, letter: int, days: int | None) -> None:
    """The dead letter died so many days ago by the database's own clock."""
    with closing(sqlite3.connect(database.file)) as connection:
        stamp = "NULL" if days is None else f"lived_at - {days * 86400}"
        connection.execute(f"UPDATE _framework_dead SET lived_at = {stamp} WHERE id = ?", (letter,))
        connection.commit()


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive"],
        ["purge", "--yes"],
        ["redrive", "1", "--all", "orders"],
        ["purge", "1", "--older", "30d", "--yes"],
        ["purge", "--all", "orders", "--older", "soon"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(graves: Database, arguments: list[str]) -> None:
    code, out, err = invoke(graves, *arguments)
    assert (code, out) == (2, "")
    assert "Usage:" in err
    assert len(graves.dead()) == 4
