"""Broadcasts: to every listener of every process, whole and in order; and no sender waits for a listener."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from framework.observing.outbox import Outbox
from framework.storage import Storage
from framework.storage.broadcast import Heard

from .processes import Child

pytestmark = pytest.mark.anyio

# Sends with the storage `db`, as a process does.
SENDER = """
from framework.observing.outbox import Outbox
outbox = Outbox()
sender = db.broadcast.sender(outbox)
def send(message):
    sender.find_listeners()
    outbox.put(message, 10)
"""

TELL = (
    SENDER
    + """
send({message})
"""
)

# Prints what it hears until it has heard "end".
LISTEN = """
async with db.broadcast.listen() as heard:
    say("ready")
    async for one in heard:
        say(one.missed, len(one.messages), one.messages[-1])
        if one.messages[-1] == "end":
            break
"""

# Sends as many numbers as it is told to, each time that it is told.
SEND = (
    SENDER
    + """
number = 0
say("ready")
while (order := await hear()) != "":
    for _ in range(int(order)):
        send(number)
        number += 1
    say("sent")
"""
)


class Speaker:
    """Sends with a storage, as a process does."""

    def __init__(self, storage: Storage) -> None:
        self._outbox: Outbox[Any] = Outbox()
        self._sender = storage.broadcast.sender(self._outbox)

    def __call__(self, *messages: Any, characters: int = 10) -> None:
        for message in messages:
            self._sender.find_listeners()
            self._outbox.put(message, characters)

    @property
    def heard(self) -> bool:
        """Does anybody listen?"""
        self._sender.find_listeners()
        return self._outbox.read


@pytest.fixture
def send(storage: Storage) -> Speaker:
    return Speaker(storage)


async def messages(heard: AsyncIterator[Heard], count: int, timeout: float = 20) -> list[Any]:
    """The next messages, of which none may be missed; no more than those asked for."""
    found: list[Any] = []
    async with asyncio.timeout(timeout):
        while len(found) < count:
            one = await anext(heard)
            assert one.missed == 0
            found += one.messages
    assert len(found) == count
    return found


async def test_without_a_listener_nobody_hears(storage: Storage, send: Speaker) -> None:
    assert not send.heard
    send("into the void")


async def test_a_listener_hears_all_that_is_sent_after_it_has_come(storage: Storage, send: Speaker) -> None:
    send("before")
    async with storage.broadcast.listen() as heard:
        send("a", {"b": [1.5, None]}, "é\x1b\n")
        assert await messages(heard, 3) == ["a", {"b": [1.5, None]}, "é\x1b\n"]
    assert not send.heard


async def test_every_listener_hears_and_who_has_gone_does_not(
    storage: Storage, send: Speaker, another: Callable[[], Awaitable[Storage]]
) -> None:
    other = await another()
    speaker = Speaker(other)
    async with storage.broadcast.listen() as one:
        async with other.broadcast.listen() as two:
            send(1)
            speaker(2)
            assert sorted(await messages(one, 2)) == sorted(await messages(two, 2)) == [1, 2]
        speaker(3)
        assert await messages(one, 1) == [3]


async def test_a_sender_that_comes_after_the_listener_is_heard_from_its_first_word(
    storage: Storage, url: str
) -> None:
    async with storage.broadcast.listen() as heard:
        child = await Child.start(TELL.format(message="os.getpid()"), url)
        assert await messages(heard, 1) == [child.process.pid]
        await child.end()


async def test_each_message_names_its_process(storage: Storage, url: str) -> None:
    async with storage.broadcast.listen() as heard:
        child = await Child.start(TELL.format(message="1"), url)
        async with asyncio.timeout(20):
            one = await anext(heard)
        host, _, pid = one.sender.rpartition(":")
        assert (host, int(pid)) == (os.uname().nodename, child.process.pid)
        await child.end()


async def test_a_process_in_the_midst_of_sending_misses_no_listener(
    storage: Storage, send: Speaker, url: str
) -> None:
    """Whenever it comes: from the next number on, all arrive."""
    child = await Child.start(
        SENDER
        + """
say("ready")
number = 0
while True:
    send(number)
    number += 1
    time.sleep(0.0002)
