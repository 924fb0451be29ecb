"""A FIFO that has nothing never holds up another: what a worker knows of those it reads by turns."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from framework.errors import Retry
from framework.queue.fifo import Fifos
from framework.transactions.context import entered
from framework.transactions.polls import Poll, Polls
from framework.transactions.run import Run

pytestmark = pytest.mark.anyio

AT_ONCE, NEVER = 0.0, math.inf


def begin(polls: Polls, fifo: str) -> Poll:
    poll = polls.begin(fifo)
    assert poll is not None
    return poll


async def test_the_others_are_those_polled_since_the_last_poll(polls: Polls) -> None:
    assert begin(polls, "a").others == ()
    assert begin(polls, "b").others == ("a",)
    assert begin(polls, "c").others == ("a", "b")
    assert begin(polls, "a").others == ("b", "c")
    assert begin(polls, "a").others == (), "it reads this one alone now"
    assert begin(polls, "b").others == ("a", "c")


async def test_tasks_of_one_worker_poll_by_themselves_and_share_what_they_know(polls: Polls) -> None:
    begin(polls, "a").empty(None)

    async def other() -> tuple[str, ...]:
        begin(polls, "b").empty(None)
        return begin(polls, "c").others

    assert await asyncio.create_task(other()) == ("b",)
    assert begin(polls, "c").others == ("a",)
    assert polls.pause(["a", "b"], 5.0) == 5.0


async def test_without_a_task_there_is_no_poll(polls: Polls) -> None:
    found: asyncio.Future[Poll | None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: found.set_result(polls.begin("a")))
    assert await found is None


async def test_another_fifo_is_worth_a_poll_until_it_is_known_to_have_nothing(polls: Polls) -> None:
    a, b = begin(polls, "a"), begin(polls, "b")
    assert a.empty(None) == NEVER, "there is no other one"
    assert b.empty(None) == NEVER
    a.found()
    assert b.empty(None) == AT_ONCE, "where one item was there may be another one"
    assert begin(polls, "c").empty(None) == AT_ONCE
    unknown = Poll({}, "a", ("never looked into", "nor this one"))
    assert unknown.empty(None) == AT_ONCE


async def test_a_poll_ends_at_the_end_of_anothers_back_off(polls: Polls) -> None:
    begin(polls, "a").empty(7.0)
    begin(polls, "b").empty(5.0)
    assert begin(polls, "c").empty(None) == 5.0


async def test_a_change_makes_a_poll_of_the_others_worthwhile(polls: Polls) -> None:
    a, b = begin(polls, "a"), begin(polls, "b")
    a.empty(None)
    assert b.empty(None) == NEVER
    b.rung()
    assert b.empty(None) == AT_ONCE
    begin(polls, "b").rung()  # it reads no other one now


async def test_a_worker_pauses_while_nothing_can_be_in_its_fifos(polls: Polls) -> None:
    loop = asyncio.get_running_loop()
    assert polls.pause([], 5.0) == 5.0
    assert polls.pause(["unknown"], 5.0) <= 0
    a, b = begin(polls, "a"), begin(polls, "b")
    a.empty(None)
    b.empty(loop.time() + 60)
    assert polls.pause(["a"], 5.0) == 5.0
    assert polls.pause(["a", "b"], 5.0) == 5.0
    assert 50 < polls.pause(["a", "b"], 100.0) <= 60
    b.found()
    assert polls.pause(["a", "b"], 5.0) <= 0


async def test_an_empty_fifo_does_not_hold_up_the_next_one(
    fifos: Fifos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that reads two by turns waits in neither while the other one may have an item."""

    async def take(name: str) -> Any:
        async with asyncio.timeout(10), fifos(name) as item:
            return item

    putting: list[asyncio.Future[Any]] = []

    async def put() -> None:
        await fifos("a").put(3)

    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 0.01)
    with entered(run=Run("worker")):
        await fifos("b").put_many([1, 2])
        assert await take("a") is None
        monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 60.0)
        assert [await take("b"), await take("a"), await take("b"), await take("a")] == [1, None, 2, None]
        asyncio.get_running_loop().call_later(0.05, lambda: putting.append(asyncio.ensure_future(put())))
        assert await take("b") is None, "it makes room for the other one, which has an item now"
        assert await take("a") == 3


async def test_a_look_into_an_empty_fifo_lasts_until_anothers_back_off_ends(
    fifos: Fifos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither longer nor shorter: the other one's head can be had then."""

    async def take(name: str, wait: float) -> Any:
        monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", wait)
        async with asyncio.timeout(10), fifos(name) as item:
            return item

    with entered(run=Run("worker")):
        await fifos("a").put("item")
        with pytest.raises(Retry):
            async with fifos("a"):
                raise Retry(after=0.5)
        await fifos.settlements.settle()
        assert await take("a", 0.0) is None
        assert await take("b", 60.0) is None
        assert await take("a", 0.0) == "item"


@pytest.fixture
def polls() -> Polls:
    return Polls()
