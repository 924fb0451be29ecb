"""Settlements: what is owed is written until it succeeds, whoever writes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from framework.errors import ClaimLost, Unavailable
from framework.queue.settlements import RETRY_FIRST, RETRY_LAST, Settlements
from framework.storage import Storage
from framework.storage.operations import Acknowledge, Claim, Deliver, Delivery, Put, Release
from framework.transactions.session import Session
from tests.conftest import Recorder

pytestmark = pytest.mark.anyio


@pytest.fixture
def settlements(session: Session) -> Settlements:
    return Settlements(session)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that are asked for; each is over at once."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            asked.append(seconds)
        await sleep(0)

    monkeypatch.setattr("framework.queue.settlements.asyncio.sleep", noted)
    return asked


async def delivered(storage: Storage, fifo: str) -> Claim:
    await storage.write([Put(fifo, "1", 1.0)])
    [delivery] = await storage.write([Deliver(fifo, 1.0)])
    assert isinstance(delivery, Delivery)
    return delivery.claim


async def test_what_is_handed_in_is_written_when_the_loop_turns(
    settlements: Settlements, recorder: Recorder, storage: Storage
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    settlements.hand_in(owed)
    assert recorder.units == []
    await settlements.settle()
    assert recorder.units == [(owed,)]
    state = await storage.fifo_state("q")
    assert state is not None
    assert state.length == 0


async def test_what_was_taken_is_not_written(
    settlements: Settlements, recorder: Recorder, storage: Storage
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    settlements.hand_in(owed)
    assert settlements.take("q") is owed
    assert settlements.take("q") is None
    await settlements.settle()
    assert recorder.units == []


async def test_each_fifo_owes_its_own(settlements: Settlements, recorder: Recorder, storage: Storage) -> None:
    first, second = [Acknowledge(await delivered(storage, name)) for name in ("a", "b")]
    settlements.hand_in(first)
    settlements.hand_in(second)
    assert settlements.take("b") is second
    await settlements.settle()
    assert recorder.units == [(first,)]


async def test_a_second_settlement_of_a_fifo_does_not_replace_the_first(
    settlements: Settlements, recorder: Recorder, storage: Storage
) -> None:
    claim = await delivered(storage, "q")
    first, second = Release(claim), Acknowledge(claim, settled=True)
    settlements.hand_in(first)
    settlements.hand_in(second)
    await settlements.settle()
    assert recorder.units == [(first,), (second,)]


async def test_what_fails_is_tried_again_after_waits_that_double_up_to_the_last(
    settlements: Settlements,
    recorder: Recorder,
    storage: Storage,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    recorder.failures = [Unavailable("the disk is full") for _ in range(8)]
    with caplog.at_level(logging.WARNING, "framework.fifo"):
        settlements.hand_in(owed)
        await settlements.settle()
    assert waits == [RETRY_FIRST * factor for factor in (1, 2, 4, 8, 16, 32)] + [RETRY_LAST] * 2
    assert recorder.units == [(owed,)] * 9
    first, later = caplog.messages
    assert first.endswith(
        "the disk is full; it is tried again, every 5 s at the longest, until it is written or the server stops"
    )
    assert later.endswith("still cannot be written after 8 tries: the disk is full")
    assert {record.__dict__["action"] for record in caplog.records} == {"settle_retry"}
    assert {record.__dict__["fifo"] for record in caplog.records} == {"q"}
    assert "the disk is full" in caplog.text
    assert f"FIFO q: the end of item {owed.claim.item_id} " in caplog.text


async def test_what_fails_for_long_is_told_ever_less_often_and_then_how_it_ended(
    settlements: Settlements,
    recorder: Recorder,
    storage: Storage,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    recorder.failures = [Unavailable("the disk is full") for _ in range(70)]
    with caplog.at_level(logging.INFO, "framework.fifo"):
        settlements.hand_in(owed)
        await settlements.settle()
    assert len(waits) == 70
    told = [record.__dict__["action"] for record in caplog.records]
    assert told == ["settle_retry"] * 5 + ["settle_done"]  # at the tries 1, 8, 16, 32 and 64
    assert caplog.messages[-1].endswith("is written now, after 70 failed tries")


async def test_what_is_given_up_at_a_stop_is_told(
    settlements: Settlements, recorder: Recorder, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    recorder.failures = [Unavailable("the disk is full") for _ in range(1000)]
    settlements.hand_in(owed)
    async with asyncio.timeout(10):
        while not caplog.records:
            await asyncio.sleep(0.01)
        await settlements.abandon()
    assert [record.__dict__["action"] for record in caplog.records] == ["settle_retry", "settle_given_up"]
    assert caplog.messages[-1].endswith("and the server stops: the next start offers it again")


async def test_a_lost_claim_is_logged_and_not_tried_again(
    settlements: Settlements,
    recorder: Recorder,
    storage: Storage,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    owed = Acknowledge(await delivered(storage, "q"))
    recorder.failures = [ClaimLost("somebody else has it")]
    settlements.hand_in(owed)
    await settlements.settle()
    assert recorder.units == [(owed,)]
    assert waits == []
    [record] = caplog.records
    assert (record.__dict__["action"], record.__dict__["fifo"]) == ("claim_lost", "q")
    assert record.getMessage() == "somebody else has it"


class Stuck:
    """A storage whose writes never end: a stopped process holds the writer's turn."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    async def write(self, operations: Sequence[Any], **options: Any) -> list[Any]:
        self.entered.set()
        await asyncio.Event().wait()
        raise AssertionError("never")


async def test_what_cannot_be_written_is_given_up_and_leaves_no_task() -> None:
    session, stuck = Session(), Stuck()
    session.bind(stuck)
    settlements = Settlements(session)
    before = asyncio.all_tasks()
    settlements.hand_in(Acknowledge(Claim("q", 1, 1)))
    settlements.hand_in(Acknowledge(Claim("r", 1, 1)))
    await asyncio.wait_for(stuck.entered.wait(), 5)
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert {"settle q", "settle r"} <= names
    await settlements.abandon()
    assert {task.get_name() for task in asyncio.all_tasks() - before}.isdisjoint({"settle q", "settle r"})
    session.stop()
