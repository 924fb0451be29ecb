"""A client of raw sockets: what it sends is what goes over the wire, and it reads an answer by its framing."""

from __future__ import annotations

import base64
import itertools
import socket
from dataclasses import dataclass, field

_NUMBERS = itertools.count()


@dataclass
class Reply:
    """An answer. ``whole``: did it come to the end that its framing promised? ``code`` 0: none came."""

    code: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class Wire:
    """One connection to the gateway."""

    def __init__(self, address: tuple[str, int], timeout: float = 10.0) -> None:
        self.socket = socket.create_connection(address, timeout=timeout)
        self._left = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it was refused before its end: the answer tells

    def reply(self, *, head: bool = False) -> Reply:
        """The next answer; ``head``: to a HEAD, so it has no body."""
        reply = Reply()
        try:
            lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        except EOFError:
            return reply
        reply.code = int(lines[0].split(" ")[1])
        for line in lines[1:]:
            name, _, value = line.partition(":")
            reply.headers.append((name.lower(), value.strip()))
        lengths, chunked = reply.values("content-length"), reply.values("transfer-encoding")
        assert len(lengths) + len(chunked) <= 1, reply.headers
        try:
            if reply.code < 200 or reply.code in (204, 304) or head:
                pass
            elif lengths:
                self._exactly(int(lengths[0]), reply)
            elif chunked:
                self._chunks(reply)
            else:
                self._all(reply)
        except EOFError:
            return reply
        reply.whole = True
        return reply

    def at_end(self) -> bool:
        """Has the gateway closed, and sent nothing more?"""
        try:
            return not self._left and not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._left:
            self._more()
        found, _, self._left = self._left.partition(mark)
        return found

    def _exactly(self, size: int, reply: Reply) -> None:
        while len(self._left) < size:
            try:
                self._more()
            except EOFError:
                reply.body += self._left
                raise
        reply.body += self._left[:size]
        self._left = self._left[size:]

    def _chunks(self, reply: Reply) -> None:
        while True:
            size = int(self._until(b"\r\n"), 16)
            self._exactly(size, reply)
            assert self._until(b"\r\n") == b""
            if size == 0:
                return

    def _all(self, reply: Reply) -> None:
        while True:
            try:
                self._more()
            except EOFError:
                reply.body += self._left
                self._left = b""
                return

    def _more(self) -> None:
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise EOFError
        self._left += piece


def exchange(address: tuple[str, int], data: bytes) -> Reply:
    """One request on a connection of its own, and its answer."""
    with Wire(address) as wire:
        wire.send(data)
        reply = wire.reply(head=data.startswith(b"HEAD "))
        while 100 <= reply.code < 200:
            reply = wire.reply(head=data.startswith(b"HEAD "))
        return reply


def marker() -> str:
    """A target that no other request has."""
    return f"/marker-{next(_NUMBERS)}"


def request(
    target: str, *, reply: bytes | None = None, then: str = "", before: str = "", pad: int = 0
) -> bytes:
    """A GET that asks the back end for this reply, and ``pad`` bytes more."""
    lines = [f"GET {target} HTTP/1.1", "Host: gateway.example", "Connection: close"]
    if pad:
        lines.append(f"X-Pad: {pad}")
    if reply is not None:
        lines.append(f"X-Reply: {base64.b64encode(reply).decode()}")
    if then:
        lines.append(f"X-Then: {then}")
    if before:
        lines.append(f"X-Before: {before}")
    return "\r\n".join([*lines, "", ""]).encode()
