"""Whatever a script raises, and wherever: it is a failure of its item or its request, and the server goes on."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from textwrap import indent

import pytest

from .app import route
from .conftest import Serve
from .server import Server, run, until

# Each raises in another way; what the log has to name.
RAISED = {
    "Own": "class Own(BaseException): pass\nraise Own('mine')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SystemExit": "raise SystemExit(3)",
    "GeneratorExit": "raise GeneratorExit",
    "CancelledError": "raise asyncio.CancelledError",
    "BaseExceptionGroup": "raise BaseExceptionGroup('several', [KeyboardInterrupt(), ValueError('x')])",
    "Mute": (
        "class Mute(Exception):\n    def __str__(self):\n        raise KeyboardInterrupt\n    __repr__ = __str__\n"
        "raise Mute"
    ),
    "in gather": "async def child():\n    raise SystemExit(4)\nawait asyncio.gather(child(), asyncio.sleep(5))",
    "in wait_for": "async def child():\n    raise KeyboardInterrupt\nawait asyncio.wait_for(child(), 5)",
    "in create_task": "async def child():\n    raise SystemExit\nawait asyncio.create_task(child())",
    "in TaskGroup": (
        "async def child():\n    raise KeyboardInterrupt\n"
        "async with asyncio.TaskGroup() as group:\n    group.create_task(child())\n    await asyncio.sleep(5)"
    ),
    "in a thread": "await asyncio.to_thread(exit_)",
    "of itself": "asyncio.current_task().cancel()\nawait asyncio.sleep(5)",
    "in a method": "await atom.Tea.fails()",
    "in a default": "atom.Tea()",
    "in a module": "context.leaving.leave()",
    "in a callback": "asyncio.get_running_loop().call_soon(exit_)\nawait asyncio.sleep(0.1)\nraise ValueError",
    "stops the loop": "asyncio.get_running_loop().stop()\nawait asyncio.sleep(0.1)\nraise ValueError",
}

EXIT = "def exit_():\n    raise SystemExit(5)\n"

TEA = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: kind, field_type: string, field_default: context.leaving.leave()}
methods:
  class_methods:
  - method_body: |
      async def fails(cls):
          raise SystemExit(6)
"""

LEAVING = """
name: leaving
code: |
  def leave():
      raise KeyboardInterrupt("of a module")
"""

BLOCK = """
name: Block
mode: single
script: |
{exit}
  async def consume():
      async with FIFO("block") as number:
          if number is None:
              return
          qprint(f"block {{number}}.")
{cases}
"""


def cases(depth: int) -> str:
    lines = []
    for number, body in enumerate(RAISED.values()):
        lines += [f"if number == {number}:", indent(body, "    ")]
    return indent("\n".join(lines), " " * depth)


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "tea.yaml").write_text(TEA)
    (folder / "leaving.yaml").write_text(LEAVING)
    return folder


def alive(server: Server) -> bool:
    return server.process.poll() is None


def test_a_request_whose_script_raises_anything_is_a_500_and_the_next_one_is_answered(
    serve: Serve, definitions: Path
) -> None:
    routes = [
        route(f"/{number}", f"{EXIT}{body}\nreturn 'never'") for number, body in enumerate(RAISED.values())
    ]
    routes.append(route("/well", "return 'well'"))
    outer = "answer = await callout(path='/1')\nreturn answer.code, answer.body.decode()"
    routes.append(route("/callout", outer))
    (definitions / "routes.yaml").write_text("".join(routes))
    server = serve(definitions)
    for number, name in enumerate(RAISED):
        answer = server.post(f"/{number}", {}, token=None)
        assert answer.code == 500, (name, answer, server.err)
        error_id = answer.problem()["id"]
        until(lambda error_id=error_id: error_id in server.err, what=lambda: server.err)
        assert server.get("/well", token=None).body == b"well", name
    assert server.get("/callout", token=None).code == 500
    assert server.get("/-/ready", token=None).code == 200
    assert server.stop() == 0


