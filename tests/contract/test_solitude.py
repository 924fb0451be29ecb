"""How long a suspect of a crash waits for its process, and keeps it for itself."""

from __future__ import annotations

from typing import Any

import pytest

from framework.storage import Storage
from framework.storage.decisions import steps
from framework.storage.decisions.steps import Asked
from framework.storage.decisions.suspects import Suspects
from framework.storage.gathering import drive
from framework.storage.operations import Acknowledge
from tests.contract.processes import Child
from tests.contract.test_suspects import TAKE, crashes, die, filled, reason, taken

__all__ = ["filled"]  # a fixture of that module


@pytest.mark.anyio
async def test_a_suspect_waits_for_the_process_to_be_free_and_keeps_it_only_for_a_while(
    filled: Storage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = await taken(filled, "c")
    await die(url, "a", "b")
    assert await reason(filled, "a") == "suspect"
    assert await reason(filled, "c") == "busy"
    # One whose time is over is delivered beside others: nobody waits for ever, whatever is in work.
    monkeypatch.setattr("framework.storage.decisions.suspects.SOLITUDE", 0.0)
    assert (await taken(filled, "b")).payload == '"b1"'
    await filled.write([Acknowledge(long.claim)])
    assert await reason(filled, "c") == "kept"  # for the other one, which has just asked
    monkeypatch.setattr("framework.storage.decisions.suspects._ASKS", 0.0)
    assert (await taken(filled, "c")).payload == '"c2"'


@pytest.mark.anyio
async def test_a_suspect_that_shares_a_second_crash_is_alone_for_longer(filled: Storage, url: str) -> None:
    await die(url, "a", "b")
    short = (
        "    import framework.storage.decisions.suspects as suspects\n    suspects.SOLITUDE = 0.0\n" + TAKE
    )
    child = await Child.start(short, url, "a", "b", "c")
    assert [await child.line() for _ in "abc"] == ['"a1"', '"b1"', '"c1"']
    await child.kill()
    first = await taken(filled, "a")
    assert (first.crashes, first.suspicion) == (0, 2)
    assert [(await crashes(filled, name))[0][3] for name in "bc"] == [2, 1]


# ---- how long, by a clock in hand ------------------------------------------------------------


class Clock:
    """The machine's steady clock, set by the test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("framework.storage.decisions.suspects.time", clock)
    return clock


class Process:
    """What the process 1 has in work, and what it puts off."""

    def __init__(self) -> None:
        self._in_work: dict[str, tuple[int, int]] = {}
        self.suspects = Suspects()

    def begin(self, fifo: str, item_id: int, owner: int = 1) -> None:
        self._in_work[fifo] = (owner, item_id)

    def end(self, fifo: str) -> None:
        del self._in_work[fifo]

    def gets(self, fifo: str, item_id: int, suspicion: int = 0) -> bool:
        return not drive(self.suspects.put_off(1, fifo, item_id, suspicion), self._answer)

    def _answer(self, asked: Asked) -> Any:
        step, parameters = asked
        if step is steps.BUSY:
            found = any(owner == parameters[0] for owner, _ in self._in_work.values())
        else:
            assert step is steps.IN_WORK
            fifo, *which = parameters
            found = self._in_work.get(fifo) == tuple(which)
        return (1,) if found else None


@pytest.fixture
def process() -> Process:
    return Process()


SOLITUDES = [(1, 10.0), (2, 20.0), (3, 40.0), (31, 10.0 * 2**30), (32, 10.0 * 2**30), (10**6, 10.0 * 2**30)]


@pytest.mark.parametrize(("suspicion", "solitude"), SOLITUDES)
def test_a_solitude_doubles_with_each_shared_crash(
    process: Process, clock: Clock, suspicion: int, solitude: float
) -> None:
    assert not process.suspects.any
    process.begin("other", 5, owner=2)  # of another process: it does not count
    assert process.gets("a", 1, suspicion)
    process.begin("a", 1)
    clock.now = 999.5 + solitude
    assert not process.gets("b", 2)
    clock.now = 1000.0 + solitude
    assert process.gets("b", 2)
    assert process.gets("c", 3), "a solitude that is over stays over"


@pytest.mark.parametrize(("suspicion", "solitude"), SOLITUDES)
def test_a_suspect_waits_as_long_for_its_process_to_be_free(
    process: Process, clock: Clock, suspicion: int, solitude: float
) -> None:
    process.begin("long", 5)
    assert not process.gets("a", 1, suspicion)
    clock.now = 999.5 + solitude
    assert not process.gets("a", 1, suspicion)
    clock.now = 1000.0 + solitude
    assert process.gets("a", 1, suspicion)
    assert process.gets("b", 2), "one that is delivered beside others keeps nobody waiting"


def test_each_suspect_of_a_fifo_waits_by_itself(process: Process, clock: Clock) -> None:
    process.begin("long", 5)
    assert not process.gets("a", 1, 1)
    clock.now += 10.0
    assert not process.gets("a", 2, 1), "the first was dropped, and the time of the second begins"
    clock.now += 10.0
    assert process.gets("a", 2, 1)


def test_nobody_waits_for_a_suspect_that_is_not_asked_for_any_more(process: Process, clock: Clock) -> None:
    process.begin("long", 5)
    assert not process.gets("a", 1, 1)
    clock.now += 0.75
    assert not process.gets("b", 2)
    assert not process.gets("a", 1, 1)
    clock.now += 0.75
    assert not process.gets("b", 2), "it was asked for again"
    clock.now += 0.25
    assert process.gets("b", 2)


def test_nobody_waits_for_a_suspect_that_is_gone(process: Process, clock: Clock) -> None:
    process.begin("long", 5)
    assert not process.gets("a", 1, 1)
    assert not process.gets("b", 2)
    assert process.gets("a", 3), "an innocent item is the head now"
    assert process.gets("b", 2)
    assert not process.suspects.any


def test_a_suspect_does_not_break_the_solitude_of_another(process: Process, clock: Clock) -> None:
    assert process.gets("a", 1, 2)
    process.begin("a", 1)
    assert not process.gets("b", 2, 1)
    clock.now += 15.0
    assert not process.gets("b", 2, 1), "its own time is over, the other one's is not"
    process.end("a")
    assert process.gets("b", 2, 1)
    process.begin("b", 2)
    assert not process.gets("c", 3)
    process.end("b")
    assert process.gets("c", 3)
    assert process.gets("a", 4)
    assert process.gets("b", 5)
    assert not process.suspects.any, "all of them are over"
