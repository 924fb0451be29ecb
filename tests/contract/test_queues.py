"""FIFOs as the storage keeps them: strictly in order, one item in work, ids that are never used again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import Table

from framework.errors import ClaimLost, Duplicate
from framework.storage import Storage, open_storage
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Failure,
    Insert,
    Operation,
    Put,
    Release,
    Undelivered,
)

pytestmark = pytest.mark.anyio

Another = Callable[[], Awaitable[Storage]]

FAILED = Failure("KeyError: 'x'", "Traceback ...", 7.0)


async def put(storage: Storage, payload: str = "1", fifo: str = "q") -> int:
    [item_id] = await storage.write([Put(fifo, payload, 5.0)])
    return int(item_id)


async def deliver(storage: Storage, fifo: str = "q", now: float = 10.0) -> Delivery:
    [answer] = await storage.write([Deliver(fifo, now, "worker")])
    assert isinstance(answer, Delivery), answer
    return answer


async def undelivered(storage: Storage, fifo: str = "q", now: float = 10.0) -> Undelivered:
    [answer] = await storage.write([Deliver(fifo, now, "worker")])
    assert isinstance(answer, Undelivered), answer
    return answer


async def length(storage: Storage, fifo: str = "q") -> int:
    state = await storage.fifo_state(fifo)
    return state.length if state else 0


async def drain(storage: Storage, fifo: str = "q") -> list[Delivery]:
    drained: list[Delivery] = []
    while True:
        [answer] = await storage.write([Deliver(fifo, 10.0)])
        if isinstance(answer, Undelivered):
            return drained
        await storage.write([Acknowledge(answer.claim)])
        drained.append(answer)


async def test_a_delivery_brings_what_was_put(storage: Storage) -> None:
    item_id = await put(storage, '{"x":"ü"}')
    delivery = await deliver(storage)
    assert (delivery.claim.fifo, delivery.claim.item_id) == ("q", item_id)
    assert (delivery.payload, delivery.put_at) == ('{"x":"ü"}', 5.0)
    assert (delivery.attempt, delivery.crashes) == (1, 0)


async def test_an_unknown_and_an_emptied_fifo_are_empty(storage: Storage) -> None:
    assert await undelivered(storage) == Undelivered("empty")
    await put(storage)
    await drain(storage)
    assert await undelivered(storage) == Undelivered("empty")
    assert await length(storage) == 0
    assert await storage.fifo_state("unknown") is None
    assert await storage.fifo_names() == ["q"]


async def test_the_state_counts_the_item_in_work_and_names_its_owner(storage: Storage) -> None:
    first = await put(storage)
    await put(storage)
    state = await storage.fifo_state("q")
    assert state is not None
    assert (state.length, state.in_work) == (2, None)
    await deliver(storage)
    state = await storage.fifo_state("q")
    assert state is not None
    assert state.in_work is not None
    assert (state.name, state.length, state.dead, state.paused) == ("q", 2, 0, False)
    assert (state.in_work.item_id, state.in_work.pid) == (first, os.getpid())
    assert (state.in_work.worker, state.in_work.since) == ("worker", 10.0)
    assert state.head is not None
    assert (state.head.id, state.head.attempts) == (first, 1)


async def test_ids_rise_and_are_never_used_again(url: str) -> None:
    seen: list[int] = []
    for _ in range(3):
        async with open_storage(url) as storage:
            seen += [await put(storage) for _ in range(3)]
            await drain(storage)
            seen.append(await put(storage))
            await drain(storage)
    assert seen == sorted(set(seen))


async def test_a_put_that_was_undone_leaves_no_item(storage: Storage, things: Table) -> None:
    with pytest.raises(Duplicate):
        await storage.write([Put("q", "1", 1.0), *[Insert(things, {"key": "a"})] * 2])
    assert await undelivered(storage) == Undelivered("empty")


async def test_1000_puts_of_many_tasks_come_out_in_the_order_of_their_ids(storage: Storage) -> None:
    stored: list[tuple[int, str]] = []

    async def fill(task: int) -> None:
        for n in range(20):
            payload = f'"{task}-{n}"'
            stored.append((await put(storage, payload), payload))

    await asyncio.gather(*map(fill, range(50)))
    delivered = [(delivery.claim.item_id, delivery.payload) for delivery in await drain(storage)]
    assert delivered == sorted(stored)
    assert len(delivered) == 1000
    for task in range(50):  # one who waits for each put is served in the order of the puts
        own = [payload for _, payload in delivered if payload.startswith(f'"{task}-')]
        assert own == [f'"{task}-{n}"' for n in range(20)]


async def test_fifos_do_not_hold_each_other_up(storage: Storage) -> None:
    await put(storage, "1", "a")
    await put(storage, "2", "b")
    assert (await deliver(storage, "a")).payload == "1"
    assert (await deliver(storage, "b")).payload == "2"


async def test_at_most_one_item_is_in_work_whoever_asks(storage: Storage, another: Another) -> None:
    other = await another()
    for n in range(4):
        await put(storage, str(n))
    askers = [storage, other] * 20
    for n in range(4):
        answers = await asyncio.gather(*(asker.write([Deliver("q", 10.0)]) for asker in askers))
        delivered = [answer for [answer] in answers if isinstance(answer, Delivery)]
        assert [delivery.payload for delivery in delivered] == [str(n)]
        assert all(answer == Undelivered("busy") for [answer] in answers if answer is not delivered[0])
        owner = next(asker for asker, [answer] in zip(askers, answers, strict=True) if answer is delivered[0])
        await owner.write([Acknowledge(delivered[0].claim)])


async def test_two_deliveries_in_one_unit_are_one(storage: Storage) -> None:
    await put(storage)
    await put(storage)
    first, second = await storage.write([Deliver("q", 10.0), Deliver("q", 10.0)])
    assert isinstance(first, Delivery)
    assert second == Undelivered("busy")


async def test_acknowledge_and_deliver_next_in_one_unit(storage: Storage) -> None:
    for n in range(3):
        await put(storage, str(n))
    delivery = await deliver(storage)
    for n in (1, 2):
        _, following = await storage.write([Acknowledge(delivery.claim), Deliver("q", 10.0)])
        assert isinstance(following, Delivery)
        assert following.payload == str(n)
        delivery = following
    _, last = await storage.write([Acknowledge(delivery.claim), Deliver("q", 10.0)])
    assert last == Undelivered("empty")


async def test_a_failed_release_counts_and_one_that_did_not_fail_does_not(storage: Storage) -> None:
    await put(storage, "1")
    await put(storage, "2")
    for failed, attempt in ((True, 1), (True, 2), (False, 3), (False, 3), (True, 3), (True, 4)):
        delivery = await deliver(storage)
        assert (delivery.payload, delivery.attempt, delivery.crashes) == ("1", attempt, 0)
        await storage.write([Release(delivery.claim, FAILED if failed else None)])


async def test_a_released_item_is_the_head_again(storage: Storage) -> None:
    for n in range(3):
        await put(storage, str(n))
    await storage.write([Release((await deliver(storage)).claim, FAILED)])
    assert [delivery.payload for delivery in await drain(storage)] == ["0", "1", "2"]


async def test_a_delay_holds_the_head_back_and_with_it_the_fifo(storage: Storage) -> None:
    await put(storage, "1")
    await put(storage, "2")
    await storage.write([Release((await deliver(storage)).claim, FAILED, delay=0.2)])
    released = time.monotonic()
    for now in (0.0, 10.0, 1e12):  # whatever the wall clock says
        answer = await undelivered(storage, now=now)
        assert answer.reason == "waiting"
        assert answer.retry_in is not None
        assert 0 < answer.retry_in <= 0.2
    await asyncio.sleep(released + 0.21 - time.monotonic())
    assert (await deliver(storage)).payload == "1"


async def test_a_delay_holds_in_every_process_and_over_a_restart(
    storage: Storage, another: Another, url: str
) -> None:
    await put(storage)
    await storage.write([Release((await deliver(storage)).claim, FAILED, delay=30)])
    assert (await undelivered(await another())).reason == "waiting"
    await storage.close()
    async with open_storage(url) as reopened:
        assert (await undelivered(reopened)).reason == "waiting"


async def test_a_stop_does_not_lengthen_a_delay(storage: Storage) -> None:
    await put(storage)
    await storage.write([Release((await deliver(storage)).claim, FAILED, delay=0.01)])
    await asyncio.sleep(0.02)
    await storage.write([Release((await deliver(storage)).claim)])
    assert (await deliver(storage)).attempt == 2


@pytest.mark.parametrize(
    "end", [Acknowledge, lambda claim: Release(claim, FAILED), lambda claim: Bury(claim, FAILED)]
)
async def test_a_claim_ends_with_its_acknowledgement_or_release(
    storage: Storage, end: Callable[[Claim], Operation]
) -> None:
    await put(storage, "1")
    await put(storage, "2")
    claim = (await deliver(storage)).claim
    await storage.write([end(claim)])
    before = await storage.fifo_state("q")
    for late in (Acknowledge(claim), Release(claim, FAILED), Release(claim), Bury(claim, FAILED)):
        with pytest.raises(ClaimLost):
            await storage.write([late])
        await storage.write([replace(late, settled=True)])  # who may have ended it before is let pass
    assert await storage.fifo_state("q") == before


async def test_a_late_acknowledgement_does_not_touch_the_next_delivery(storage: Storage) -> None:
    """The same item again, to the same process: only the epoch tells the two deliveries apart."""
    await put(storage)
    old = (await deliver(storage)).claim
    await storage.write([Release(old, FAILED)])
    new = (await deliver(storage)).claim
    assert (new.item_id, new.epoch > old.epoch) == (old.item_id, True)
    with pytest.raises(ClaimLost):
        await storage.write([Acknowledge(old)])
    with pytest.raises(ClaimLost):
        await storage.write([Release(old, FAILED)])
    await storage.write([Acknowledge(new)])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda claim: Claim(claim.fifo, claim.item_id, claim.epoch + 1),
        lambda claim: Claim(claim.fifo, claim.item_id, claim.epoch - 1),
        lambda claim: Claim(claim.fifo, claim.item_id + 1, claim.epoch),
        lambda claim: Claim("other", claim.item_id, claim.epoch),
        lambda claim: Claim("unknown", claim.item_id, claim.epoch),
    ],
)
async def test_a_fence_that_does_not_hold_stops_the_unit(
    storage: Storage, things: Table, wrong: Callable[[Claim], Claim]
) -> None:
    await put(storage, "1", "other")
    await put(storage)
    await put(storage)
    claim = (await deliver(storage)).claim
    with pytest.raises(ClaimLost):
        await storage.write([Insert(things, {"key": "a"})], fences=[claim, wrong(claim)])
    assert await storage.load(things, "key", "a") is None
    await storage.write([Insert(things, {"key": "a"})], fences=[claim])
    assert await storage.load(things, "key", "a") is not None


async def test_a_fence_holds_no_longer_than_its_claim(storage: Storage, things: Table) -> None:
    await put(storage)
    claim = (await deliver(storage)).claim
    await storage.write([Acknowledge(claim)], fences=[claim])
    with pytest.raises(ClaimLost):
        await storage.write([Insert(things, {"key": "a"})], fences=[claim])
    assert await storage.load(things, "key", "a") is None


async def test_what_a_closed_process_had_in_work_is_taken_over(storage: Storage, another: Another) -> None:
    other = await another()
    await put(storage, "1")
    old = (await deliver(other)).claim
    assert await undelivered(storage) == Undelivered("busy")
    await other.close()
    delivery = await deliver(storage)
    assert (delivery.payload, delivery.claim.epoch > old.epoch) == ("1", True)
    assert (delivery.attempt, delivery.crashes) == (1, 1)
    with pytest.raises(ClaimLost):
        await storage.write([Acknowledge(old)])
    await storage.write([Acknowledge(delivery.claim)])


async def test_epochs_rise_from_owner_to_owner(storage: Storage, another: Another) -> None:
    other = await another()
    epochs: list[int] = []
    for owner in (storage, other, storage, other):
        await put(storage)
        claim = (await deliver(owner)).claim
        await owner.write([Acknowledge(claim)])
        epochs.append(claim.epoch)
    assert epochs == sorted(set(epochs))


async def test_a_delivery_that_was_undone_leaves_no_trace(storage: Storage, things: Table) -> None:
    await put(storage)
    with pytest.raises(Duplicate):
        await storage.write([Deliver("q", 10.0), *[Insert(things, {"key": "a"})] * 2])
    state = await storage.fifo_state("q")
    assert state is not None
    assert state.in_work is None
    assert (await deliver(storage)).attempt == 1


async def test_a_first_delivery_that_was_undone_does_not_confuse_two_processes(
    storage: Storage, things: Table, another: Another
) -> None:
    """What a process is known by is settled at its first delivery; that one may be rolled back."""
    other = await another()
    await put(storage)
    with pytest.raises(Duplicate):
        await storage.write([Deliver("q", 10.0), *[Insert(things, {"key": "a"})] * 2])
    claim = (await deliver(other)).claim
    assert await undelivered(storage) == Undelivered("busy")
    await other.write([Acknowledge(claim)])
    await put(storage)
    claim = (await deliver(storage)).claim
    assert await undelivered(other) == Undelivered("busy")
    await storage.close()
    assert (await deliver(other)).claim.epoch > claim.epoch
