"""Another program at the database, an SQLite shell say: who waits for it waits once, and learns what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.server import run, until

from .app import app, numbers
from .conftest import Serve
from .test_stopped import write_wait

SHELL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    print(connection.execute(line).fetchall(), flush=True)
"""

WAIT = 1.0


class Shell:
    """A shell of SQLite's: a program that knows nothing of the framework."""

    def __init__(self, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, statement: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{statement}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[[], Shell]]:
    shells: list[Shell] = []

    def shell() -> Shell:
        shells.append(Shell(tmp_path / "test.db"))
        return shells[-1]

    yield shell
    for one in shells:
        one.end()


def test_all_who_wait_for_another_program_get_one_answer_at_one_time_and_nothing_of_theirs_is_stored(
    serve: Serve, shell: Callable[[], Shell], tmp_path: Path
) -> None:
    server = serve(app(tmp_path), env=write_wait(tmp_path, WAIT))
    assert server.post("/v1/orders/", {"number": 0}, token=None).code == 202
    until(lambda: numbers(tmp_path, "end") == [0])
    other = shell()
    other("BEGIN IMMEDIATE")
    began = time.monotonic()
    with ThreadPoolExecutor(24) as pool:
        codes = list(
            pool.map(lambda n: server.post("/v1/orders/", {"number": n}, token=None).code, range(1, 25))
        )
        took = time.monotonic() - began
        assert codes == [503] * 24
        assert took < 8 * WAIT, f"24 waited one after another: {took:.1f} s"
        assert server.get("/-/ready", token=None).code == 200
    said = server.err
    assert "another program than the framework holds a write transaction" in said
    assert set(re.findall(r"process (\d+)", said)) <= {str(other.process.pid)}
    if sys.platform == "linux":
        assert f"process {other.process.pid} (python" in said
    other("ROLLBACK")
    until(lambda: server.post("/v1/orders/", {"number": 99}, token=None).code == 202, 20)
    until(lambda: numbers(tmp_path, "end")[-1] == 99)
    assert numbers(tmp_path, "end") == [0, 99], "what was refused was never stored"


def test_commands_that_only_look_wait_for_nobody_who_writes(
    serve: Serve, shell: Callable[[], Shell], tmp_path: Path
) -> None:
    definitions = app(tmp_path)
    server = serve(definitions)
    assert server.post("/v1/orders/", {"number": 0}, token=None).code == 202
    until(lambda: numbers(tmp_path, "end") == [0])
    server.stop()
    other = shell()
    other("BEGIN IMMEDIATE")
    for verb in (
        ("fifo", "ls"),
        ("fifo", "show", "orders"),
        ("fifo", "peek", "orders"),
        ("fifo", "dead", "list"),
        ("token", "list"),
        ("account", "list"),
        ("account", "roles"),
        ("audit",),
        ("doctor",),
        ("migrate", str(definitions)),
        ("migrate", "--history"),
    ):
        done = run(*verb, "--database", "sqlite:///test.db", cwd=tmp_path)
        assert done.code == 0, (verb, done)
    env = write_wait(tmp_path, 0.2)
    refused = run("fifo", "put", "orders", "1", "--database", "sqlite:///test.db", cwd=tmp_path, env=env)
    assert refused.code == 2
    assert "another program than the framework holds a write transaction" in refused.err
    other("ROLLBACK")
    [fifo] = json.loads(
        run("fifo", "ls", "--format", "json", "--database", "sqlite:///test.db", cwd=tmp_path).out
    )
    assert fifo["length"] == 0


def test_a_waiting_server_is_not_taken_for_the_one_that_holds_up_the_others(
    serve: Serve, shell: Callable[[], Shell], tmp_path: Path
) -> None:
    """One server has its turn and waits for the shell; the other waits for the first one's turn."""
    definitions = app(tmp_path)
    env = write_wait(tmp_path, WAIT)
    servers = [serve(definitions, env=env, wait=False) for _ in range(2)]
    for server in servers:
        server.ready()
    other = shell()
    other("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(4) as pool:
        codes = list(
            pool.map(lambda n: servers[n % 2].post("/v1/orders/", {"number": n}, token=None).code, range(4))
        )
    assert codes == [503] * 4
    for server in servers:
        assert "another program than the framework holds a write transaction" in server.err
        assert not re.findall(r"process \d+ on \S+ holds the database", server.err)
    other("ROLLBACK")
