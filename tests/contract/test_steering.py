"""The operator's verbs reach exactly what they name: up to an item, a whole FIFO, or every delivery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from framework.errors import NotEmpty
from framework.storage import Storage
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Deliver,
    Delivery,
    Drain,
    Drop,
    Failure,
    Forget,
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

from .processes import Child

pytestmark = pytest.mark.anyio

Another = Callable[[], Awaitable[Storage]]
FAILED = Failure("no", None, 1.0)


async def one(storage: Storage, operation: Any) -> Any:
    [answer] = await storage.write([operation])
    return answer


async def put(storage: Storage, *payloads: str, fifo: str = "q") -> list[int]:
    return [int(number) for number in await storage.write([Put(fifo, text, 1.0) for text in payloads])]


async def take(storage: Storage, fifo: str = "q") -> Delivery:
    answer = await one(storage, Deliver(fifo, 10.0))
    assert isinstance(answer, Delivery), answer
    return answer


async def left(storage: Storage, fifo: str = "q") -> list[str]:
    return [item.payload for item in await storage.peek(fifo, 100)]


async def letters(storage: Storage, fifo: str = "q") -> list[tuple[int, str]]:
    return [(letter.id, letter.payload) for letter in await storage.dead_letters(fifo, 100)]


async def kill(storage: Storage, *payloads: str) -> list[int]:
    """Dead letters of these payloads; their numbers."""
    await put(storage, *payloads)
    for _ in payloads:
        await one(storage, Bury((await take(storage)).claim, FAILED))
    return [number for number, _ in await letters(storage)]


# ---- up to an item, and in portions -----------------------------------------------------------


async def test_purging_spares_what_came_later(storage: Storage) -> None:
    _, second, *_ = await put(storage, '"a"', '"b"', '"c"', '"d"')
    assert await one(storage, Purge("q", upto=second)) == 2
    assert await left(storage) == ['"c"', '"d"']
    assert await one(storage, Purge("q", limit=1)) == 1
    assert await left(storage) == ['"d"']


async def test_redriving_spares_what_died_later(storage: Storage) -> None:
    _, second, third, _ = await kill(storage, '"a"', '"b"', '"c"', '"d"')
    ids = await one(storage, Redrive("q", upto=second))
    assert [item.id for item in await storage.peek("q", 9)] == ids
    assert await left(storage) == ['"a"', '"b"']
    assert len(await one(storage, Redrive("q", limit=1))) == 1
    assert await left(storage) == ['"a"', '"b"', '"c"']
    assert third not in dict(await letters(storage))


async def test_purging_dead_letters_spares_what_died_later(storage: Storage) -> None:
    _, second, *_ = await kill(storage, '"a"', '"b"', '"c"', '"d"')
    assert await one(storage, PurgeDead("q", upto=second)) == 2
    assert await one(storage, PurgeDead("q", limit=1)) == 1
    assert [payload for _, payload in await letters(storage)] == ['"d"']


async def test_purging_dead_letters_by_age_asks_both_clocks(storage: Storage) -> None:
    await kill(storage, '"a"')
    assert await one(storage, PurgeDead("q", before=10.0, lived_before=-1e9)) == 0
    assert await one(storage, PurgeDead("q", before=0.5, lived_before=1e12)) == 0
    assert await one(storage, PurgeDead("q", before=10.0, lived_before=1e12)) == 1


# ---- back-offs --------------------------------------------------------------------------------


async def test_retrying_says_whether_there_was_anything_to_end(storage: Storage) -> None:
    await put(storage, '"a"', '"b"')
    assert await one(storage, RetryNow("q")) is False
    await one(storage, Release((await take(storage)).claim, FAILED, 60.0))
    assert await one(storage, RetryNow("q")) is True
    await one(storage, Release((await take(storage)).claim, FAILED, 1e-9))
    assert await one(storage, RetryNow("q")) is False, "the back-off was over by itself"
    await one(storage, Release((await take(storage)).claim, FAILED, hold=True))
    assert await one(storage, RetryNow("q")) is True
    assert (await take(storage)).payload == '"a"'


# ---- what a dead process had in work ----------------------------------------------------------


@pytest.mark.parametrize("verb", ["skip", "drop"])
async def test_the_item_of_a_dead_process_leaves_work_with_the_verb(
    storage: Storage, url: str, verb: str
) -> None:
    await put(storage, '"x"', '"y"', '"z"', fifo="other")  # numbers of items and processes differ
    first, _ = await put(storage, '"a"', '"b"')
    child = await Child.start('await db.write([Deliver("q", 10.0)])\nsay("taken")\nawait hear()', url)
    assert await child.line() == "taken"
    await child.kill()
    await one(storage, Skip("q", 2.0) if verb == "skip" else Drop("q", first))
    state = await storage.fifo_state("q")
    assert state is not None
    assert state.in_work is None
    assert await left(storage) == ['"b"']
    assert (await take(storage)).crashes == 0


# ---- draining ---------------------------------------------------------------------------------


async def test_a_drain_ends_deliveries_of_all_who_are_there_and_of_nobody_who_comes(
    storage: Storage, another: Another
) -> None:
    beside = await another()
    await put(storage, '"a"', '"b"')
    await put(storage, '"c"', fifo="r")
    assert await storage.drained_at() is None
    assert await one(storage, Drain(True, 5.0)) is False
    assert await storage.drained_at() == 5.0
    for reader in (storage, beside):
        for fifo in ("q", "r"):
            assert await one(reader, Deliver(fifo, 10.0)) == Undelivered("paused")
    assert await one(storage, Drain(True, 6.0)) is True, "there was one in force"
    assert await storage.drained_at() == 6.0
    after = await another()
    await one(after, Acknowledge((await take(after)).claim))
    assert await one(storage, Deliver("q", 10.0)) == Undelivered("paused")
    assert await one(storage, Drain(False, 7.0)) is True
    assert await one(storage, Drain(False, 8.0)) is False
    assert await storage.drained_at() is None
    assert (await take(storage)).payload == '"b"'
    assert (await take(beside, "r")).payload == '"c"'


# ---- forgetting -------------------------------------------------------------------------------


async def test_a_fifo_that_holds_something_is_not_forgotten(storage: Storage) -> None:
    await kill(storage, '"a"')
    await put(storage, '"b"', '"c"')
    with pytest.raises(NotEmpty, match=r"'q' holds 2 item\(s\) and 1 dead letter\(s\)"):
        await one(storage, Forget("q", 10))
    await one(storage, Purge("q"))
    with pytest.raises(NotEmpty, match=r"holds 1 dead letter\(s\)"):
        await one(storage, Forget("q", 10))
    await one(storage, PurgeDead("q"))
    await put(storage, '"b"')
    with pytest.raises(NotEmpty, match=r"holds 1 item\(s\);"):
        await one(storage, Forget("q", 10))


async def test_a_forgotten_fifo_leaves_nothing_but_its_epoch(storage: Storage) -> None:
    """A claim of before must never be taken for one of the new FIFO of that name."""
    assert await one(storage, Forget("q", 10)) is True, "there was none"
    await storage.write([Put("q", '"a"', 1.0), RecordPolicy("q", "{}")])
    claim = (await take(storage)).claim
    await storage.write([Acknowledge(claim), Pause("q", True)])
    await put(storage, '"other"', fifo="other")
    assert await one(storage, Forget("q", 10)) is True
    assert await storage.fifo_state("q") is None
    assert await left(storage, "other") == ['"other"']
    await put(storage, '"new"')
    assert (await take(storage)).claim.epoch > claim.epoch
    state = await storage.fifo_state("q")
    assert state is not None
    assert (state.paused, state.policy) == (False, None)


async def test_a_fifo_of_many_keys_is_forgotten_in_portions(storage: Storage) -> None:
    for number in range(3):
        await one(storage, Put("q", '"a"', 1.0, key=str(number), key_window=60.0))
    await one(storage, Purge("q"))
    assert await one(storage, Forget("q", 2)) is False
    assert await storage.fifo_state("q") is not None
    assert await one(storage, Forget("q", 2)) is True
    assert await storage.fifo_state("q") is None
    new, again = [await one(storage, Put("q", '"a"', 1.0, key="0", key_window=60.0)) for _ in range(2)]
    assert new == again, "its keys begin anew"
    assert await left(storage) == ['"a"']
