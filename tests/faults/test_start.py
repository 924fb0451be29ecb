"""A start after ``kill -9`` takes about as long as any other."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from .app import app
from .conftest import Serve


@pytest.mark.parametrize("rounds", [2, pytest.param(15, marks=pytest.mark.long, id="long")])
@pytest.mark.timeout(300)
def test_a_start_after_a_kill_takes_about_as_long_as_one_after_a_stop(
    serve: Serve, tmp_path: Path, rounds: int
) -> None:
    definitions = app(tmp_path, work="await asyncio.sleep(0.1)")
    times: dict[str, list[float]] = {"first": [], "stop": [], "kill": []}
    ended = "first"
    for how in (*["stop", "kill"] * rounds, "kill"):
        began = time.monotonic()
        server = serve(definitions)
        times[ended].append(time.monotonic() - began)
        for number in range(10):
            assert server.post("/v1/orders/", {"number": number}, token=None).code == 202
        if how == "kill":
            server.kill()
        else:
            assert server.stop() == 0
        ended = how
    after_stop, after_kill = (statistics.median(times[how]) for how in ("stop", "kill"))
    print(
        f"{after_kill:.2f} s after a kill, {after_stop:.2f} s after a stop: ratio {after_kill / after_stop:.2f}"
    )
    assert after_kill / after_stop < 3
