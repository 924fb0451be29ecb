"""An item is charged with a crash only if it was alone: several in work are suspects, and are tried one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from framework.storage import Storage
from framework.storage.operations import (
    Acknowledge,
    BeginStop,
    Deliver,
    Delivery,
    Drop,
    Failure,
    Pause,
    Put,
    Release,
    Skip,
    Undelivered,
)

from .processes import Child

pytestmark = pytest.mark.anyio

# Takes the head of each FIFO that it is told of, and says what it got; "stop" begins a stop.
TAKE = """
    for name in sys.argv[2:]:
        if name == "stop":
            await db.write([BeginStop()])
            say("stop")
            continue
        [answer] = await db.write([Deliver(name, 10.0, "w", 2)])
        say(answer.payload if isinstance(answer, Delivery) else answer.reason)
    await hear()
"""

FAILURE = Failure("no", None, 1.0)


async def die(url: str, *fifos: str) -> list[str]:
    """A process takes the heads of these FIFOs and is killed; what it got of each."""
    child = await Child.start(TAKE, url, *fifos)
    got = [await child.line() for _ in fifos]
    await child.kill()
    return got


async def deliver(storage: Storage, fifo: str, most: int = 2) -> Delivery | Undelivered:
    [answer] = await storage.write([Deliver(fifo, 10.0, None, most)])
    assert isinstance(answer, Delivery | Undelivered)
    return answer


async def taken(storage: Storage, fifo: str) -> Delivery:
    answer = await deliver(storage, fifo)
    assert isinstance(answer, Delivery), answer
    return answer


async def reason(storage: Storage, fifo: str) -> str:
    answer = await deliver(storage, fifo)
    assert isinstance(answer, Undelivered), answer
    return answer.reason


async def crashes(storage: Storage, fifo: str) -> list[tuple[str, int, int, int]]:
    return [
        (item.payload, item.attempts, item.crashes, item.suspicion) for item in await storage.peek(fifo, 9)
    ]


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    for name in ("a", "b", "c"):
        await storage.write([Put(name, f'"{name}{number}"', 1.0) for number in (1, 2)])
    return storage


async def test_of_several_in_work_none_is_charged_and_each_is_worked_on_alone(
    filled: Storage, url: str
) -> None:
    assert await die(url, "a", "b") == ['"a1"', '"b1"']
    first = await taken(filled, "a")
    assert (first.payload, first.attempt, first.crashes, first.suspicion) == ('"a1"', 1, 0, 1)
    assert await crashes(filled, "b") == [('"b1"', 0, 0, 1), ('"b2"', 0, 0, 0)]
    # While the one is in work the process takes neither the other suspect nor anything else.
    assert await reason(filled, "b") == "suspect"
    assert await reason(filled, "c") == "kept"
    # What follows the first in its own FIFO comes after the other suspect.
    _, answer = await filled.write([Acknowledge(first.claim), Deliver("a", 10.0)])
    assert answer.reason == "kept"
    second = await taken(filled, "b")
    assert (second.payload, second.attempt, second.crashes) == ('"b1"', 1, 0)
    await filled.write([Acknowledge(second.claim)])
    # Both were innocent: everything goes on as usual.
    assert [(await taken(filled, name)).payload for name in "abc"] == ['"a2"', '"b2"', '"c1"']


async def test_the_one_that_crashes_alone_is_charged_and_buried_and_the_innocent_is_not(
    filled: Storage, url: str
) -> None:
    assert await die(url, "a", "b") == ['"a1"', '"b1"']
    for charged in range(2):
        assert await die(url, "a", "b", "c") == ['"a1"', "suspect", "kept"]
        assert await crashes(filled, "b") == [('"b1"', 0, 0, 1), ('"b2"', 0, 0, 0)], charged
    following = await taken(filled, "a")
    assert following.payload == '"a2"'
    [letter] = await filled.dead_letters(None, 9)
    assert (letter.payload, letter.crashes) == ('"a1"', 2)
    await filled.write([Acknowledge(following.claim)])
    innocent = await taken(filled, "b")
    assert (innocent.payload, innocent.attempt, innocent.crashes) == ('"b1"', 1, 0)


async def test_a_single_item_in_work_is_charged_at_once(filled: Storage, url: str) -> None:
    assert await die(url, "a") == ['"a1"']
    first = await taken(filled, "a")
    assert (first.crashes, first.suspicion) == (1, 0)
    assert (await taken(filled, "b")).payload == '"b1"'  # nobody waits for it


async def test_a_suspect_that_fails_or_finishes_is_none_any_more(filled: Storage, url: str) -> None:
    await die(url, "a", "b")
    first = await taken(filled, "a")
    await filled.write([Release(first.claim, FAILURE)])
    assert await crashes(filled, "a") == [('"a1"', 1, 0, 0), ('"a2"', 0, 0, 0)]
    second = await taken(filled, "b")
    await filled.write([Release(second.claim)])  # of a stop: nothing is known of it
    assert (await crashes(filled, "b"))[0] == ('"b1"', 0, 0, 1)


async def test_a_suspect_that_nobody_asks_for_or_that_is_paused_holds_up_nobody(
    filled: Storage, url: str
) -> None:
    await die(url, "a", "b")
    await filled.write([Pause("b", True)])
    first = await taken(filled, "a")
    assert await reason(filled, "b") == "paused"
    await filled.write([Acknowledge(first.claim)])
    assert (await taken(filled, "c")).payload == '"c1"'
    assert (await taken(filled, "a")).payload == '"a2"'


async def test_another_process_is_not_held_up_by_the_suspect_of_this_one(
    filled: Storage, url: str, another: Callable[[], Awaitable[Storage]]
) -> None:
    await die(url, "a", "b")
    await taken(filled, "a")
    other = await another()
    assert (await taken(other, "b")).payload == '"b1"'  # alone there
    assert await reason(other, "c") == "kept"


async def test_who_skips_or_drops_the_item_of_a_dead_process_leaves_no_charge_behind(
    filled: Storage, url: str
) -> None:
    await die(url, "a", "b")
    assert await filled.write([Skip("a", 1.0)]) == [1]
    innocent = await taken(filled, "b")
    assert (innocent.crashes, innocent.attempt, innocent.suspicion) == (0, 1, 1)
    await filled.write([Acknowledge(innocent.claim)])
    await die(url, "a", "b")
    [item, _] = await filled.peek("c", 2)
    assert await filled.write([Drop("a", (await filled.peek("a", 1))[0].id)]) == [True]
    assert (await taken(filled, "b")).crashes == 0
    assert item.payload == '"c1"'


async def test_a_process_that_was_stopping_has_been_ended_by_somebody(filled: Storage, url: str) -> None:
    assert await die(url, "a", "stop") == ['"a1"', "stop"]
    alone = await taken(filled, "a")
    assert (alone.attempt, alone.crashes, alone.suspicion) == (1, 0, 0)
    await filled.write([Acknowledge(alone.claim)])
    await die(url, "a", "b", "stop")
    assert (await taken(filled, "b")).suspicion == 0
    assert (await taken(filled, "a")).suspicion == 0


async def test_a_stop_with_nothing_in_work_is_not_recorded(filled: Storage, url: str) -> None:
    await filled.write([BeginStop()])  # no process yet
    child = await Child.start(TAKE, url, "stop", "a")
    assert [await child.line() for _ in range(2)] == ["stop", '"a1"']
    await child.kill()
    assert (await taken(filled, "a")).crashes == 1


async def test_many_who_ask_at_once_get_one_suspect(filled: Storage, url: str) -> None:
    await die(url, "a", "b", "c")
    answers = await asyncio.gather(*(deliver(filled, name) for name in "abcabcabc"))
    assert len([answer for answer in answers if isinstance(answer, Delivery)]) == 1
