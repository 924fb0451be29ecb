"""The order application with a worker that notes down durably what it begins and ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from tests.acceptance.server import REFERENCE_APP, until

PATIENCE = 120.0  # far more than a start takes, or an order: the machine may be busy

_ROUTING = """
- domain: orders
  proxy:
    path: /v1/orders/{orderId}
    authorization:
      auth_mode: none
  transaction: true
  request_forbidden_process: |
    order = atom.OrderEntry(parameters=json.loads(request.body))
    await order.save()
    await FIFO("orders").put(order.localfields())
    return 202, order.localfields()
"""

_WORKER = """
name: Dispatcher
mode: {mode}
script: |
  import os, signal

  async def consume():
      while Runtime.running():
          fifo = FIFO("orders")
          async with fifo as order:
              if order is None:
                  return
              name = order.parameters.number

              def note(what):
                  delivery = (fifo.id, fifo.epoch, fifo.attempt)
                  words = (what, os.getpid(), time.monotonic(), name, order.orderId, *delivery)
                  log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                  os.write(log, " ".join(map(str, words)).encode() + b"\\n")
                  os.close(log)

              note("start")
              entry = await atom.OrderEntry.load(order.orderId)
              await entry.save(status="processing")
{work}
              await entry.save(status="done")
              note("end")
"""


def app(folder: Path, *, work: str = "pass", mode: str = "multi", policy: str = "") -> Path:
    """A folder of definitions: orders are taken without a token, and worked off by doing ``work``."""
    definitions = folder / "definitions"
    definitions.mkdir()
    shutil.copy(REFERENCE_APP / "OrderEntry.yaml", definitions)
    (definitions / "orders.routing.yaml").write_text(_ROUTING)
    worker = _WORKER.format(mode=mode, log=str(folder / "work.log"), work=indent(work, " " * 14))
    (definitions / "Dispatcher.yaml").write_text(worker)
    (definitions / "orders.fifo.yaml").write_text(f"fifo: orders\nmax_crashes: 1000000\n{policy}")
    return definitions


@dataclass(frozen=True)
class Note:
    """A line of the worker's log; ``at`` on the clock of ``time.monotonic()``."""

    what: str
    pid: int
    at: float
    number: int
    order_id: str
    item: int
    epoch: int
    attempt: int


def notes(folder: Path) -> list[Note]:
    """What the workers of all processes have noted, in the order in which it happened."""
    log = folder / "work.log"
    return [_note(line) for line in log.read_text().splitlines()] if log.exists() else []


def _note(line: str) -> Note:
    what, pid, at, number, order_id, item, epoch, attempt = line.split()
    return Note(what, int(pid), float(at), int(number), order_id, int(item), int(epoch), int(attempt))


def numbers(folder: Path, what: str) -> list[int]:
    """The numbers of the orders that were begun (``start``) or ended (``end``)."""
    return [note.number for note in notes(folder) if note.what == what]


def started(folder: Path, count: int, timeout: float = 20.0) -> Note:
    """The start number ``count`` (from 1), once it is there."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        starts = [note for note in notes(folder) if note.what == "start"]
        if len(starts) >= count:
            return starts[count - 1]
        time.sleep(0.005)
    raise AssertionError(f"waited {timeout:g} s in vain for start {count}: {notes(folder)[-4:]}")


def until_ended(folder: Path, wanted: Collection[int]) -> None:
    """Wait until all these orders have ended, as long as they become more."""
    left = set(wanted)
    while left:
        before = len(left)

        def fewer(before: int = before) -> bool:
            left.difference_update(numbers(folder, "end"))
            return len(left) < before

        until(
            fewer, PATIENCE, pause=0.2, what=lambda: f"the end of {len(left)} orders, {min(left)} the first"
        )
