"""The sockets of the processes that share a SQLite file, in the folder of its locks."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


class SocketFolder:
    """The folder ``DATABASE.run`` as a place for Unix sockets; ``close`` it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._number = -1

    def make(self) -> None:
        """Make the folder if it is missing: the owner's alone, and so is what lies in it."""
        self.path.mkdir(mode=0o700, exist_ok=True)

    def names(self, prefix: str) -> list[str]:
        """The files whose names begin so."""
        return [name for name in os.listdir(self.path) if name.startswith(prefix)]

    def address(self, name: str) -> str:
        """A socket's path. The system allows about 100 bytes, so on Linux it goes through an open folder."""
        if sys.platform != "linux":
            return str(self.path / name)
        if self._number < 0:
            self._number = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._number}/{name}"

    def listen(self, name: str) -> socket.socket:
        """A socket that listens. It gets its name when it does: one that refuses would be taken for dead."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            unnamed = f"new-{name}"
            listener.bind(self.address(unnamed))
            (self.path / unnamed).chmod(0o600)
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