""",
        url,
    )
    await child.line()
    for _ in range(20):
        async with storage.broadcast.listen() as heard:
            found = (await first(heard, 50))[:50]
            assert found == list(range(found[0], found[0] + 50))
    await child.kill()


async def first(heard: AsyncIterator[Heard], count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            one = await anext(heard)
            assert one.missed == 0
            found += one.messages
    return found


async def test_a_process_that_was_stopped_while_the_listener_came_is_heard(
    storage: Storage, url: str
) -> None:
    child = await Child.start(SEND, url)
    await child.line()
    child.process.send_signal(signal.SIGSTOP)
    async with storage.broadcast.listen() as heard:
        await child.tell("3")
        child.process.send_signal(signal.SIGCONT)
        assert await messages(heard, 3) == [0, 1, 2]
    await child.tell()
    await child.end()


async def test_a_listener_that_is_stopped_keeps_nobody_waiting_and_is_told_what_it_missed(
    storage: Storage, send: Speaker, url: str
) -> None:
    stopped = await Child.start(LISTEN, url)
    assert await stopped.line() == "ready"
    stopped.process.send_signal(signal.SIGSTOP)
    async with storage.broadcast.listen() as heard:
        ours = asyncio.create_task(first(heard, 50_001))
        for number in range(50_000):
            send(number)
            if number % 5_000 == 0:
                await asyncio.sleep(0.2)  # the one that listens gets all of it
        send("end")
        assert await ours == [*range(50_000), "end"]
    stopped.process.send_signal(signal.SIGCONT)
    received = missed = 0
    while True:
        before, count, last = (await stopped.line()).split()
        received, missed = received + int(count), missed + int(before)
        if last == "end":
            break
    assert missed > 0
    assert received + missed == 50_001
    await stopped.end()


async def test_what_is_sent_last_arrives_after_the_sender_has_closed(
    storage: Storage, another: Callable[[], Awaitable[Storage]]
) -> None:
    other = await another()
    speaker = Speaker(other)
    async with storage.broadcast.listen() as heard:
        speaker(*range(5000))
        closing = asyncio.create_task(other.close())
        assert await first(heard, 5000) == list(range(5000))
        await closing
    assert not speaker.heard


async def test_a_sender_closes_also_when_its_listener_does_not_read(
    storage: Storage, send: Speaker, url: str
) -> None:
    stopped = await Child.start(LISTEN, url)
    await stopped.line()
    stopped.process.send_signal(signal.SIGSTOP)
    for number in range(3):
        send("x" * 1_000_000 + str(number), characters=1_000_000)
    async with asyncio.timeout(10):
        await storage.close()
    await stopped.kill()


async def test_a_message_of_many_megabytes_arrives_whole(storage: Storage, send: Speaker) -> None:
    text = "é\n" * 5_000_000
    async with storage.broadcast.listen() as heard:
        send("a")
        send(text, characters=len(text))
        send("b")
        assert await messages(heard, 3) == ["a", text, "b"]


async def test_threads_print_as_well(storage: Storage, send: Speaker) -> None:
    async with storage.broadcast.listen() as heard:
        threads = [threading.Thread(target=send, args=range(n, n + 100)) for n in (0, 1000)]
        for thread in threads:
            thread.start()
        found = await messages(heard, 200)
        assert [n for n in found if n < 1000] == list(range(100))
        assert [n for n in found if n >= 1000] == list(range(1000, 1100))
        for thread in threads:
            thread.join()


async def test_a_forked_child_is_heard_and_does_not_disturb_its_parent(
    storage: Storage, send: Speaker
) -> None:
    async with storage.broadcast.listen() as heard:
        send("parent")
        assert await messages(heard, 1) == ["parent"]

        def tell() -> None:
            send("child")
            asyncio.run(storage.broadcast.close())  # type: ignore[attr-defined]

        child = multiprocessing.get_context("fork").Process(target=tell)
        child.start()
        try:
            assert await messages(heard, 1) == ["child"]
            await asyncio.to_thread(child.join, 20)
            assert child.exitcode == 0
        finally:
            child.kill()
        send("parent")
        assert await messages(heard, 1) == ["parent"]


async def test_many_listeners_at_once(storage: Storage, send: Speaker) -> None:
    async with AsyncExitStack() as stack:
        all_heard = [await stack.enter_async_context(storage.broadcast.listen()) for _ in range(20)]
        send("a", "b")
        for heard in all_heard:
            assert await messages(heard, 2) == ["a", "b"]


async def test_a_wait_that_was_cancelled_loses_nothing(storage: Storage, send: Speaker) -> None:
    async with storage.broadcast.listen() as heard:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(heard)
        send("a")
        assert await messages(heard, 1) == ["a"]
