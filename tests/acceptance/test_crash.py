"""kill -9 at any moment: no order is lost, none overtakes another, the one in work comes again first."""

from __future__ import annotations

import http.client
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from .app import app, begun, ended, notes
from .conftest import Serve
from .server import Server, until


def test_an_order_in_work_is_worked_again_first_after_a_kill(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(0.6)")
    server = serve(definitions)
    for name in "abc":
        server.order(name)
    until(lambda: begun(tmp_path) == ["a", "b"])
    server.kill()
    assert ended(tmp_path) == ["a"]

    server = serve(definitions)
    assert [order["parameters"]["name"] for order in server.orders()] == ["a", "b", "c"]
    until(lambda: server.statuses() == ["done"] * 3)
    assert begun(tmp_path) == ["a", "b", "b", "c"]
    assert ended(tmp_path) == ["a", "b", "c"]


def test_an_order_is_there_when_its_202_is_there(serve: Serve, tmp_path: Path) -> None:
    definitions = app(tmp_path)
    names = []
    for number in range(2):
        server = serve(definitions, "--no-workers")
        names.append(f"n{number}")
        order_id = server.order(names[-1])
        server.kill()  # at once
        assert order_id
    server = serve(definitions)
    assert [order["parameters"]["name"] for order in server.orders()] == names
    until(lambda: server.statuses() == ["done"] * 2)
    assert begun(tmp_path) == names


PATIENCE = 120.0  # far more than an order takes


class Poster(threading.Thread):
    """Posts orders one after another until the server is gone; knows which of them were answered."""

    def __init__(self, server: Server, prefix: str) -> None:
        super().__init__()
        self._server = server
        self._prefix = prefix
        self.sent: list[str] = []
        self.accepted: list[str] = []
        self.wrong: list[Any] = []

    def run(self) -> None:
        for number in range(40):
            name = f"{self._prefix}.{number}"
            self.sent.append(name)
            try:
                answer = self._server.post("/v1/orders/", {"name": name})
            except (OSError, http.client.HTTPException):
                return  # it was killed; whether this order was stored, nobody knows
            if answer.code != 202:
                self.wrong.append(answer)
                return
            self.accepted.append(name)
            time.sleep(0.03)


# One kill of many hits the moment between two system calls; the long run looks for it.
@pytest.mark.parametrize("rounds", [5, pytest.param(60, marks=pytest.mark.long, id="long")])
@pytest.mark.timeout(3600)
def test_every_answered_order_is_done_in_order_whenever_the_server_is_killed(
    serve: Serve, tmp_path: Path, rounds: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown when the test fails
    source = random.Random(seed)
    definitions = app(tmp_path, work="await asyncio.sleep(0.04)")
    sent: list[str] = []
    accepted: list[str] = []
    in_work: str | None = None
    for number in range(rounds):
        before = len(begun(tmp_path))
        server = serve(definitions)
        assert server.token
        poster = Poster(server, str(number))
        poster.start()
        # A busy machine makes it longer, not emptier: an order was answered, and what was in work begun again.
        until(lambda poster=poster: poster.accepted or not poster.is_alive(), PATIENCE)
        if in_work is not None:
            until(lambda before=before: len(begun(tmp_path)) > before, PATIENCE)
        time.sleep(source.uniform(0, 0.8))
        server.kill()
        poster.join()
        assert not poster.wrong
        sent += poster.sent
        accepted += poster.accepted
        if in_work is not None:
            assert begun(tmp_path)[before] == in_work
        last = notes(tmp_path)[-1:]
        in_work = last[0]["name"] if last and last[0]["what"] == "begin" else None

    server = serve(definitions)
    server.order("last")
    sent.append("last")
    accepted.append("last")
    until(lambda: "last" in ended(tmp_path), PATIENCE, what=lambda: str(notes(tmp_path)[-3:]))
    stored = {order["parameters"]["name"]: order["status"] for order in server.orders()}
    assert len(accepted) > rounds  # one a round, and the last
    assert len(sent) - len(accepted) <= rounds
    # What was answered is done. The script saves an order, then puts it: an order whose answer a kill
    # forestalled may be missing, or stored and not put, or put, and is then done like the others.
    done = [name for name in sent if stored.get(name) == "done"]
    assert set(accepted) <= set(done)
    assert {status for name, status in stored.items() if name not in done} <= {"standby"}
    assert list(stored) == [name for name in sent if name in stored]
    # Each was begun for the first time in the order of posting, and ended before the next was begun.
    assert list(dict.fromkeys(begun(tmp_path))) == done
    assert list(dict.fromkeys(ended(tmp_path))) == done
    assert begun_one_at_a_time(tmp_path)


def begun_one_at_a_time(folder: Path) -> bool:
    """After a begin comes its end, or, the process being killed, the begin of the same order again."""
    previous: dict[str, Any] | None = None
    for note in notes(folder):
        if previous is not None and previous["what"] == "begin":
            assert note["name"] == previous["name"], (previous, note)
            if note["what"] == "begin":
                assert note["pid"] != previous["pid"], (previous, note)
        elif note["what"] == "end":
            raise AssertionError(f"ended but not begun: {note}")
        previous = note
    return True
