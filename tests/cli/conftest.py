"""What the tests of the operator's commands share: a database prepared in process, and the real command."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from framework.cli import main
from framework.storage import Storage, open_storage
from framework.storage.operations import Bury, DeadLetter, Deliver, Delivery, Failure, FifoState, Put, Release
from tests.acceptance.server import Result, Server, run

T = TypeVar("T")


def failure(at: float) -> Failure:
    return Failure("ValueError: told to", "Traceback ...\n  orders.yaml:7", at)


class Database:
    """A database in the test's folder, opened anew for each change and closed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "orders.db"
        self.url = f"sqlite:///{self.file}"

    # ---- prepared in process ----------------------------------------------------------------

    def use(self, work: Callable[[Storage], Awaitable[T]]) -> T:
        async def main() -> T:
            async with open_storage(self.url) as storage:
                return await work(storage)

        return asyncio.run(main())

    def write(self, *operations: Any) -> list[Any]:
        return self.use(lambda storage: storage.write(operations))

    def put(self, fifo: str, *payloads: Any) -> list[int]:
        return self.write(*(Put(fifo, json.dumps(payload), time.time()) for payload in payloads))

    def fail(self, fifo: str, *, delay: float = 0.0, hold: bool = False) -> None:
        """One failed attempt at the head."""
        self._work(fifo, lambda claim: Release(claim, failure(time.time()), delay=delay, hold=hold))

    def bury(self, fifo: str, *, at: float | None = None) -> None:
        """The head, worked on once, to the dead letters."""
        self._work(fifo, lambda claim: Bury(claim, failure(at or time.time())))

    def _work(self, fifo: str, end: Callable[[Any], Any]) -> None:
        async def work(storage: Storage) -> None:
            [delivery] = await storage.write([Deliver(fifo, time.time(), "Tester")])
            assert isinstance(delivery, Delivery), delivery
            await storage.write([end(delivery.claim)])

        self.use(work)

    # ---- looked at in process ---------------------------------------------------------------

    def state(self, fifo: str) -> FifoState:
        found = self.use(lambda storage: storage.fifo_state(fifo))
        assert found is not None
        return found

    def items(self, fifo: str) -> list[int]:
        return [item.id for item in self.use(lambda storage: storage.peek(fifo, 1000))]

    def dead(self) -> list[DeadLetter]:
        return self.use(lambda storage: storage.dead_letters(None, 1000))

    # ---- the command ------------------------------------------------------------------------

    def invoke(self, *arguments: object) -> Result:
        """As ``run``, but in this process, which takes no time: for more of the same."""
        result = CliRunner().invoke(main, [*map(str, arguments), "--database", self.url])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def run(self, *arguments: object, **options: Any) -> Result:
        """``framework ARGUMENTS --database URL`` to its end."""
        return run(*arguments, "--database", self.url, cwd=self.folder, **options)

    def do(self, *arguments: object, **options: Any) -> str:
        """``framework fifo ARGUMENTS``, which must end well; what it prints."""
        result = self.run("fifo", *arguments, **options)
        assert result.code == 0, result
        return result.out

    def refused(self, *arguments: object, **options: Any) -> str:
        """``framework fifo ARGUMENTS``, which must be refused with exit code 1; why."""
        result = self.run("fifo", *arguments, **options)
        assert (result.code, result.out) == (1, ""), result
        return result.err

    def json(self, *arguments: object) -> Any:
        return json.loads(self.do(*arguments, "--format", "json"))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(tmp_path)
    made.write()
    return made


WORKER = """
fifo: orders
backoff: {initial: 50.0}
slow_after: 0.2
---
category: test
mode: single
name: Consumer
script: |
  import os

  async def consume():
      fifo = FIFO("orders")
      async with fifo as order:
          if order is None:
              return
          with open("work.log", "a") as log:
              log.write(json.dumps([order.n, fifo.attempt, time.time() - fifo.put_at]) + "\\n")
          while os.path.exists("block"):
              await asyncio.sleep(0.01)
          if os.path.exists("fail"):
              raise ValueError("told to")
"""


class Work:
    """A server whose worker notes each item; files in its folder make it block or fail."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.definitions = database.folder / "definitions"
        self.definitions.mkdir()
        (self.definitions / "worker.yaml").write_text(WORKER, encoding="utf-8")
        self.log = database.folder / "work.log"
        self.servers: list[Server] = []

    def start(self) -> Server:
        server = Server(
            self.definitions, self.database.folder, "--no-gateway", database=self.database.url
        ).ready()
        self.servers.append(server)
        return server

    def done(self) -> list[list[Any]]:
        """``[n, attempt, seconds after its put]`` of each delivery so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def tell(self, what: str) -> Path:
        """Tell the worker to ``block`` or ``fail`` from now on; until the file is gone."""
        path = self.database.folder / what
        path.touch()
        return path


@pytest.fixture
def work(database: Database) -> Iterator[Work]:
    made = Work(database)
    yield made
    for server in made.servers:
        server.close()
