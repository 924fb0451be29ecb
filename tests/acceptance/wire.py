"""A connection to a server, byte by byte: nothing is tidied up as a client library would."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Reply:
    code: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        content: dict[str, Any] = json.loads(self.body)
        assert content["status"] == self.code
        return content


class Wire:
    """A connection; waits ``timeout`` seconds at most for whatever it waits for."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        timeout: float = 20.0,
        receive: int | None = None,
        source: str | None = None,
    ) -> None:
        self._socket = socket.socket()
        if source is not None:  # the address of this client
            self._socket.bind((source, 0))
        if receive is not None:  # a small buffer, for a client that does not read
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._left = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> Wire:
        self._socket.sendall(data)
        return self

    def get(self, path: str, *headers: bytes) -> Wire:
        lines = b"".join(header + b"\r\n" for header in headers)
        return self.send(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n")

    def read(self, size: int = 65536) -> bytes:
        """What comes next; nothing when the other side has ended."""
        return self._socket.recv(size)

    def answered(self) -> bool:
        """Has anything come that was not read yet?"""
        return bool(self._left or select.select([self._socket], [], [], 0)[0])

    def reply(self, *, head: bool = False) -> Reply:
        """The next response, by its content-length."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        top, _, self._left = self._left.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", status)
        assert found is not None, status
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header came twice"
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Reply(int(found[1]), headers, body)

    def _more(self) -> None:
        data = self.read()
        assert data, f"the connection ended within a response: {self._left!r}"
        self._left += data

    def ended(self, timeout: float = 20.0) -> bool:
        """Wait until the other side ends the connection, without anything more coming."""
        deadline = time.monotonic() + timeout
        assert not self._left
        try:
            while time.monotonic() < deadline:
                if not self.read():
                    return True
                raise AssertionError("something came")
        except ConnectionResetError:
            return True
        except TimeoutError:
            pass
        return False

    def stays_open(self, seconds: float = 0.3) -> bool:
        self._socket.settimeout(seconds)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(20.0)
