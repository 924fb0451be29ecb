"""The files of the database are deleted, moved or replaced under a server that works.

Whatever it has answered with a 2xx is found afterwards: where the log says, or in the database itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Server, run, until

ROUTING = """
domain: test
proxy:
  path: /orders/{number}
  authorization: {auth_mode: none}
request_forbidden_process: |
  if method := resources.get("number"):
      await FIFO("orders").put({"number": method})
      return 202, {"number": method}
  return 200, "nothing is stored for this"
"""

FILES = ("orders.db", "orders.db-wal", "orders.db-shm")


class Client:
    """Posts orders, one after another, until the server answers no more."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answered: list[str] = []
        self.refused = 0
        self._thread = threading.Thread(target=self._post)
        self._thread.start()

    def _post(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                number += 1
                answer = self.server.request("POST", f"/orders/{number}", token=None)
                if answer.code == 202:
                    self.answered.append(str(number))
                else:
                    assert answer.code == 503
                    self.refused += 1

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "definitions").mkdir(parents=True)
    (folder / "definitions" / "orders.yaml").write_text(ROUTING)
    return folder


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    logs = tmp_path / "logs"
    logs.mkdir()
    server = Server(folder / "definitions", logs, database=f"sqlite:///{folder}/orders.db").ready()
    yield server
    server.close()