def test_an_item_whose_block_raises_anything_has_failed_and_the_next_one_follows(
    serve: Serve, definitions: Path, tmp_path: Path
) -> None:
    (definitions / "worker.yaml").write_text(BLOCK.format(exit=indent(EXIT, "  "), cases=cases(10)))
    (definitions / "policy.yaml").write_text(
        "fifo: block\nmax_attempts: 2\nbackoff: {initial: 0.01, max: 0.01}\n"
    )
    fill = f"await FIFO('block').put_many(range({len(RAISED) + 1}))\nreturn 202, None"
    (definitions / "fill.yaml").write_text(route("/fill", fill))
    server = serve(definitions)
    assert server.post("/fill", {}, token=None).code == 202
    # The last one raises nothing: it comes when all others have been given up.
    until(lambda: f"block {len(RAISED)}." in server.out, 60, what=lambda: server.err)
    with sqlite3.connect(tmp_path / "orders.db") as database:
        letters = "SELECT payload, attempts, traceback IS NULL FROM _framework_dead ORDER BY id"
        found = database.execute(letters).fetchall()
    assert found == [(str(number), 2, False) for number in range(len(RAISED))]
    assert re.search(r"worker\.yaml:\d+", server.err)
    assert alive(server)
    assert server.stop() == 0


def test_a_worker_that_raises_anything_outside_a_block_runs_again(serve: Serve, definitions: Path) -> None:
    for number, body in enumerate(RAISED.values()):
        (definitions / f"{number}.yaml").write_text(
            f"name: Outside{number}\nmode: single\nscript: |\n{indent(EXIT, '  ')}  calls = 0\n"
            "  async def consume():\n      global calls\n      calls += 1\n"
            f"      qprint(f'{number} call {{calls}}')\n{indent(body, ' ' * 6)}\n"
        )
    (definitions / "well.yaml").write_text(route("/well", "return 'well'"))
    server = serve(definitions, wait=False)
    for number, name in enumerate(RAISED):
        until(
            lambda number=number: f"{number} call 3" in server.out, what=lambda name=name: name + server.err
        )
    # One that cancels itself cannot run.
    assert server.reached().get("/-/ready", token=None).code == 503
    assert server.get("/well", token=None).body == b"well"
    for number in range(len(RAISED)):
        assert re.search(rf"ERROR .*worker Outside{number} (failed|has ended)", server.err), number
    assert server.stop() == 0


def test_a_worker_that_cannot_run_is_told_by_ready_and_by_the_doctor_until_it_can(
    serve: Serve, definitions: Path, tmp_path: Path
) -> None:
    bar = tmp_path / "bar"
    bar.touch()
    (definitions / "worker.yaml").write_text(
        "name: Barred\nmode: single\nscript: |\n  import os\n  async def consume():\n"
        f"      if os.path.exists({str(bar)!r}):\n          asyncio.current_task().cancel()\n"
        "          await asyncio.sleep(5)\n      qprint('runs')\n"
    )
    server = serve(definitions, wait=False)
    until(lambda: "worker Barred has ended" in server.err, what=lambda: server.err)
    assert server.reached().get("/-/ready", token=None).code == 503
    assert server.get("/-/live", token=None).code == 200

    def doctor() -> list[dict[str, object]]:
        told = run("doctor", "--format", "json", "--database", server.database, cwd=tmp_path)
        found: list[dict[str, object]] = json.loads(told.out)
        return [one for one in found if one["check"] == "workers"]

    until(lambda: doctor()[0]["level"] == "error", what=lambda: str(doctor()))
    assert "Barred" in str(doctor()[0]["message"])
    bar.unlink()
    until(lambda: server.get("/-/ready", token=None).code == 200, 30)
    until(lambda: doctor()[0]["level"] == "ok", what=lambda: str(doctor()))
    assert "runs" in server.out
    assert server.stop() == 0
    with sqlite3.connect(tmp_path / "orders.db") as database:
        assert database.execute("SELECT count(*) FROM _framework_problem").fetchone() == (0,)
