"""Broadcasts between the processes that share a SQLite file: a stream from each sender to each listener."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from framework.errors import CannotOpen
from framework.observing.outbox import Outbox, Reader
from framework.storage.broadcast import Heard
from framework.storage.sockets import SocketFolder
from framework.storage.sqlite import listeners as sqlite_listeners
from framework.storage.sqlite.listeners import PREFIX, Bell

logger = logging.getLogger("framework.storage")

_LAST_WORD = 1.0  # seconds for the last messages to arrive when the storage is closed
_AGAIN = 0.2  # seconds until a failed connection is tried again


class SqliteBroadcast:
    """``framework.storage.broadcast.Broadcast`` for one process on a SQLite file."""

    def __init__(self, folder: SocketFolder) -> None:
        self._folder = folder
        self._senders: list[SqliteSender] = []

    def sender(self, outbox: Outbox[Any]) -> SqliteSender:
        """See the contract."""
        sender = SqliteSender(self._folder, outbox)
        self._senders.append(sender)
        return sender

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """See the contract."""
        return sqlite_listeners.listen(self._folder)

    def renew(self) -> None:
        """Find listeners in a new folder, because the previous one is gone."""
        for sender in self._senders:
            sender.forget_bell()

    async def close(self) -> None:
        """Allow the last messages a second to arrive, then end. May be called again."""
        links = [link for sender in self._senders for link in sender.end()]
        self._senders.clear()
        if links:
            await asyncio.to_thread(_flush, links, time.monotonic() + _LAST_WORD)
        for link in links:
            link.close()


class SqliteSender:
    """``framework.storage.broadcast.Sender``: a link to each listener."""

    def __init__(self, folder: SocketFolder, outbox: Outbox[Any]) -> None:
        self._folder = folder
        self.outbox = outbox
        self._bell: Bell | None = None
        self._ended = False
        self._warned = False
        self._renew()
        _open.add(self)

    def _renew(self) -> None:
        self._seen = b""
        self._links: dict[str, _Link] = {}
        self._lock = threading.RLock()

    def find_listeners(self) -> None:
        """See the contract. The bell is read first: who rings it while we look is looked for again."""
        bell = self._bell
        if bell is None or bell.value() != self._seen:
            self._find_listeners()

    def end(self) -> list[_Link]:
        """Find no more listeners. Return the existing links for the caller to close."""
        with self._lock:
            self._ended = True
            links, self._links = list(self._links.values()), {}
            return links

    def _find_listeners(self) -> None:
        """Connect to new listeners, and drop those that are gone."""
        with self._lock:
            if self._ended:
                return
            try:
                self._bell = self._bell or Bell(self._folder)
                value = self._bell.value()
                names = set(self._folder.names(PREFIX))
                self._links = {name: link for name, link in self._links.items() if not link.over}
                for name in names - self._links.keys():
                    self._links[name] = _Link(self._folder, name, self)
            except (
                OSError,
                RuntimeError,
                CannotOpen,
            ) as error:  # no more files or threads, or a folder that is not ours
                if not self._warned:
                    self._warned = True
                    logger.warning("listeners may miss what scripts print here: %s", error)
                return
            for name in self._links.keys() - names:
                self._links.pop(name).close()
            self._seen = value  # last, because another thread that prints now must find them all

    def forget_bell(self) -> None:
        """The bell was replaced: nothing rings the old one."""
        with self._lock:
            self._bell, self._seen = None, b""

    def find_again(self) -> None:
        """Check again at the next message, because a listener has died or has ended a stream."""
        self._seen = b""

    def _forked(self) -> None:
        """In a forked child: the streams and the threads belong to the parent."""
        for link in self._links.values():
            link.leave()
        self._renew()


class _Link:
    """The stream to one listener. Its own thread connects and fills it."""

    def __init__(self, folder: SocketFolder, name: str, sender: SqliteSender) -> None:
        self._node = f"{socket.gethostname()}:{os.getpid()}"
        self._folder = folder
        self._name = name
        self._sender = sender
        self._address = folder.address(name)
        self._socket: socket.socket | None = None
        self._reader: Reader[Any] | None = None  # its thread may run before we have it
        self._reader = sender.outbox.reader(self._write, name="framework-broadcast", failed=self._gone)

    @property
    def over(self) -> bool:
        """Has the listener gone?"""
        return self._reader is not None and self._reader.over

    def flush(self, timeout: float) -> None:
        """Wait until everything is sent, at most so many seconds."""
        if self._reader is not None:
            self._reader.flush(timeout)

    def close(self) -> None:
        """End the stream, even while the thread waits for the listener."""
        if self._reader is not None:
            self._reader.close()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def leave(self) -> None:
        """Drop a stream that belongs to another process."""
        if self._socket is not None:
            self._socket.close()

    def _write(self, messages: list[Any], missed: int) -> None:
        if self._socket is None:
            self._socket = self._connected()
            if self.over:
                self.close()
        self._socket.sendall(sqlite_listeners.frame(self._node, missed, messages))

    def _connected(self) -> socket.socket:
        """Waits while the connection queue of a stopped listener is full."""
        while True:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                made.connect(self._address)
            except OSError as error:
                made.close()
                if self.over or isinstance(error, ConnectionRefusedError | FileNotFoundError):
                    raise
                time.sleep(_AGAIN)
            else:
                return made

    def _gone(self, error: Exception) -> None:
        self.close()
        if isinstance(error, ConnectionRefusedError):  # its process is dead
            self._folder.remove(self._name)
        else:
            self._sender.find_again()


def _flush(links: list[_Link], deadline: float) -> None:
    for link in links:
        link.flush(max(0.0, deadline - time.monotonic()))


_open: weakref.WeakSet[SqliteSender] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for sender in list(_open):
        sender._forked()


os.register_at_fork(after_in_child=_leave_to_parent)
