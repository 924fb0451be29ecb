"""The listeners of the processes that share a SQLite file: a socket for each, and a bell in shared memory.

A listener's socket lies in the folder of the locks. The bell is a file there that every process maps. A listener that
comes or goes writes a new random value into it. So a sender notices changes without a system call, and misses none,
because the socket exists before the bell rings.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from framework.errors import Unavailable
from framework.process import files
from framework.storage.broadcast import Heard
from framework.storage.sockets import SocketFolder

PREFIX = "listen-"
LENGTH = 4  # bytes before each frame that give its length

_BELL = "listeners"
_BELL_SIZE = 8
_QUEUED = 16  # frames that wait for the reader; after that the sockets fill, and then the senders' buffers


class Bell:
    """It changes when a listener comes or goes. It is shared memory, which SQLite's own log needs on this file as
    well."""

    def __init__(self, folder: SocketFolder) -> None:
        folder.make()
        number = files.open_beside(folder.path / _BELL, folder.access)
        try:
            os.ftruncate(number, _BELL_SIZE)
            self._memory = mmap.mmap(number, _BELL_SIZE)
        finally:
            os.close(number)

    def value(self) -> bytes:
        """The value. It differs from the previous one if listeners have come or gone."""
        return self._memory[:_BELL_SIZE]

    def ring(self) -> None:
        self._memory[:_BELL_SIZE] = os.urandom(_BELL_SIZE)

    def close(self) -> None:
        self._memory.close()


@asynccontextmanager
async def listen(folder: SocketFolder) -> AsyncIterator[AsyncIterator[Heard]]:
    """See ``Broadcast.listen``."""
    name = f"{PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    heard: asyncio.Queue[Heard] = asyncio.Queue(_QUEUED)
    senders: set[asyncio.Task[None]] = set()
    try:
        bell = Bell(folder)
        listener = folder.listen(name)
        folder.remove_dead(PREFIX, socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"cannot listen in {folder.path}: {error.strerror or error}") from error
    accepting = asyncio.create_task(_accept(listener, heard, senders), name="broadcast listener")
    try:
        bell.ring()
        yield _Each(heard)
    finally:
        folder.remove(name)
        bell.ring()
        bell.close()
        tasks = [accepting, *senders]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()


async def _accept(
    listener: socket.socket, heard: asyncio.Queue[Heard], senders: set[asyncio.Task[None]]
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            sender, _ = await loop.sock_accept(listener)
        except OSError:  # no more files can be opened, say
            await asyncio.sleep(0.1)
            continue
        task = asyncio.create_task(_receive(sender, heard), name="broadcast sender")
        senders.add(task)
        task.add_done_callback(senders.discard)


async def _receive(sender: socket.socket, heard: asyncio.Queue[Heard]) -> None:
    """The frames of one sender, until it ends or sends an invalid one."""
    reader, writer = await asyncio.open_unix_connection(sock=sender)
    try:
        with suppress(asyncio.IncompleteReadError, OSError, ValueError, TypeError):
            while True:
                length = int.from_bytes(await reader.readexactly(LENGTH), "big")
                who, missed, messages = json.loads(await reader.readexactly(length))
                await heard.put(Heard(who, missed, messages))
    finally:
        writer.close()


class _Each:
    """The received frames, one after the other. A cancelled wait loses nothing."""

    def __init__(self, heard: asyncio.Queue[Heard]) -> None:
        self._heard = heard

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Heard:
        return await self._heard.get()


def frame(sender: str, missed: int, messages: list[Any]) -> bytes:
    """A frame as ``listen`` reads it."""
    content = json.dumps([sender, missed, messages]).encode()
    return len(content).to_bytes(LENGTH, "big") + content