def stored(database: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT json_extract(payload, '$.number') FROM _framework_item").fetchall()
    return {str(number) for (number,) in rows}


def delete(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink()


def delete_database_alone(folder: Path) -> None:
    (folder / "orders.db").unlink()


def delete_log(folder: Path) -> None:
    (folder / "orders.db-wal").unlink()


def delete_memory(folder: Path) -> None:
    (folder / "orders.db-shm").unlink()


def delete_log_and_memory(folder: Path) -> None:
    (folder / "orders.db-wal").unlink()
    (folder / "orders.db-shm").unlink()


def replace(folder: Path) -> None:
    sqlite3.connect(folder / "new.db").executescript("CREATE TABLE t (a); PRAGMA user_version = 5").close()
    os.replace(folder / "new.db", folder / "orders.db")


def move_database_alone(folder: Path) -> None:
    (folder / "orders.db").rename(folder / "old.db")


def link_to_another(folder: Path) -> None:
    replace(folder)
    (folder / "orders.db").rename(folder / "another.db")
    (folder / "orders.db").symlink_to(folder / "another.db")


def delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "fault",
    [
        delete,
        delete_database_alone,
        delete_log,
        delete_memory,
        delete_log_and_memory,
        replace,
        move_database_alone,
        link_to_another,
        delete_folder,
    ],
)
def test_what_was_answered_is_found(
    server: Server, folder: Path, fault: Callable[[Path], None], tmp_path: Path
) -> None:
    client = Client(server)
    until(lambda: len(client.answered) > 20)
    fault(folder)
    assert server.wait() == 1
    client.end()
    [*_, told] = [line for line in server.err.splitlines() if "ERROR" in line]
    if "Everything that was answered is in the database file" in told:
        assert fault in (delete_log,)
        found = folder / "orders.db"
    else:
        found = Path(re.search(r"included, is in (\S+): move it", told)[1])  # type: ignore[index]
        assert found.stat().st_mode & 0o777 == 0o600
    assert stored(found) >= set(client.answered)
    if found.parent == Path("/tmp"):
        found.unlink()


@pytest.mark.parametrize("whole", [True, False])
def test_files_that_were_moved_together_are_whole(server: Server, folder: Path, whole: bool) -> None:
    client = Client(server)
    until(lambda: len(client.answered) > 20)
    elsewhere = folder.with_name("elsewhere")
    if whole:
        folder.rename(elsewhere)
    else:
        elsewhere.mkdir()
        for name in reversed(FILES):
            (folder / name).rename(elsewhere / name)
    assert server.wait() == 1
    client.end()
    assert f"was moved to {elsewhere}/orders.db" in server.err
    assert stored(elsewhere / "orders.db") >= set(client.answered)


def test_nothing_is_answered_when_it_is_lost(server: Server, folder: Path) -> None:
    """A stopped process cannot look: it notices at the first answer after it goes on."""
    assert server.request("POST", "/orders/1", token=None).code == 202
    delete(folder)
    answer = server.request("POST", "/orders/2", token=None)
    assert answer.code == 503
    assert server.wait() == 1


SLOW = """
name: slow
mode: MODE
script: |
  async def consume():
      async with FIFO("orders") as order:
          if order is not None:
              logger.warning("begun")
              try:
                  await asyncio.sleep(600)
              except asyncio.CancelledError:
                  logger.warning("cancelled")
                  raise
"""


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_what_is_in_work_ends_at_once_when_it_is_lost(folder: Path, tmp_path: Path, mode: str) -> None:
    """Nobody may begin it again from a copy while it still runs, however long a stop gives it."""
    (folder / "definitions" / "slow.yaml").write_text(SLOW.replace("MODE", mode))
    (tmp_path / "logs").mkdir()
    options = ("--stop-timeout", 600)
    database = f"sqlite:///{folder}/orders.db"
    server = Server(folder / "definitions", tmp_path / "logs", *options, database=database).ready()
    try:
        assert server.request("POST", "/orders/1", token=None).code == 202
        until(lambda: "begun" in server.err)
        replace(folder)
        assert server.wait() == 1
    finally:
        server.close()
    assert "cancelled" in server.err
    assert "has lost what it held in the database" in server.err


def test_a_start_does_not_pass_over_what_was_saved(server: Server, folder: Path, tmp_path: Path) -> None:
    assert server.request("POST", "/orders/1", token=None).code == 202
    delete(folder)
    assert server.wait() == 1
    [saved] = folder.glob("orders.db.rescued-*")
    arguments = ("serve", folder / "definitions", "--database", f"sqlite:///{folder}/orders.db", "--port", 0)
    refused = run(*arguments, cwd=folder)
    assert refused.code == 2
    assert f"{saved} holds what was in the database" in refused.err
    assert not (folder / "orders.db").exists()
    saved.rename(folder / "orders.db")
    again = Server(folder / "definitions", tmp_path / "logs", database=server.database).ready()
    try:
        assert again.stop() == 0
    finally:
        again.close()
    assert stored(folder / "orders.db") == {"1"}


def test_a_backup_copied_over_it_stays_as_it_is(server: Server, folder: Path, tmp_path: Path) -> None:
    """`cp` writes into the same file: its name leads where it did, and its content is another."""
    assert server.request("POST", "/orders/1", token=None).code == 202
    assert run("backup", tmp_path / "backup.db", "--database", server.database, cwd=folder).code == 0
    assert server.request("POST", "/orders/2", token=None).code == 202
    backup = (tmp_path / "backup.db").read_bytes()
    (folder / "orders.db").write_bytes(backup)
    assert server.wait() == 1
    assert "was overwritten" in server.err
    assert (folder / "orders.db").read_bytes() == backup
    assert stored(folder / "orders.db") == {"1"}


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_database_that_is_cut_off_or_overwritten_is_noticed(
    server: Server, folder: Path, content: bytes
) -> None:
    with (folder / "orders.db").open("r+b") as file:
        file.truncate(0)
        file.write(content)
    assert server.wait() == 1
    assert "was overwritten" in server.err


def test_a_database_that_moves_behind_a_link_is_the_same(server: Server, folder: Path) -> None:
    """As it is brought to a larger disk of the same file system: with its log, and a link where it was."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert server.request("POST", "/orders/1", token=None).code == 202
    assert server.get("/-/ready", token=None).code == 200
    assert server.stop() == 0
    assert stored(elsewhere / "orders.db") == {"1"}


def test_a_command_that_meets_a_deleted_log_says_so(server: Server, folder: Path) -> None:
    server.send(signal.SIGSTOP)
    delete_log(folder)
    result = run("fifo", "ls", "--database", server.database, cwd=folder)
    assert result.code == 2
    assert f"the write-ahead log {folder}/orders.db-wal was deleted" in result.err
    assert f"process {server.process.pid}" in result.err
    server.send(signal.SIGCONT)
    assert server.wait() == 1
