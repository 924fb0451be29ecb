"""A script that blocks the event loop is named, with its line and how long it was."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from framework.process import watchdog
from framework.process.watchdog import Watchdog

pytestmark = pytest.mark.anyio

SCRIPT = """import time
def consume():
    time.sleep(0.6)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "BLOCKED", 0.2)
    monkeypatch.setattr(watchdog, "_BEAT", 0.02)


async def test_the_line_that_blocks_is_named(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "Slow.yaml"
    path.write_text(SCRIPT)
    namespace: dict[str, object] = {}
    exec(compile(SCRIPT, str(path), "exec"), namespace)
    dog = Watchdog()
    await asyncio.sleep(0.05)
    namespace["consume"]()  # type: ignore[operator]
    await asyncio.sleep(0.1)
    dog.stop()
    noticed, over = [record.getMessage() for record in caplog.records if record.name == "framework.watchdog"]
    assert "Slow.yaml:3 in consume" in noticed
    took = re.search(r"blocked for ([0-9.]+) s at .*Slow.yaml:3 in consume", over)
    assert took is not None
    assert 0.5 <= float(took[1]) < 5


async def test_who_awaits_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    dog = Watchdog()
    await asyncio.sleep(0.6)
    dog.stop()
    assert not [record for record in caplog.records if record.name == "framework.watchdog"]


async def test_its_thread_ends(caplog: pytest.LogCaptureFixture) -> None:
    dog = Watchdog()
    dog.stop()
    deadline = time.monotonic() + 2
    while dog.watching and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not dog.watching
