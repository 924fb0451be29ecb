"""Servers with different definitions on one database: what one relies on is not taken away, or the start is refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server, run, until

from .conftest import Serve

TEA = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: integer}
  local_fields:
  - {field_name: state, field_type: string, field_default: new, field_enum: [ENUM]}
MORE"""

ROUTE = """
proxy:
  path: /teas/{teaId}
  authorization: {auth_mode: none}
transaction: true
request_forbidden_process: |
  wanted = json.loads(request.body)
  tea = atom.Tea(**wanted)
  await tea.save()
  return 202, tea.localfields()
"""

PUT = """
proxy:
  path: /put
  authorization: {auth_mode: none}
request_forbidden_process: |
  await FIFO("orders").put({"n": 1})
  return 202, None
"""

WORKER = """
name: Failing
mode: multi
script: |
  async def consume():
      async with FIFO("orders") as order:
          if order is not None:
              raise ValueError("told to")
"""

POLICY = "fifo: orders\nmax_attempts: 1\non_exhausted: hold\n"
ROLE = "name: brewer\nauthorities:\n- {regex: /teas, methods: [GET]}\n"
REQUIRED = "  - {field_name: kind, field_type: string, field_nullable: false}"


def tea(enum: str = "new, old", more: str = "") -> str:
    return TEA.replace("ENUM", enum).replace("MORE", more)


def folder(tmp_path: Path, name: str, *texts: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    for number, text in enumerate(texts):
        (made / f"{number}.yaml").write_text(text, encoding="utf-8")
    return made


def refused(server: Server) -> str:
    """The start ends with exit code 2; why."""
    assert server.process.wait(60) == 2, server.err
    return server.err


def show(tmp_path: Path) -> dict[str, Any]:
    done = run("fifo", "show", "orders", "--format", "json", "--database", "sqlite:///test.db", cwd=tmp_path)
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_a_policy_of_a_running_server_is_in_force_for_one_that_has_none_and_is_not_erased(
    serve: Serve, tmp_path: Path
) -> None:
    governed = serve(folder(tmp_path, "governed", PUT, POLICY), "--no-workers")
    bare = serve(folder(tmp_path, "bare", WORKER), "--no-gateway")
    pid = governed.process.pid
    until(lambda: f"process {pid} on" in bare.err)
    assert "FIFO orders has a policy there and none here: theirs stays in force, here too" in bare.err
    assert "WARNING" in bare.err
    policy = show(tmp_path)["policy"]
    assert (policy["recorded"], policy["on_exhausted"]) == (True, "hold")
    assert governed.post("/put", {}, token=None).code == 202
    until(lambda: show(tmp_path)["state"] == "held", 20)
    assert show(tmp_path)["dead"] == 0
    governed.stop()
    bare.stop()
    serve(tmp_path / "bare", "--no-gateway")
    assert not show(tmp_path)["policy"]["recorded"], "nobody runs who has it"


def test_a_field_that_would_break_a_running_server_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    old, new = folder(tmp_path, "old", tea(), ROUTE), folder(tmp_path, "new", tea(more=REQUIRED), ROUTE)
    first = serve(old)
    said = refused(serve(new, wait=False))
    assert f"process {first.process.pid} on" in said
    assert str(old) in said
    assert "Tea.kind is required by this start, and it does not have it" in said
    assert "Stop them first" in said
    assert first.post("/teas", {"teaId": 1}, token=None).code == 202
    first.stop()
    assert "framework migrate" in refused(serve(new, wait=False)), "there is a row now"


def test_an_old_version_is_not_started_beside_a_new_one(serve: Serve, tmp_path: Path) -> None:
    old, new = folder(tmp_path, "old", tea(), ROUTE), folder(tmp_path, "new", tea(more=REQUIRED), ROUTE)
    second = serve(new)
    said = refused(serve(old, wait=False))
    assert "Tea.kind is required by it, and this start does not have it" in said
    assert second.post("/teas", {"teaId": 1, "kind": "green"}, token=None).code == 202
    second.kill()  # one that is dead is in nobody's way
    again = serve(new)
    assert "process" not in again.err


def test_fewer_values_are_refused_beside_a_running_server_and_more_are_told(
    serve: Serve, tmp_path: Path
) -> None:
    first = serve(folder(tmp_path, "first", tea(), ROUTE))
    said = refused(serve(folder(tmp_path, "fewer", tea("new"), ROUTE), wait=False))
    assert (
        'Tea.state takes type string, enum ["new", "old"] there, and type string, enum ["new"] here' in said
    )
    more = serve(folder(tmp_path, "more", tea("new, old, odd"), ROUTE), "--no-workers")
    assert "Tea.state takes more values here than there" in more.err
    assert first.post("/teas", {"teaId": 1, "state": "old"}, token=None).code == 202
    assert more.post("/teas", {"teaId": 2, "state": "odd"}, token=None).code == 202


def test_the_same_definitions_twice_are_no_warning(serve: Serve, tmp_path: Path) -> None:
    definitions = folder(tmp_path, "same", tea(), ROUTE, POLICY, ROLE)
    first = serve(definitions, "--no-workers")
    second = serve(definitions, "--no-workers")
    assert f"process {first.process.pid} on" in second.err
    assert "has the same definitions" in second.err
    assert "WARNING" not in second.err


def test_roles_of_a_running_gateway_stay_known(serve: Serve, tmp_path: Path) -> None:
    serve(folder(tmp_path, "roles", tea(), ROUTE, ROLE), "--no-workers")
    serve(folder(tmp_path, "none", PUT), "--no-workers")
    done = run("account", "add", "alice", "--role", "brewer", "--database", "sqlite:///test.db", cwd=tmp_path)
    assert done.code == 0, done


SLOW_START = """
name: slow
code: |
  import os, time
  deadline = time.monotonic() + 60
  while not os.path.exists({file!r}) and time.monotonic() < deadline:
      time.sleep(0.02)
"""


def test_a_start_that_takes_long_does_not_erase_the_roles_of_one_that_came_later(
    serve: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "go on"
    slow_start = SLOW_START.format(file=str(file))
    slow = serve(folder(tmp_path, "slow", PUT, slow_start), "--no-workers", wait=False)
    until(lambda: _servers(tmp_path) == 1)
    serve(folder(tmp_path, "roles", tea(), ROUTE, ROLE), "--no-workers")
    file.touch()
    slow.ready()
    done = run("account", "add", "alice", "--role", "brewer", "--database", "sqlite:///test.db", cwd=tmp_path)
    assert done.code == 0, done


def _servers(tmp_path: Path) -> int:
    """How many are past their look at the others."""
    if not (tmp_path / "test.db").exists():
        return 0
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        try:
            [count] = connection.execute("SELECT count(*) FROM _framework_server").fetchone()
        except sqlite3.Error:  # hardly made
            return 0
    return int(count)


@pytest.mark.parametrize("changed", ["max_attempts: 2\n", "timeout: 3\n"])
def test_another_policy_is_told_with_what_differs(serve: Serve, tmp_path: Path, changed: str) -> None:
    serve(folder(tmp_path, "one", PUT, "fifo: orders\nmax_length: 7\n"), "--no-workers")
    second = serve(folder(tmp_path, "two", PUT, f"fifo: orders\nmax_length: 7\n{changed}"), "--no-workers")
    assert "FIFO orders has another policy here" in second.err
    assert changed.partition(":")[0] in second.err
    assert "it goes on with its own until it is restarted" in second.err
