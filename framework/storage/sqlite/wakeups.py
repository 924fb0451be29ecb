"""Wake-ups across the processes that share a SQLite file: a datagram after the commit.

Each waiting process has a socket in the folder of the locks, and each commit notifies all others. A lost datagram
costs a second, because a waiting process checks by itself then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from framework.errors import CannotOpen
from framework.storage.sockets import SocketFolder

logger = logging.getLogger("framework.storage")

_PREFIX = "wake-"
_EVERYTHING = b"*"
_LARGEST = 4096

# The list of sockets is read again when the folder has changed, but the time stamp may be as coarse as this.
_COARSE = 0.1
_LONGEST_KEPT = 1.0


class Wakeups:
    """The socket of one process, and the notification of all others. Used on the event loop's thread."""

    def __init__(self, folder: SocketFolder, ring: Callable[[Iterable[str] | None], None]) -> None:
        self._folder = folder
        self._ring = ring
        self._name = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        self._receiver: socket.socket | None = None
        self._sender: socket.socket | None = None
        self._tried = False
        self._peers: list[str] = []
        self._read_at = 0.0
        self._changed_at = -1

    def listen(self) -> None:
        """Begin to receive, unless already begun. If that fails, waiting takes up to a second longer."""
        if self._tried:
            return
        self._tried = True
        receiver = None
        try:
            receiver = _datagram()
            self._folder.bind(receiver, self._name)
            self._folder.remove_dead(_PREFIX, socket.SOCK_DGRAM)
        except (OSError, CannotOpen) as error:
            if receiver is not None:
                receiver.close()
            logger.warning("no wake-ups from other processes: %s", error)
            return
        self._receiver = receiver
        asyncio.get_running_loop().add_reader(receiver.fileno(), self._receive)

    def renew(self) -> None:
        """Begin to receive in a new folder: the one until now is gone."""
        if self._receiver is not None:
            self.close()
            self._tried = False
            self.listen()
        self._changed_at = -1

    def send(self, fifos: Iterable[str]) -> None:
        """Notify all other processes. It never waits and never fails."""
        with suppress(OSError):  # no more open files, for example: the others check by themselves
            self._send(fifos)

    def _send(self, fifos: Iterable[str]) -> None:
        peers = self._others()
        if not peers:
            return
        message = json.dumps(sorted(fifos)).encode()
        if len(message) > _LARGEST:
            message = _EVERYTHING
        self._sender = self._sender or _datagram()
        for peer in peers:
            try:
                self._sender.sendto(message, self._folder.address(peer))
            except (ConnectionRefusedError, FileNotFoundError):
                self._folder.remove(peer)  # its process is dead
                self._changed_at = -1
            except OSError:
                pass  # its buffer is full, so it wakes up anyway

    def close(self) -> None:
        """Stop receiving and remove the socket."""
        if self._receiver is not None:
            asyncio.get_running_loop().remove_reader(self._receiver.fileno())
            self._receiver.close()
            self._receiver = None
            self._folder.remove(self._name)
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _receive(self) -> None:
        assert self._receiver is not None
        while True:
            try:
                message = self._receiver.recv(_LARGEST + 1)
            except OSError:
                return
            self._ring(None if message == _EVERYTHING else json.loads(message))

    def _others(self) -> list[str]:
        """The sockets of the other processes; the folder is read only when it may have changed."""
        try:
            changed_at = os.stat(self._folder.path).st_mtime_ns
        except FileNotFoundError:
            return []
        now = time.monotonic()
        fresh = time.time() - changed_at / 1e9 < _COARSE
        if changed_at != self._changed_at or fresh or now - self._read_at > _LONGEST_KEPT:
            self._peers = [name for name in self._folder.names(_PREFIX) if name != self._name]
            self._changed_at, self._read_at = changed_at, now
        return self._peers


def _datagram() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
