"""Power cuts: whatever was acknowledged before one is there after it, at every moment of a real run.

The files are put together from the system calls of a real process (see ``disk``), and opened as the
server opens them.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from framework.storage import open_storage
from framework.storage.operations import Deliver, Delivery

from .disk import Disk, events, tracing
from .program import Program

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

# Puts and blocks at once, so that items are waiting, in work and done at every moment. A line is said
# after each put, before an acknowledgement is asked for, and after it was given.
WORK = """
async def fill(task):
    for n in range(int(sys.argv[2])):
        item = await FIFO("q").put([task, n])
        say("put", item, task, n)

async def drain():
    for n in range(int(sys.argv[2])):
        fifo = FIFO("q")
        async with fifo:
            number = fifo.id
            say("ending", number)
        await FIFO.settlements.settle()
        say("ended", number)

await asyncio.gather(fill(0), fill(1), drain())
"""

# How the test changes the writing connection of its program; the product itself offers no such choice.
PRAGMAS = """
import framework.storage.sqlite.engine as engine
connect = engine.connect_writer
def connect_and_set(*given):
    connection = connect(*given)
    for pragma in {pragmas!r}:
        connection.execute("PRAGMA " + pragma).fetchall()
    return connection
engine.connect_writer = connect_and_set
"""


@dataclass
class Said:
    """What a client knows at some moment."""

    put: dict[int, list[int]] = field(default_factory=dict)
    ending: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)

    def hear(self, line: str) -> None:
        what, number, *rest = line.split()
        if what == "put":
            self.put[int(number)] = [int(word) for word in rest]
        else:
            getattr(self, what).add(int(number))


class Lost(AssertionError):
    """Something that had been acknowledged is not as it was."""


async def look(folder: Path, said: Said) -> None:
    """Open what a power cut left, and compare it with what was acknowledged before."""
    path = folder / "q.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        items = {item.id: json.loads(item.payload) for item in await storage.peek("q", 100_000)}
        missing = said.put.keys() - items.keys() - said.ending
        if missing:
            raise Lost(f"items that were acknowledged are gone: {sorted(missing)}")
        if said.ended & items.keys():
            raise Lost(f"items that were done are there again: {sorted(said.ended & items.keys())}")
        for number, payload in said.put.items():
            assert items.get(number, payload) == payload
        assert list(items) == sorted(items)
        for task in (0, 1):  # none in between is missing, and none has overtaken another
            numbers = [n for its_task, n in items.values() if its_task == task]
            assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        assert not await storage.dead_letters("q", 1)
        [answer] = await storage.write([Deliver("q", 10.0)])
        if items:
            assert isinstance(answer, Delivery)
            assert answer.claim.item_id == min(items)
            assert answer.attempt == 1
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def traced(folder: Path, count: int, *pragmas: str) -> Path:
    """The trace of a run of the program."""
    trace, url = folder / "trace.txt", f"sqlite:///{folder}/q.db"
    program = Program(WORK, url, count, before=tracing(trace), setup=PRAGMAS.format(pragmas=pragmas))
    try:
        program.end(120)
    finally:
        program.close()
    return trace


async def cut(folder: Path, trace: Path, source: random.Random, *, share: float) -> tuple[int, int]:
    """Cut the power before each sync and after each line, or before a random share of them.

    How many moments there were, and at how many of them the power was cut.
    """
    disk, said = Disk(), Said()
    moments = cuts = 0
    for event in events(trace, f"{folder}/q.db"):
        if event.kind in ("sync", "unlink", "say"):
            moments += 1
            if source.random() < share:
                for some in (None, source, source):
                    cuts += 1
                    place = folder / f"cut{cuts}"
                    place.mkdir()
                    disk.image(place, some)
                    await look(place, said)
                    shutil.rmtree(place)
                    if cuts % 1000 == 0:
                        print(f"{cuts} cuts at {moments} moments", flush=True)
        disk.apply(event)
        if event.kind == "say":
            for line in event.data.decode().splitlines():
                said.hear(line)
    assert len(said.ended) > 10
    assert disk.content(f"{folder}/q.db") == (folder / "q.db").read_bytes()  # no call was missed
    return moments, cuts


@pytest.mark.parametrize(
    ("count", "share"),
    [(40, 0.3), pytest.param(400, 0.5, marks=[pytest.mark.long, pytest.mark.timeout(1800)], id="long")],
)
async def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(
    tmp_path: Path, source: random.Random, count: int, share: float
) -> None:
    # A small log makes the run go through checkpoints as well; the durability is the product's own.
    trace = traced(tmp_path, count, "wal_autocheckpoint = 60")
    moments, cuts = await cut(tmp_path, trace, source, share=share)
    print(f"{cuts} power cuts at {moments} moments of {3 * count} units of work: nothing lost")
    assert cuts > 50


async def test_the_power_cut_finds_what_a_weaker_durability_loses(
    tmp_path: Path, source: random.Random
) -> None:
    """A check of the check: with ``synchronous = NORMAL`` the log is not synced at a commit."""
    trace = traced(tmp_path, 40, "synchronous = NORMAL")
    with pytest.raises(Lost, match="are gone"):
        await cut(tmp_path, trace, source, share=1)
