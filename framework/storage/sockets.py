"""The sockets of this machine's processes that share a database, in their own folder."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from framework.process import files

_UNFINISHED = 60.0  # seconds: an older socket that refuses connections is not about to be opened


class SocketFolder:
    """A folder for Unix sockets. ``close`` it."""

    def __init__(self, folder: Path, access: files.Access) -> None:
        self.path = folder
        self.access = access
        self._number = -1

    def make(self) -> None:
        """Make the folder for its owner alone if it is missing. Raises ``Refused`` if it belongs to a stranger."""
        files.make_folder(self.path, self.access)

    @property
    def is_lost(self) -> bool:
        """Was the folder removed or replaced since its first use?"""
        if self._number < 0:
            return False
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._number))
        except FileNotFoundError:
            return True

    def bind(self, made: socket.socket, name: str) -> None:
        """Give a socket its name in the folder. Only users of the database may connect to it."""
        self.make()
        made.bind(self.address(name))
        self.access.give_name(self.path / name)

    def remove_dead(self, prefix: str, kind: socket.SocketKind) -> None:
        """Remove the sockets that killed processes have left."""
        with suppress(OSError):
            for name in self.names(prefix):
                if time.time() - os.lstat(self.path / name).st_mtime > _UNFINISHED and self._is_dead(
                    name, kind
                ):
                    self.remove(name)

    def _is_dead(self, name: str, kind: socket.SocketKind) -> bool:
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self.address(name))
            except ConnectionRefusedError:
                return True
            except OSError:
                pass
        return False

    def names(self, prefix: str) -> list[str]:
        """The names of the files with this prefix."""
        return [name for name in os.listdir(self.path) if name.startswith(prefix)]

    def address(self, name: str) -> str:
        """The path of a socket. The system allows about 100 bytes, so on Linux it leads through an open folder."""
        if sys.platform != "linux":
            return str(self.path / name)
        if self._number < 0:
            self._number = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return f"/proc/self/fd/{self._number}/{name}"

    def listen(self, name: str) -> socket.socket:
        """A listening socket. It gets its name once it listens, because one that refuses connections would count as
        dead."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            unnamed = f"new-{name}"
            self.bind(listener, unnamed)
            listener.listen(128)
            (self.path / unnamed).rename(self.path / name)
        except BaseException:
            listener.close()
            raise
        return listener

    def remove(self, name: str) -> None:
        """Remove a socket if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the folder; may be called again."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1
