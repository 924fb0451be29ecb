"""Clocks that jump: order, ownership and back-off depend on none that anybody can set."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.acceptance.server import Server, run, until

from .app import app, notes, numbers, started
from .conftest import Serve

# In the server's process `time.time()` is off by what stands in a file.
SITE = """
import time
real = time.time
def changed():
    with open({file!r}) as file:
        return real() + float(file.read() or 0)
time.time = changed
"""


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_changes_neither_order_nor_ownership_nor_back_off(
    serve: Serve, tmp_path: Path, jump: float
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(file=str(offset)))
    work = (
        'if name == 1 and fifo.attempt == 1:\n    raise RuntimeError("not yet")\n'
        "if name == 2:\n    await asyncio.sleep(1.2)"
    )
    policy = "backoff:\n  initial: 1.5\n  factor: 1\n  max: 1.5\n"
    definitions = app(tmp_path, work=work, policy=policy)
    servers = [serve(definitions, env={"PYTHONPATH": str(site)}, wait=False) for _ in range(2)]
    for server in servers:
        server.ready()

    def order(server: Server, number: int) -> None:
        assert server.post("/v1/orders/", {"number": number}, token=None).code == 202

    for number in range(4):
        order(servers[number % 2], number)
    failed = started(tmp_path, 2)
    time.sleep(0.3)
    offset.write_text(str(jump))  # while order 1 waits for its next attempt
    again = started(tmp_path, 3)
    assert (failed.number, again.number, again.attempt) == (1, 1, 2)
    assert 1.4 < again.at - failed.at < 3.5  # the next look may come a second after it was due
    slow = started(tmp_path, 4)
    assert slow.number == 2
    offset.write_text(str(-jump))  # while order 2 is in work
    order(servers[0], 4)
    until(lambda: numbers(tmp_path, "end") == [0, 1, 2, 3, 4])
    assert numbers(tmp_path, "start") == [0, 1, 1, 2, 3, 4]
    assert [note.attempt for note in notes(tmp_path) if note.what == "start"] == [1, 1, 2, 1, 1, 1]
    log = notes(tmp_path)
    assert [note.epoch for note in log] == sorted(note.epoch for note in log)


def test_a_start_with_the_clock_far_ahead_deletes_nothing(serve: Serve, tmp_path: Path) -> None:
    """A real server, whose wall clock is 91 days ahead from its first moment on."""
    definitions = app(tmp_path, work='raise Reject("no")')
    server = serve(definitions)
    assert server.post("/v1/orders/", {"number": 1}, token=None).code == 202
    token = run("token", "--database", "sqlite:///test.db", cwd=tmp_path).out.strip()
    until(lambda: _dead(tmp_path) == 1)
    server.stop()
    offset = tmp_path / "offset"
    offset.write_text(str(91 * 86400.0))
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(file=str(offset)))
    ahead = serve(definitions, env={"PYTHONPATH": str(site)})
    assert ahead.post("/v1/orders/", {"number": 2}, token=None).code == 202
    until(lambda: _dead(tmp_path) == 2)
    ahead.stop()
    serve(definitions)
    assert _dead(tmp_path) == 2
    tokens = json.loads(
        run("token", "list", "--format", "json", "--database", "sqlite:///test.db", cwd=tmp_path).out
    )
    assert token
    assert [one["valid"] for one in tokens] == [True]


def _dead(folder: Path) -> int:
    listed = run("fifo", "dead", "list", "--format", "json", "--database", "sqlite:///test.db", cwd=folder)
    return len(json.loads(listed.out))
