"""The debug channel across processes: what any of them prints, every listener gets, whole and in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from framework.debug import Message, Missed, follow
from framework.storage import open_storage

from .app import route
from .conftest import Serve

pytestmark = pytest.mark.anyio

PRINT = route(
    "/print/{name}",
    "for number in range(int(parameters['times'][0])):\n"
    "    qprint('%s %d' % (resources['name'], number))\n"
    "return 200, None",
)
WORK = """
name: Printer
mode: single
script: |
  qprint("top level")
  async def consume():
      async with FIFO("work") as item:
          if item is not None:
              qprint(item)
"""
MODULE = """
name: colours
code: |
  qprint("module")
"""


def definitions(folder: Path) -> Path:
    there = folder / "definitions"
    there.mkdir()
    put = route("/work", "await FIFO('work').put(json.loads(request.body))\nreturn 202, None")
    for name, text in {"print": PRINT, "put": put, "work": WORK, "module": MODULE}.items():
        (there / f"{name}.yaml").write_text(text, encoding="utf-8")
    return there


async def heard(messages: object, count: int) -> list[Message | Missed]:
    found = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found.append(await anext(messages))  # type: ignore[call-overload]
    return found


async def test_two_listeners_hear_all_that_two_processes_print_in_order(serve: Serve, tmp_path: Path) -> None:
    folder = definitions(tmp_path)
    servers = [serve(folder, "--no-workers") for _ in range(2)]
    url = f"sqlite:///{tmp_path}/orders.db"
    async with (
        open_storage(url) as one,
        open_storage(url) as two,
        follow(one) as first,
        follow(two) as second,
    ):
        for name in "ab":
            for server in servers:
                answer = await asyncio.to_thread(server.post, f"/print/{name}?times=100", {})
                assert answer.code == 200
        for messages in (first, second):
            found = await heard(messages, 400)
            for server in servers:
                its = [m for m in found if m.node.endswith(f":{server.process.pid}")]
                assert [m.text for m in its] == [f"{name} {n}" for name in "ab" for n in range(100)]
                assert {m.worker for m in its if isinstance(m, Message)} == {"/print/{name}"}


async def test_a_server_that_starts_after_the_listener_is_heard_from_its_first_print(
    serve: Serve, tmp_path: Path
) -> None:
    folder = definitions(tmp_path)
    async with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage, follow(storage) as messages:
        for _ in range(2):  # and again when it was started anew
            workers = await asyncio.to_thread(serve, folder, "--no-gateway")
            found = await heard(messages, 2)
            assert [(m.worker, m.text) for m in found if isinstance(m, Message)] == [
                ("colours", "module"),
                ("Printer", "top level"),
            ]
            await asyncio.to_thread(workers.stop)


async def test_a_worker_in_a_process_of_its_own_is_heard_with_its_name(serve: Serve, tmp_path: Path) -> None:
    folder = definitions(tmp_path)
    api, workers = serve(folder, "--no-workers"), serve(folder, "--no-gateway")
    async with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage, follow(storage) as messages:
        await asyncio.to_thread(api.post, "/work", {"b": ["x"], "a": 1})
        [message] = await heard(messages, 1)
        assert isinstance(message, Message)
        assert (message.worker, message.text) == ("Printer", "a: 1\nb:\n- x")
        assert message.node.endswith(f":{workers.process.pid}")


async def test_the_listening_process_hears_its_own_prints_too(tmp_path: Path) -> None:
    from framework.debug import DebugChannel

    async with open_storage(f"sqlite:///{tmp_path}/own.db") as storage, follow(storage) as messages:
        channel = DebugChannel()
        channel.connect(storage.broadcast)
        channel.qprint("mine")
        [message] = await heard(messages, 1)
        assert message.text == "mine"
