"""A FIFO that has nothing never holds up another: what a worker knows of those it reads by turns."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from framework.errors import Retry
from framework.queue.fifo import Fifos
from framework.transactions.context import entered
from framework.transactions.looks import Look, Looks
from framework.transactions.run import Run

pytestmark = pytest.mark.anyio

AT_ONCE, NEVER = 0.0, math.inf


def begin(looks: Looks, fifo: str) -> Look:
    look = looks.begin(fifo)
    assert look is not None
    return look


async def test_the_others_are_those_looked_into_since_the_last_look(looks: Looks) -> None:
    assert begin(looks, "a").others == ()
    assert begin(looks, "b").others == ("a",)
    assert begin(looks, "c").others == ("a", "b")
    assert begin(looks, "a").others == ("b", "c")
    assert begin(looks, "a").others == (), "it reads this one alone now"
    assert begin(looks, "b").others == ("a", "c")


async def test_tasks_of_one_worker_look_by_themselves_and_share_what_they_know(looks: Looks) -> None:
    begin(looks, "a").nothing(None)

    async def other() -> tuple[str, ...]:
        begin(looks, "b").nothing(None)
        return begin(looks, "c").others

    assert await asyncio.create_task(other()) == ("b",)
    assert begin(looks, "c").others == ("a",)
    assert looks.pause(["a", "b"], 5.0) == 5.0


async def test_without_a_task_there_is_no_look(looks: Looks) -> None:
    found: asyncio.Future[Look | None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: found.set_result(looks.begin("a")))
    assert await found is None


async def test_another_fifo_is_worth_a_look_until_it_is_known_to_have_nothing(looks: Looks) -> None:
    a, b = begin(looks, "a"), begin(looks, "b")
    assert a.nothing(None) == NEVER, "there is no other one"
    assert b.nothing(None) == NEVER
    a.found()
    assert b.nothing(None) == AT_ONCE, "where one item was there may be another one"
    assert begin(looks, "c").nothing(None) == AT_ONCE
    unknown = Look({}, "a", ("never looked into", "nor this one"))
    assert unknown.nothing(None) == AT_ONCE


async def test_a_look_comes_to_its_end_at_the_end_of_anothers_back_off(looks: Looks) -> None:
    begin(looks, "a").nothing(7.0)
    begin(looks, "b").nothing(5.0)
    assert begin(looks, "c").nothing(None) == 5.0


async def test_who_is_told_of_a_change_looks_again_into_the_others(looks: Looks) -> None:
    a, b = begin(looks, "a"), begin(looks, "b")
    a.nothing(None)
    assert b.nothing(None) == NEVER
    b.rung()
    assert b.nothing(None) == AT_ONCE
    begin(looks, "b").rung()  # it reads no other one now


async def test_a_worker_pauses_while_nothing_can_be_in_its_fifos(looks: Looks) -> None:
    loop = asyncio.get_running_loop()
    assert looks.pause([], 5.0) == 5.0
    assert looks.pause(["unknown"], 5.0) <= 0
    a, b = begin(looks, "a"), begin(looks, "b")
    a.nothing(None)
    b.nothing(loop.time() + 60)
    assert looks.pause(["a"], 5.0) == 5.0
    assert looks.pause(["a", "b"], 5.0) == 5.0
    assert 50 < looks.pause(["a", "b"], 100.0) <= 60
    b.found()
    assert looks.pause(["a", "b"], 5.0) <= 0


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
def looks() -> Looks:
    return Looks()
