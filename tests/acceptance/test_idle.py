"""An idle server costs nothing, and is at work at once."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from .app import app, ended, notes
from .conftest import Serve
from .server import until


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.long, id="long")])
def test_an_idle_server_uses_less_than_one_percent_of_a_core(
    serve: Serve, tmp_path: Path, seconds: int
) -> None:
    server = serve(app(tmp_path))
    server.order("a")  # idle after work, not only before it
    until(lambda: ended(tmp_path) == ["a"])
    time.sleep(1)
    before, began = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    used = (server.cpu_seconds() - before) / (time.monotonic() - began)
    assert used < 0.01, f"{used:.2%} of a core"


def test_an_order_is_begun_within_ten_milliseconds_of_its_answer(serve: Serve, tmp_path: Path) -> None:
    server = serve(app(tmp_path, work="pass"))
    rounds: list[list[float]] = []
    while not rounds or (statistics.median(rounds[-1]) >= 0.010 and len(rounds) < 5):  # others may be busy
        waits = []
        for _ in range(21):
            before = len(ended(tmp_path))
            server.order("a")
            answered = time.time()
            until(lambda before=before: len(ended(tmp_path)) > before, pause=0.005)
            waits.append([note for note in notes(tmp_path) if note["what"] == "begin"][-1]["at"] - answered)
            time.sleep(0.03)
        rounds.append(sorted(waits))
    assert statistics.median(rounds[-1]) < 0.010, rounds
