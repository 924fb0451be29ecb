"""A server whose disk is full, again and again: orders are refused or stored, and it goes on by itself."""

from __future__ import annotations

import http.client
import random
import resource
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.server import Server, until

from .app import PATIENCE, app, notes, numbers, until_ended
from .conftest import Serve

FREE = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def limit(folder: Path, source: random.Random) -> int:
    """A size under which the log of the database stands already or soon, and no file of the test does."""
    texts = [file for file in folder.iterdir() if file.suffix in (".err", ".out", ".log")]
    lowest = max(file.stat().st_size for file in texts) + 50_000
    return source.randrange(lowest, lowest + (folder / "test.db-wal").stat().st_size + 1)


class Poster(threading.Thread):
    """Posts orders one after another; knows how each of them was answered."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.answers: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                answer = self._server.post("/v1/orders/", {"number": len(self.answers)}, token=None)
            except (OSError, http.client.HTTPException):
                return
            self.answers.append(answer.code)

    def count(self, code: int) -> int:
        return self.answers.count(code)


@pytest.mark.parametrize(
    "times", [4, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(900)], id="long")]
)
def test_a_disk_that_is_full_now_and_then_loses_nothing_and_holds_nothing_up(
    serve: Serve, tmp_path: Path, source: random.Random, times: int
) -> None:
    """A full disk is met at whatever is written next: an order, a delivery, an acknowledgement, the log's copy."""
    server = serve(app(tmp_path))
    poster = Poster(server)
    poster.start()
    try:
        for _ in range(times):
            goal = poster.count(202) + 5
            until(lambda goal=goal: poster.count(202) > goal, PATIENCE)
            full = (limit(tmp_path, source), resource.RLIM_INFINITY)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, full)
            # The log is written from its start again at times: then the limit is met by no write for long.
            goal, enough = poster.count(503) + source.randrange(3), poster.count(202) + 100
            until(lambda a=goal, b=enough: poster.count(503) > a or poster.count(202) > b, PATIENCE)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, FREE)
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, FREE)
        poster.over.set()
        poster.join()
    print(Counter(poster.answers))
    assert set(poster.answers) == {202, 503}, server.err
    accepted = [number for number, code in enumerate(poster.answers) if code == 202]
    until_ended(tmp_path, accepted)
    assert server.stop(timeout=PATIENCE) == 0
    begun = list(dict.fromkeys(numbers(tmp_path, "start")))
    assert begun == accepted  # what was refused was not stored; none has overtaken another
    assert {note.attempt for note in notes(tmp_path)} == {1}  # no order is to blame
    connection = sqlite3.connect(tmp_path / "test.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM _framework_item").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM _framework_dead").fetchone() == (0,)
        statuses = Counter(connection.execute('SELECT status FROM "OrderEntry"').fetchall())
        assert statuses == {("done",): len(accepted)}
    finally:
        connection.close()
