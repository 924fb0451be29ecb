"""Variants of the reference application, with a worker that writes down what it does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from textwrap import indent
from typing import Any

from .server import REFERENCE_APP

LOG = "work.log"

_WORKER = """
category: example
mode: {mode}
name: Dispatcher
script: |
  import os

  def note(what, order, **more):
      line = json.dumps({{"what": what, "name": order.parameters.name, "pid": os.getpid(), **more}})
      log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
      os.write(log, line.encode() + b"\\n")
      os.close(log)

  async def consume():
      while Runtime.running():
          fifo = FIFO("orders")
          async with fifo as order:
              if order is None:
                  return
              note("begin", order, attempt=fifo.attempt, at=time.time())
              entry = await atom.OrderEntry.load(order.orderId)
              await entry.save(status="processing")
{work}
              await entry.save(status="done")
              note("end", order)
"""


def app(folder: Path, *, work: str = "await asyncio.sleep(0.05)", mode: str = "single") -> Path:
    """A folder of definitions: the reference application, its worker doing ``work`` with each order.

    The worker adds a line to ``work.log`` (in the current folder of the server) as it begins and ends one.
    """
    definitions = folder / "definitions"
    definitions.mkdir()
    for name in ("OrderEntry.yaml", "orders.routing.yaml"):
        shutil.copy(REFERENCE_APP / name, definitions)
    worker = _WORKER.format(mode=mode, log=str(folder / LOG), work=indent(work, " " * 14))
    (definitions / "Dispatcher.yaml").write_text(worker, encoding="utf-8")
    return definitions


def notes(folder: Path) -> list[dict[str, Any]]:
    """What the worker has written down so far."""
    try:
        return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    except FileNotFoundError:
        return []


def begun(folder: Path) -> list[str]:
    """The names of the orders in the order in which they were begun, again and again included."""
    return [note["name"] for note in notes(folder) if note["what"] == "begin"]


def ended(folder: Path) -> list[str]:
    return [note["name"] for note in notes(folder) if note["what"] == "end"]


def route(path: str, script: str, *, auth: str = "none") -> str:
    """A routing entry as YAML."""
    return (
        f"- proxy:\n    path: '{path}'\n    authorization: {{auth_mode: {auth}}}\n"
        f"  request_forbidden_process: |\n{indent(script.strip(), '    ')}\n"
    )
