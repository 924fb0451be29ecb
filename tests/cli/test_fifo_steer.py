"""``framework fifo put, pause, resume, retry, skip, drop, purge`` without a running server."""

from __future__ import annotations

import json

import pytest

from framework.queue.policies import from_json, to_json
from framework.storage.operations import Deliver, Delivery, RecordPolicy, Undelivered

from .conftest import Database


def invoke(database: Database, *arguments: object) -> tuple[int, str, str]:
    result = database.invoke("fifo", *arguments)
    return result.code, result.out, result.err


# ---- put ---------------------------------------------------------------------------------------


def test_put_prints_the_id_alone(database: Database) -> None:
    first = database.run("fifo", "put", "orders", '{"n": 1}')
    assert (first.code, first.out) == (0, "1\n")
    assert "made the FIFO 'orders', which is new" in first.err
    second = database.run("fifo", "put", "orders", "-", stdin='{"n": "Tür"}\n')
    assert (second.code, second.out, second.err) == (0, "2\n", "")
    assert [record["payload"] for record in database.json("peek", "orders")] == [{"n": 1}, {"n": "Tür"}]


def test_put_names_a_similar_fifo_when_it_made_one(database: Database) -> None:
    database.put("orders", 1)
    code, out, err = invoke(database, "put", "ordres", "1")
    assert (code, out) == (0, "2\n")
    assert "did you mean orders?" in err


def test_put_with_a_key_puts_once(database: Database) -> None:
    assert invoke(database, "put", "orders", "1", "--key", "a")[1] == "1\n"
    assert invoke(database, "put", "orders", "2", "--key", "a")[1] == "1\n"
    assert invoke(database, "put", "orders", "3", "--key", "b")[1] == "2\n"
    assert database.items("orders") == [1, 2]


def test_put_keeps_the_recorded_policy(database: Database) -> None:
    policy = json.loads(to_json(from_json("orders", None)))
    policy |= {"max_item_bytes": 20, "max_length": 2, "key_window": 0.0}
    database.write(RecordPolicy("orders", json.dumps(policy)))
    code, _, err = invoke(database, "put", "orders", json.dumps("x" * 30))
    assert (code, "20 are allowed" in err) == (1, True)
    for number in (1, 2):  # the window of the key has passed at once
        assert invoke(database, "put", "orders", "1", "--key", "a")[1] == f"{number}\n"
    refused = database.refused("put", "orders", "1")
    assert "holds 2 items, as many as its max_length allows" in refused
    assert database.items("orders") == [1, 2]


@pytest.mark.parametrize(("item", "code"), [("{n: 1}", 2), ("", 2), ("null", 1), ("NaN", 1)])
def test_what_cannot_be_put_changes_nothing(database: Database, item: str, code: int) -> None:
    assert invoke(database, "put", "orders", item)[0] == code
    assert database.use(lambda storage: storage.fifo_names()) == []


# ---- steering ----------------------------------------------------------------------------------


def delivered(database: Database, fifo: str) -> object:
    [answer] = database.write(Deliver(fifo, 1.0))
    return answer


def test_pause_and_resume(database: Database) -> None:
    database.put("orders", 1)
    assert "FIFO orders is paused" in database.do("pause", "orders")
    assert database.state("orders").paused
    assert delivered(database, "orders") == Undelivered("paused")
    assert invoke(database, "pause", "orders")[0] == 0
    assert "FIFO orders delivers" in database.do("resume", "orders")
    assert isinstance(delivered(database, "orders"), Delivery)


@pytest.mark.parametrize("held", [False, True])
def test_retry_ends_what_holds_the_head_back(database: Database, held: bool) -> None:
    database.put("orders", 1)
    database.fail("orders", delay=0.0 if held else 500, hold=held)
    assert isinstance(delivered(database, "orders"), Undelivered)
    assert "is offered now" in database.do("retry", "orders")
    assert "holds nothing back" in invoke(database, "retry", "orders")[1]
    answer = delivered(database, "orders")
    assert isinstance(answer, Delivery)
    assert answer.attempt == 2


def test_skip_sends_the_head_to_the_dead_letters(database: Database) -> None:
    first, second = database.put("orders", {"n": 1}, {"n": 2})
    database.fail("orders", hold=True)
    assert f"item {first} of FIFO orders is a dead letter now" in database.do("skip", "orders")
    [letter] = database.dead()
    assert (letter.item_id, letter.reason, letter.attempts) == (first, "skipped", 1)
    assert letter.traceback == "Traceback ...\n  orders.yaml:7"
    assert database.items("orders") == [second]
    invoke(database, "skip", "orders")
    assert "FIFO orders is empty" in database.refused("skip", "orders")


def test_drop_deletes_one_item(database: Database) -> None:
    ids = database.put("orders", 1, 2, 3)
    assert f"item {ids[1]} of FIFO orders is deleted" in database.do("drop", "orders", ids[1])
    assert database.items("orders") == [ids[0], ids[2]]
    assert f"has no item {ids[1]}" in database.refused("drop", "orders", ids[1])
    [other] = database.put("other", 1)
    assert invoke(database, "drop", "orders", str(other))[0] == 1
    assert database.items("other") == [other]
    assert database.dead() == []


def test_purge_deletes_only_with_yes(database: Database) -> None:
    database.put("orders", 1, 2, 3)
    [other] = database.put("other", 1)
    asked = database.run("fifo", "purge", "orders")
    assert (asked.code, asked.out) == (2, "")
    assert "would delete 3 item(s) of FIFO orders for good: add --yes" in asked.err
    assert len(database.items("orders")) == 3
    assert "3 item(s) of FIFO orders deleted" in database.do("purge", "orders", "--yes")
    assert database.items("orders") == []
    assert database.items("other") == [other]
    assert invoke(database, "purge", "orders", "--yes")[0] == 0
