"""Poison: an item that fails or kills its process again and again holds up the others for a while only."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.server import Server, run, until

from .app import app, notes, numbers, started
from .conftest import Serve

BACKOFF = "backoff:\n  initial: 0.1\n  factor: 1.5\n  max: 1\n"


def order(server: Server, number: int) -> None:
    assert server.post("/v1/orders/", {"number": number}, token=None).code == 202


def dead(folder: Path) -> list[dict[str, Any]]:
    """What the operator sees of the dead letters."""
    arguments = ("orders", "--format", "json", "--database", "sqlite:///test.db")
    done = run("fifo", "dead", "list", *arguments, cwd=folder)
    assert done.code == 0, done.err
    letters: list[dict[str, Any]] = json.loads(done.out)
    return letters


def test_an_order_that_raises_is_a_dead_letter_after_its_last_attempt(serve: Serve, tmp_path: Path) -> None:
    work = 'if name == 1:\n    raise RuntimeError("the back end says no")'
    server = serve(app(tmp_path, work=work, policy="max_attempts: 3\n" + BACKOFF))
    for number in range(4):
        order(server, number)
    until(lambda: numbers(tmp_path, "end") == [0, 2, 3])
    assert numbers(tmp_path, "start") == [0, 1, 1, 1, 2, 3]
    assert [note.attempt for note in notes(tmp_path) if note.number == 1] == [1, 2, 3]
    [letter] = dead(tmp_path)
    assert letter["payload"]["parameters"] == {"number": 1}
    assert letter["attempts"] == 3
    assert letter["reason"] == "RuntimeError: the back end says no"
    assert letter["first_at"] < letter["last_at"]
    worker = (tmp_path / "definitions" / "Dispatcher.yaml").read_text().splitlines()
    [line] = [number for number, text in enumerate(worker, 1) if "raise RuntimeError" in text]
    assert f'Dispatcher.yaml", line {line}' in letter["traceback"]
    assert 'raise RuntimeError("the back end says no")' in letter["traceback"]


def test_an_order_that_kills_its_process_is_a_dead_letter_after_its_last_crash(
    serve: Serve, tmp_path: Path
) -> None:
    work = "if name == 1:\n    os.kill(os.getpid(), 9)"
    definitions = app(tmp_path, work=work)
    (definitions / "orders.fifo.yaml").write_text("fifo: orders\nmax_crashes: 3\n")
    feeder = serve(definitions, "--no-workers")
    for number in range(4):
        order(feeder, number)
    starts = 0
    deadline = time.monotonic() + 40
    while numbers(tmp_path, "end") != [0, 2, 3]:
        assert time.monotonic() < deadline
        server = serve(definitions, "--no-gateway", wait=False)
        starts += 1
        until(lambda server=server: server.process.poll() is not None or 3 in numbers(tmp_path, "end"))
    assert starts == 4
    assert numbers(tmp_path, "start") == [0, 1, 1, 1, 2, 3]
    assert {note.attempt for note in notes(tmp_path)} == {1}
    [letter] = dead(tmp_path)
    assert letter["payload"]["parameters"] == {"number": 1}
    assert "died 3 times" in letter["reason"]


def test_where_an_exhausted_order_is_held_nothing_moves_until_it_is_told_to(
    serve: Serve, tmp_path: Path
) -> None:
    flag = tmp_path / "better"
    work = f'if name == 1 and not os.path.exists({str(flag)!r}):\n    raise RuntimeError("no")'
    policy = "max_attempts: 2\non_exhausted: hold\n" + BACKOFF
    server = serve(app(tmp_path, work=work, policy=policy))
    for number in range(3):
        order(server, number)
    until(lambda: numbers(tmp_path, "start") == [0, 1, 1])
    time.sleep(1.3)
    assert numbers(tmp_path, "start") == [0, 1, 1]
    assert dead(tmp_path) == []
    flag.touch()
    retried = run("fifo", "retry", "orders", "--database", "sqlite:///test.db", cwd=tmp_path)
    assert retried.code == 0, retried.err
    until(lambda: numbers(tmp_path, "end") == [0, 1, 2])
    assert numbers(tmp_path, "start") == [0, 1, 1, 1, 2]


WORKER = """
name: {name}
mode: single
script: |
  import os

  async def consume():
      async with FIFO("{name}") as item:
          if item is None:
              return
          with open({log!r}, "a") as log:
              log.write("{name} start\\n")
          await asyncio.sleep(0.3)
          if item == "poison":
              os.kill(os.getpid(), 9)
          with open({log!r}, "a") as log:
              log.write(f"{name} {{item}}\\n")
"""


def test_an_innocent_item_in_work_beside_poison_is_not_given_up(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    log = tmp_path / "innocence.log"
    for name in ("poisoned", "innocent", "other"):
        (definitions / f"{name}.yaml").write_text(WORKER.format(name=name, log=str(log)))
        (definitions / f"{name}.fifo.yaml").write_text(f"fifo: {name}\nmax_crashes: 2\n")
    feeder = serve(definitions, "--no-workers")
    for name, items in {"poisoned": ["poison", "after"], "innocent": ["1", "2"], "other": ["1"]}.items():
        for item in items:
            put = run("fifo", "put", name, json.dumps(item), "--database", feeder.database, cwd=tmp_path)
            assert put.code == 0, put.err

    def ended() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if not line.endswith("start")]

    expected = {"poisoned after", "innocent 1", "innocent 2", "other 1"}
    told = ""
    for _ in range(6):  # the crash of all, the two of the poison alone, and the last, which goes on
        server = serve(definitions, "--no-gateway", wait=False)
        until(
            lambda server=server: server.process.poll() is not None or set(ended()) == expected,
            40,
            what=lambda server=server: f"{ended()} {server.err}",
        )
        told += server.err
        if set(ended()) == expected:
            break
    assert set(ended()) == expected
    listed = run("fifo", "dead", "list", "--format", "json", "--database", feeder.database, cwd=tmp_path)
    assert [(letter["payload"], letter["crashes"]) for letter in json.loads(listed.out)] == [("poison", 2)]
    assert "was in work beside others when its process died" in told


def test_an_item_whose_process_is_killed_while_it_stops_is_not_charged(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path, work="await asyncio.sleep(60)"))
    order(server, 1)
    started(tmp_path, 1)
    server.send()

    def recorded(sql: str) -> object:
        with closing(sqlite3.connect(tmp_path / "test.db")) as database:
            return database.execute(sql).fetchone()[0]

    until(lambda: recorded("SELECT max(stopping) FROM _framework_process"), what=lambda: server.err)
    server.kill()
    server = serve(tmp_path / "definitions")
    assert started(tmp_path, 2).attempt == 1
    assert recorded("SELECT crashes FROM _framework_item") == 0
    server.kill()  # this one does count
    serve(tmp_path / "definitions")
    started(tmp_path, 3)
    assert recorded("SELECT crashes FROM _framework_item") == 1
