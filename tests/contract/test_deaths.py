"""What a real ``kill -9`` leaves: every acknowledged item, and an item in work that others take over."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from framework.errors import ClaimLost
from framework.storage import Storage, open_storage
from framework.storage.operations import Acknowledge, Claim, Deliver, Delivery, Put, Undelivered

from .processes import Child

pytestmark = pytest.mark.anyio

FILL = """
    async def fill(task):
        for n in range(1_000_000):
            payload = f'"{sys.argv[2]}-{task}-{n}"'
            [item_id] = await db.write([Put("q", payload, 1.0)])
            say(item_id, payload)
    await asyncio.gather(*map(fill, range(8)))
"""

TAKE = """
    [delivery] = await db.write([Deliver("q", 10.0, "w")])
    say(delivery.claim.item_id, delivery.claim.epoch, delivery.attempt, delivery.crashes)
    await hear()
"""


async def test_every_acknowledged_put_is_there_after_kills(url: str) -> None:
    acknowledged: dict[int, str] = {}
    for kill in range(5):
        child = await Child.start(FILL, url, str(kill))
        printed = [await child.line()]
        await asyncio.sleep(0.03 + 0.04 * kill)
        printed += (await child.kill()).split("\n")[:-1]  # the last line may be half a line
        for line in printed:
            item_id, payload = line.split(" ", 1)
            assert int(item_id) not in acknowledged
            acknowledged[int(item_id)] = payload
    assert len(acknowledged) > 100
    async with open_storage(url) as storage:
        delivered: dict[int, str] = {}
        [answer] = await storage.write([Deliver("q", 10.0)])
        while isinstance(answer, Delivery):
            delivered[answer.claim.item_id] = answer.payload
            _, answer = await storage.write([Acknowledge(answer.claim), Deliver("q", 10.0)])
    assert list(delivered) == sorted(delivered)
    assert acknowledged.items() <= delivered.items()
    for kill in range(5):  # nothing in between is missing either
        for task in range(8):
            numbers = [
                int(p.strip('"').split("-")[2])
                for p in delivered.values()
                if p.startswith(f'"{kill}-{task}-')
            ]
            assert numbers == list(range(len(numbers)))


async def test_an_item_whose_owner_is_killed_is_taken_over_at_once(storage: Storage, url: str) -> None:
    await storage.write([Put("q", "1", 1.0), Put("q", "2", 1.0)])
    epochs = [0]
    for crashes in range(3):
        child = await Child.start(TAKE, url)
        item_id, epoch, attempt, counted = map(int, (await child.line()).split())
        assert (attempt, counted) == (1, crashes)
        assert epoch > epochs[-1]
        epochs.append(epoch)
        [answer] = await storage.write([Deliver("q", 10.0)])
        assert answer == Undelivered("busy")
        await child.kill()
    killed = time.monotonic()
    [answer] = await storage.write([Deliver("q", 10.0)])
    assert time.monotonic() - killed < 1
    assert isinstance(answer, Delivery)
    assert (answer.payload, answer.attempt, answer.crashes) == ("1", 1, 3)
    assert answer.claim.epoch > epochs[-1]
    for epoch in epochs[1:]:
        with pytest.raises(ClaimLost):
            await storage.write([Acknowledge(Claim("q", item_id, epoch))])
    await storage.write([Acknowledge(answer.claim)])
    [following] = await storage.write([Deliver("q", 10.0)])
    assert (following.payload, following.crashes) == ("2", 0)


@pytest.mark.parametrize("hold", [False, True])
async def test_an_item_that_kills_its_process_again_and_again_is_given_up(
    storage: Storage, url: str, hold: bool
) -> None:
    await storage.write([Put("q", "killer", 1.0), Put("q", "next", 1.0)])
    for _ in range(2):
        child = await Child.start(TAKE, url)
        await child.line()
        await child.kill()
    [answer] = await storage.write([Deliver("q", 10.0, None, 2, hold)])
    state = await storage.fifo_state("q")
    assert state is not None
    if hold:
        assert answer == Undelivered("held")
        assert (state.length, state.dead) == (2, 0)
        assert state.head is not None
        assert (state.head.payload, state.head.held, state.head.crashes) == ("killer", True, 2)
        return
    assert isinstance(answer, Delivery)
    assert answer.payload == "next"
    [dead] = await storage.dead_letters("q", 10)
    assert (dead.payload, dead.crashes, dead.attempts) == ("killer", 2, 0)
    assert "died 2 times" in dead.reason


async def test_a_live_owner_keeps_its_item_however_many_ask(storage: Storage, url: str) -> None:
    await storage.write([Put("q", "1", 1.0)])
    child = await Child.start(
        """
        [delivery] = await db.write([Deliver("q", 10.0, "w")])
        say("taken")
        await hear()
        await db.write([Acknowledge(delivery.claim)])
        say("done")
        """,
        url,
    )
    assert await child.line() == "taken"
    for now in (10.0, 1e6, 1e12):  # nothing is taken from a live owner because time has passed
        [answer] = await storage.write([Deliver("q", now)])
        assert answer == Undelivered("busy")
    await child.tell()
    assert await child.line() == "done"
    await child.end()


async def test_a_forked_child_does_not_keep_a_dead_owner_alive(storage: Storage, url: str) -> None:
    await storage.write([Put("q", "1", 1.0)])
    owner = await Child.start(
        """
        [delivery] = await db.write([Deliver("q", 10.0, "w")])
        alone = db.alone("w")
        await alone.__aenter__()
        child = os.fork()
        if child == 0:
            say(os.getpid())  # itself: it holds nothing from here on
            os.closerange(0, 3)
            time.sleep(30)
            os._exit(0)
        await hear()
        """,
        url,
    )
    forked = int(await owner.line())
    try:
        owner.process.kill()
        await owner.process.wait()
        _alive(forked)
        [answer] = await storage.write([Deliver("q", 10.0)])
        assert isinstance(answer, Delivery)
        assert answer.crashes == 1
        async with asyncio.timeout(1), storage.alone("w"):
            pass
        _alive(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
        await owner.process.communicate()  # its pipes are closed before the loop is


def _alive(pid: int) -> None:
    os.kill(pid, 0)


async def test_what_eight_processes_write_at_once_is_all_there(url: str) -> None:
    """They make the database together as well; nobody is told that it is locked."""
    write = """
        async def write(task):
            for n in range(10):
                await db.write([Put("q", f'"{sys.argv[2]}-{task}-{n}"', 1.0)])
                await db.fifo_state("q")
                [answer] = await db.write([Deliver("q", 10.0)])
                if isinstance(answer, Delivery):
                    say(answer.claim.item_id)
                    await db.write([Acknowledge(answer.claim)])
        await asyncio.gather(*map(write, range(4)))
    """
    children = [await Child.start(write, url, str(n)) for n in range(8)]
    printed = [line for child in children for line in (await child.end()).split()]
    assert len(printed) == len(set(printed)) > 0
    async with open_storage(url) as storage:
        assert len(printed) + len(await storage.peek("q", 1000)) == 8 * 4 * 10
