"""``framework drain``: nothing new begins in any running server, and a restart ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import time

from tests.acceptance.server import COMMAND, environment, until

from .conftest import Database, Work


def test_a_drain_waits_for_what_is_in_work_and_a_restart_ends_it(database: Database, work: Work) -> None:
    block = work.tell("block")
    server = work.start()
    database.put("orders", {"n": 1}, {"n": 2})
    until(lambda: len(work.done()) == 1)

    given_up = database.run("drain", "--timeout", "0.3s")
    assert (given_up.code, given_up.out) == (1, "")
    assert "waiting for FIFO orders: item 1 is in work for" in given_up.err
    assert f":{server.process.pid} worker Consumer" in given_up.err
    assert "1 item is still in work; nothing new begins" in given_up.err

    draining = subprocess.Popen(
        [*COMMAND, "drain", "--format", "json", "--database", database.url],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=database.folder,
    )
    time.sleep(1)
    assert draining.poll() is None
    block.unlink()
    out, _ = draining.communicate(timeout=20)
    assert draining.returncode == 0
    told = json.loads(out)
    assert (told["drained"], told["in_work"]) == (True, [])

    database.put("orders", {"n": 3})
    time.sleep(1.3)  # a worker asks once a second
    assert [n for n, _, _ in work.done()] == [1]
    assert "drained at" in database.run("fifo", "ls").err

    # A server beside it does not end it for the one that was there, and takes over from it.
    second = work.start()
    time.sleep(0.3)
    assert [n for n, _, _ in work.done()] == [1]
    assert server.stop() == 0
    until(lambda: [n for n, _, _ in work.done()] == [1, 2, 3], 20)
    assert second.stop() == 0
    work.start()
    until(lambda: "drained" not in database.run("fifo", "ls").err)


def test_off_ends_a_drain_without_a_restart(database: Database, work: Work) -> None:
    work.start()
    assert database.run("drain").out.startswith("drained: nothing is in work")
    database.put("orders", {"n": 1})
    time.sleep(1.3)
    assert work.done() == []
    assert "drain --off" in database.run("doctor").out
    assert database.run("drain", "--off").out == "deliveries go on\n"
    assert "no drain is in force" in database.run("doctor").out
    until(lambda: len(work.done()) == 1)
    assert database.run("drain", "--off").out == "no drain was in force\n"


def test_what_a_dead_process_left_in_work_is_not_waited_for(database: Database, work: Work) -> None:
    work.tell("block")
    server = work.start()
    database.put("orders", {"n": 1})
    until(lambda: len(work.done()) == 1)
    server.kill()
    assert database.run("drain").code == 0


def test_ctrl_c_leaves_the_drain_in_force(database: Database, work: Work) -> None:
    work.tell("block")
    work.start()
    database.put("orders", {"n": 1})
    until(lambda: len(work.done()) == 1)
    draining = subprocess.Popen(
        [*COMMAND, "drain", "--database", database.url],
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=database.folder,
    )
    assert draining.stderr is not None
    with draining.stderr as told:
        assert b"waiting for FIFO orders" in told.readline()
        draining.send_signal(signal.SIGINT)
        assert b"drain --off" in told.read()
    assert draining.wait(10) == 1
