"""The end of a runtime and of the server: total, repeatable, and never silent about an error."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from framework.definitions import Definitions
from framework.process.shutdown import Shutdown
from framework.script.callout import Callout
from framework.serving import server
from framework.serving.runtime import Runtime, open_runtime

pytestmark = pytest.mark.anyio

Define = Callable[..., Definitions]

APP = (
    "- proxy:\n    path: /a\n    authorization: {auth_mode: none}\n  request_forbidden_process: return 1, 2\n"
)
WORKER = "name: W\nmode: multi\nscript: |\n  async def consume():\n      pass\n"


async def broken(*arguments: object) -> None:
    raise RuntimeError("broken")


def watching() -> bool:
    return any(thread.name == "framework-watchdog" for thread in threading.enumerate())


async def test_an_error_of_one_part_does_not_keep_the_others_from_their_end(
    define: Define, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def settle() -> None:
        ended.append("settle")

    async def close(callout: Callout) -> None:
        ended.append("callout")

    monkeypatch.setattr("framework.serving.runtime.keep_house", broken)
    monkeypatch.setattr(Callout, "close", close)
    async with open_runtime(define(APP, WORKER), url) as (runtime, _):
        parts: Any = runtime
        runtime.ask_to_stop()
        await parts._reflector.stop()
        parts._reflector.stop = broken
        parts._fifos.settlements.settle = settle
        await runtime.stop()
        assert ended == ["settle"]
        assert watching()
        await runtime.close()
        assert ended == ["settle", "callout"]
    async with asyncio.timeout(10):
        while watching():
            await asyncio.sleep(0.01)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told[:2] == ["the workers could not be ended", "the housekeeping could not be ended"]


async def test_a_stop_and_a_close_may_come_again_and_before_any_start(define: Define, url: str) -> None:
    unstarted = Runtime(define(APP, WORKER))
    for _ in range(2):
        await unstarted.stop()
        await unstarted.close()
    async with open_runtime(define(APP, WORKER), url) as (runtime, _):
        for _ in range(2):
            await runtime.stop()
        for _ in range(2):
            await runtime.close()


@pytest.mark.parametrize(
    ("ends", "said"), [(broken, "ended by an error"), (lambda *_: asyncio.sleep(0), "ended unasked")]
)
async def test_a_gateway_that_ends_by_itself_is_logged_and_the_exit_code_is_1(
    define: Define,
    url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ends: Any,
    said: str,
) -> None:

    async def main_loop(uvicorn: object) -> None:
        await asyncio.sleep(0.05)
        await ends()

    monkeypatch.setattr(server._Uvicorn, "main_loop", main_loop)
    with server.listen("127.0.0.1", 0) as listener:
        code = await server.serve(
            define(APP),
            url=url,
            listener=listener,
            workers=False,
            started=lambda runtime: None,
            shutdown=Shutdown(),
        )
    assert code == 1
    assert said in caplog.text
