"""Dead letters, keys and the operator's verbs, as the storage keeps them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Table

from framework.errors import ClaimLost, Duplicate, FifoFull, InWork
from framework.storage import Storage, age, open_storage
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Drop,
    Failure,
    FifoState,
    Insert,
    Pause,
    Purge,
    PurgeDead,
    Put,
    RecordPolicy,
    Redrive,
    Release,
    RetryNow,
    Skip,
    Undelivered,
)

pytestmark = pytest.mark.anyio

FAILED = Failure("KeyError: 'x'", "Traceback: x.yaml:3", 7.0)


async def put(storage: Storage, *payloads: str, fifo: str = "q") -> list[int]:
    return [
        int(item_id) for item_id in await storage.write([Put(fifo, payload, 5.0) for payload in payloads])
    ]


async def deliver(storage: Storage, now: float = 10.0) -> Delivery:
    [answer] = await storage.write([Deliver("q", now, "worker")])
    assert isinstance(answer, Delivery), answer
    return answer


async def state(storage: Storage) -> FifoState:
    found = await storage.fifo_state("q")
    assert found is not None
    return found


async def payloads(storage: Storage, fifo: str = "q") -> list[str]:
    return [item.payload for item in await storage.peek(fifo, 100)]


async def bury(storage: Storage, at: float = 7.0) -> Claim:
    claim = (await deliver(storage)).claim
    await storage.write([Bury(claim, Failure("KeyError: 'x'", "Traceback: x.yaml:3", at))])
    return claim


# ---- dead letters ---------------------------------------------------------------------------


async def test_a_dead_letter_keeps_everything_and_the_next_is_served(storage: Storage) -> None:
    [first, _] = await put(storage, '"a"', '"b"')
    await storage.write([Release((await deliver(storage, 10.0)).claim, FAILED)])
    claim = (await deliver(storage, 20.0)).claim
    await storage.write([Bury(claim, Failure("ValueError: y", "Traceback: y", 30.0))])
    [dead] = await storage.dead_letters("q", 10)
    assert (dead.fifo, dead.item_id, dead.payload) == ("q", first, '"a"')
    assert (dead.attempts, dead.crashes) == (2, 0)
    assert (dead.reason, dead.traceback) == ("ValueError: y", "Traceback: y")
    assert (dead.put_at, dead.first_at, dead.last_at, dead.died_at) == (5.0, 10.0, 20.0, 30.0)
    assert ((await state(storage)).length, (await state(storage)).dead) == (1, 1)
    assert (await deliver(storage)).payload == '"b"'


async def test_burying_needs_the_claim(storage: Storage) -> None:
    await put(storage, "1")
    claim = await bury(storage)
    with pytest.raises(ClaimLost, match=f"item {claim.item_id} of FIFO 'q'"):
        await storage.write([Bury(claim, FAILED)])
    await storage.write([Bury(claim, FAILED, settled=True)])
    assert len(await storage.dead_letters("q", 10)) == 1


async def test_dead_letters_are_listed_by_fifo_by_number_and_in_order(storage: Storage) -> None:
    await put(storage, "1", "2", "3")
    await put(storage, "9", fifo="p")
    for _ in range(3):
        await bury(storage)
    [answer] = await storage.write([Deliver("p", 10.0)])
    await storage.write([Bury(answer.claim, FAILED)])
    every = await storage.dead_letters(None, 10)
    assert [dead.payload for dead in every] == ["1", "2", "3", "9"]
    assert [dead.payload for dead in await storage.dead_letters("q", 2)] == ["1", "2"]
    assert await storage.dead_letters("q", 10, every[1].id) == [every[1]]
    assert await storage.dead_letters("p", 10, every[1].id) == []
    assert await storage.dead_letters("unknown", 10) == []


async def test_redriving_puts_dead_letters_to_the_tail_as_if_new(storage: Storage) -> None:
    ids = await put(storage, "1", "2", "3")
    await bury(storage)
    await bury(storage)
    first, second = await storage.dead_letters("q", 10)
    [[new]] = await storage.write([Redrive("q", second.id)])
    assert new > ids[-1]
    [[last]] = await storage.write([Redrive("q")])
    assert last > new
    assert await storage.dead_letters("q", 10) == []
    assert await payloads(storage) == ["3", "2", "1"]
    await storage.write([Acknowledge((await deliver(storage)).claim)])
    again = await deliver(storage)
    assert (again.payload, again.attempt, again.crashes, again.put_at) == ("2", 1, 0, 5.0)
    assert await storage.write([Redrive("q"), Redrive("unknown"), Redrive("q", first.id)]) == [[], [], []]


async def test_purging_dead_letters_by_number_by_age_and_all(storage: Storage) -> None:
    await put(storage, *"12345")
    for at in (1.0, 2.0, 3.0, 4.0):
        await bury(storage, at)
    listed = await storage.dead_letters("q", 10)
    assert await storage.write([PurgeDead("q", listed[3].id), PurgeDead("q", before=2.5)]) == [1, 2]
    assert await storage.dead_letters("q", 10) == [listed[2]]
    assert await storage.write([PurgeDead("other"), PurgeDead("q"), PurgeDead("q")]) == [0, 1, 0]
    assert await payloads(storage) == ["5"]


# ---- verbs ----------------------------------------------------------------------------------


async def test_a_paused_fifo_delivers_nothing_new_also_after_a_restart(storage: Storage, url: str) -> None:
    await put(storage, "1", "2")
    claim = (await deliver(storage)).claim
    await storage.write([Pause("q", True)])
    await storage.write([Acknowledge(claim)])  # what is in work ends normally
    assert await storage.write([Deliver("q", 10.0)]) == [Undelivered("paused")]
    await put(storage, "3")
    await storage.close()
    async with open_storage(url) as reopened:
        assert (await state(reopened)).paused
        assert await reopened.write([Deliver("q", 10.0)]) == [Undelivered("paused")]
        await reopened.write([Pause("q", False)])
        assert (await deliver(reopened)).payload == "2"


async def test_a_fifo_can_be_paused_before_its_first_item(storage: Storage) -> None:
    await storage.write([Pause("q", True)])
    await put(storage, "1")
    assert await storage.write([Deliver("q", 10.0)]) == [Undelivered("paused")]


async def test_a_held_head_holds_its_fifo_until_it_is_retried(storage: Storage) -> None:
    await put(storage, "1", "2")
    await storage.write([Release((await deliver(storage)).claim, FAILED, hold=True)])
    assert await storage.write([Deliver("q", 1e12)]) == [Undelivered("held")]
    head = (await state(storage)).head
    assert head is not None
    assert (head.held, head.attempts, head.reason) == (True, 1, "KeyError: 'x'")
    assert head.traceback == "Traceback: x.yaml:3"
    assert await storage.write([RetryNow("q")]) == [True]
    again = await deliver(storage)
    assert (again.payload, again.attempt) == ("1", 2)


async def test_retrying_ends_a_back_off(storage: Storage) -> None:
    await put(storage, "1")
    await storage.write([Release((await deliver(storage)).claim, FAILED, delay=60)])
    head = (await state(storage)).head
    assert head is not None
    assert 50 < head.retry_in <= 60
    assert await storage.write([RetryNow("q")]) == [True]
    assert (await deliver(storage)).attempt == 2


async def test_there_may_be_nothing_to_retry(storage: Storage) -> None:
    assert await storage.write([RetryNow("q")]) == [False]
    await put(storage, "1")
    assert await storage.write([RetryNow("q")]) == [False]


async def test_skipping_sends_the_head_to_the_dead_letters(storage: Storage) -> None:
    [first, _] = await put(storage, "1", "2")
    await storage.write([Release((await deliver(storage)).claim, FAILED, hold=True)])
    assert await storage.write([Skip("q", 8.0)]) == [first]
    [dead] = await storage.dead_letters("q", 10)
    assert (dead.payload, dead.reason, dead.died_at) == ("1", "skipped", 8.0)
    assert (await deliver(storage)).payload == "2"
    assert await storage.write([Skip("unknown", 8.0)]) == [None]


async def test_an_item_in_work_is_neither_skipped_nor_dropped_nor_purged(storage: Storage) -> None:
    first, second, _ = await put(storage, "1", "2", "3")
    claim = (await deliver(storage)).claim
    for verb in (Skip("q", 8.0), Drop("q", first)):
        with pytest.raises(InWork, match=f"item {first} of FIFO 'q'"):
            await storage.write([verb])
    assert await storage.write([Drop("q", second), Purge("q")]) == [True, 1]
    assert await payloads(storage) == ["1"]
    await storage.write([Acknowledge(claim)])
    assert (await state(storage)).length == 0


async def test_dropping_takes_one_waiting_item_of_that_fifo(storage: Storage) -> None:
    ids = await put(storage, "1", "2", "3")
    [other] = await put(storage, "9", fifo="p")
    answers = await storage.write([Drop("q", ids[1]), Drop("q", ids[1]), Drop("q", other), Drop("x", ids[0])])
    assert answers == [True, False, False, False]
    assert await payloads(storage) == ["1", "3"]
    assert await payloads(storage, "p") == ["9"]
    assert (await state(storage)).length == 2


async def test_purging_takes_what_waits_in_that_fifo(storage: Storage) -> None:
    await put(storage, "1", "2", "3")
    await put(storage, "9", fifo="p")
    assert await storage.write([Purge("q"), Purge("q"), Purge("unknown")]) == [3, 0, 0]
    assert await payloads(storage) == []
    assert await payloads(storage, "p") == ["9"]


async def test_peeking_shows_the_first_items_and_moves_nothing(storage: Storage) -> None:
    ids = await put(storage, "1", "2", "3")
    await deliver(storage)
    assert [(item.id, item.payload) for item in await storage.peek("q", 2)] == [(ids[0], "1"), (ids[1], "2")]
    assert await storage.peek("q", 0) == []
    assert await storage.peek("unknown", 5) == []
    assert (await state(storage)).length == 3


async def test_a_policy_is_recorded_and_taken_away(storage: Storage) -> None:
    await storage.write([RecordPolicy("q", '{"a":1}'), RecordPolicy("unknown", None)])
    assert (await state(storage)).policy == '{"a":1}'
    assert await storage.fifo_names() == ["q"]
    await storage.write([RecordPolicy("q", None)])
    assert (await state(storage)).policy is None


# ---- keys and lengths -----------------------------------------------------------------------


async def test_a_key_within_its_window_gives_the_first_items_id(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keyed(at: float, key: str = "k", fifo: str = "q") -> Put:
        monkeypatch.setattr(age, "steady", lambda: at)
        return Put(fifo, str(at), at, key, 300.0)

    [first, again] = await storage.write([keyed(1000.0), keyed(1000.0)])
    assert again == first
    await storage.write([Acknowledge((await deliver(storage)).claim)])
    assert await storage.write([keyed(1299.0)]) == [first], "also after its item is done"
    [other_key, other_fifo] = await storage.write([keyed(1299.0, "x"), keyed(1299.0, "k", "p")])
    assert len({first, other_key, other_fifo}) == 3
    [later] = await storage.write([keyed(1300.0)])
    assert later not in (first, other_key)
    assert await storage.write([keyed(1599.0)]) == [later], "the window is that of the last item queued"
    assert await payloads(storage) == ["1299.0", "1300.0"]


async def test_a_key_of_an_undone_put_is_not_remembered(storage: Storage, things: Table) -> None:
    with pytest.raises(Duplicate):
        await storage.write([Put("q", "1", 1.0, "k", 300.0), *[Insert(things, {"key": "a"})] * 2])
    await storage.write([Put("q", "2", 2.0, "k", 300.0)])
    assert await payloads(storage) == ["2"]


async def test_many_that_put_one_key_at_once_queue_one_item(storage: Storage) -> None:
    answers = await asyncio.gather(*(storage.write([Put("q", str(n), 1.0, "k", 9.0)]) for n in range(50)))
    assert len({item_id for [item_id] in answers}) == 1
    assert len(await payloads(storage)) == 1


async def test_a_full_fifo_refuses_and_takes_again_when_an_item_is_done(storage: Storage) -> None:
    def bounded(n: int) -> Put:
        return Put("q", str(n), 1.0, max_length=2)

    await storage.write([bounded(0), bounded(1)])
    with pytest.raises(FifoFull, match="'q'"):
        await storage.write([bounded(2)])
    claim = (await deliver(storage)).claim
    with pytest.raises(FifoFull):  # the one in work counts
        await storage.write([bounded(2)])
    await storage.write([Acknowledge(claim), bounded(2)])
    await bury(storage)
    await storage.write([bounded(3)])
    assert await payloads(storage) == ["2", "3"]


async def test_the_length_is_right_after_everything(storage: Storage, things: Table) -> None:
    ids = await put(storage, *"123456789")
    await storage.write([Acknowledge((await deliver(storage)).claim)])
    await bury(storage)
    await storage.write([Release((await deliver(storage)).claim, FAILED)])
    await storage.write([Drop("q", ids[5]), Skip("q", 1.0)])
    with pytest.raises(Duplicate):
        await storage.write([Purge("q"), Put("q", "x", 1.0), *[Insert(things, {"key": "a"})] * 2])
    await storage.write([Redrive("q")])
    assert (await state(storage)).length == len(await payloads(storage)) == 7
