"""The verbs on the database of a running server: it knows of each change at once, and after a restart."""

from __future__ import annotations

import time

from tests.acceptance.server import until

from .conftest import Database, Work


def waiting(database: Database) -> bool:
    """Has the head failed, and is it held back?"""
    head = database.state("orders").head
    return head is not None and head.retry_in > 0


def test_a_put_is_delivered_at_once(database: Database, work: Work) -> None:
    work.start()
    time.sleep(1.2)  # its worker has looked, and sleeps
    for number in range(3):
        database.do("put", "orders", f'{{"n": {number}}}')
    until(lambda: len(work.done()) == 3)
    assert [n for n, _, _ in work.done()] == [0, 1, 2]
    # Without a wake-up it would be up to a second, on average half of it.
    assert min(took for _, _, took in work.done()) < 0.25


def test_pause_lets_the_item_in_work_end_and_outlives_the_server(database: Database, work: Work) -> None:
    block = work.tell("block")
    server = work.start()
    database.put("orders", {"n": 1}, {"n": 2})
    until(lambda: len(work.done()) == 1)
    time.sleep(0.3)
    record = database.json("show", "orders")
    assert (record["state"], record["in_work"]["worker"]) == ("in work", "Consumer")
    assert record["in_work"]["pid"] == server.process.pid
    assert record["in_work"]["slow"] is True  # the policy recorded at the start: slow_after 0.2
    assert "in work; nothing was changed" in database.refused("skip", "orders")

    database.do("pause", "orders")
    assert "; paused, nothing follows it" in database.json("show", "orders")["why"]
    block.unlink()
    until(lambda: database.state("orders").length == 1)
    time.sleep(0.3)
    assert [n for n, _, _ in work.done()] == [1]

    assert server.stop() == 0
    work.start()
    time.sleep(0.5)
    assert database.json("ls")[0]["state"] == "paused"
    assert len(work.done()) == 1
    database.do("resume", "orders")
    until(lambda: len(work.done()) == 2, 5.0)
    assert [n for n, _, _ in work.done()] == [1, 2]


def test_retry_ends_the_back_off_of_a_running_server(database: Database, work: Work) -> None:
    fail = work.tell("fail")
    work.start()
    database.put("orders", {"n": 1})
    until(lambda: waiting(database))
    record = database.json("show", "orders")
    assert "s more after attempt 1 of 5" in record["why"]
    assert "worker.yaml" in record["head"]["traceback"]
    fail.unlink()
    database.do("retry", "orders")
    until(lambda: len(work.done()) == 2, 5.0)  # the back-off was 50 s
    until(lambda: database.state("orders").length == 0)
    assert [attempt for _, attempt, _ in work.done()] == [1, 2]


def test_skip_and_redrive_move_a_running_server(database: Database, work: Work) -> None:
    fail = work.tell("fail")
    work.start()
    database.put("orders", {"n": 1})
    until(lambda: waiting(database))
    database.do("skip", "orders")
    fail.unlink()
    database.do("dead", "redrive", "--all", "orders")
    until(lambda: len(work.done()) == 2, 5.0)
    assert [attempt for _, attempt, _ in work.done()] == [1, 1]
