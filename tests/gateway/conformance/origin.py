"""A back end of raw sockets, in a process of its own: it tidies nothing up, and tells every byte it was sent.

It answers what the request asks for: ``X-Reply`` is the whole response in base64, ``X-Then`` what it does
afterwards (``close``, ``half`` for closing its sending side, ``reset``, ``hold``, ``endless`` for sending its last
byte again and again, ``late`` for sending the reply once more when the connection is idle, ``garble`` for
nonsense after a while), ``X-Pad`` how many bytes it adds. ``X-Before`` may be
``slow`` (the body is not read before the reply) or a number of seconds to wait. Without these it answers 200 with
a line of JSON. Each request is told as a line of JSON on the standard output before it is answered.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import sys
import threading
import time

_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
_LOCK = threading.Lock()


class Malformed(Exception):
    """A request that could be read in two ways."""


class Connection:
    """One connection, read by the letter of RFC 9112: anything doubtful is told as malformed."""

    def __init__(self, peer: socket.socket, number: int) -> None:
        self.peer = peer
        self.number = number
        self.left = bytearray()

    def until(self, mark: bytes) -> bytes:
        while mark not in self.left:
            self._more()
        found, _, self.left = self.left.partition(mark)
        return bytes(found)

    def exactly(self, size: int) -> bytes:
        while len(self.left) < size:
            self._more()
        found = bytes(self.left[:size])
        del self.left[:size]
        return found

    def _more(self) -> None:
        piece = self.peer.recv(65536)
        if not piece:
            raise EOFError
        self.left += piece

    def head(self) -> tuple[bytes, list[tuple[str, str]]]:
        raw = self.until(b"\r\n\r\n")
        line, *fields = raw.split(b"\r\n")
        headers = []
        for field in fields:
            name, colon, value = field.partition(b":")
            if (
                not colon
                or not name
                or name != name.strip()
                or b"\n" in field
                or b"\r" in field
                or b"\0" in field
            ):
                raise Malformed(repr(field))
            headers.append((name.decode("ascii").lower(), value.strip().decode("latin-1")))
        if line.count(b" ") != 2 or not line.endswith(b" HTTP/1.1"):
            raise Malformed(repr(line))
        return line, headers

    def body(self, headers: list[tuple[str, str]]) -> tuple[bytes, str]:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value for name, value in headers if name == "transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Malformed("two framings")
        if codings:
            if codings != ["chunked"]:
                raise Malformed(codings[0])
            return self._chunks(), "chunked"
        if lengths and not lengths[0].isdigit():
            raise Malformed(lengths[0])
        return self.exactly(int(lengths[0]) if lengths else 0), lengths[0] if lengths else ""

    def _chunks(self) -> bytes:
        whole = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            whole += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Malformed("the end of a chunk")
            if size == 0:
                return whole


def tell(**what: object) -> None:
    with _LOCK:
        print(json.dumps(what), flush=True)


def serve(connection: Connection) -> None:
    """Answer the requests of a connection until one side closes it."""
    try:
        while True:
            line, headers = connection.head()
            asked = dict(headers)
            if asked.get("x-before") == "slow":
                body, framing = b"", "unread"
            else:
                if asked.get("expect"):
                    connection.peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, framing = connection.body(headers)
            method, target, _ = line.decode("latin-1").split(" ")
            seen = {"method": method, "target": target, "headers": headers, "framing": framing}
            told = {
                **seen,
                "size": len(body),
                "body": body[:4096].decode("latin-1"),
                "connection": connection.number,
            }
            tell(**told)
            if asked.get("x-before", "slow") != "slow":
                time.sleep(float(asked["x-before"]))
            if answer(connection.peer, asked, json.dumps(told).encode(), head=method == "HEAD"):
                return
    except Malformed as error:
        tell(malformed=str(error))
    except (EOFError, OSError):
        if connection.left:
            tell(malformed=f"cut off after {bytes(connection.left)!r}")
    finally:
        connection.peer.close()
        tell(closed=connection.number)


def answer(peer: socket.socket, asked: dict[str, str], plain: bytes, *, head: bool) -> bool:
    """Send the reply; True when the connection is done with."""
    reply = base64.b64decode(asked["x-reply"]) if "x-reply" in asked else _PLAIN % (len(plain), plain)
    if head and "x-reply" not in asked:
        reply = reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    then = asked.get("x-then", "keep")
    peer.sendall(reply)
    for _ in range(int(asked.get("x-pad", 0)) // 1000):
        peer.sendall(b"x" * 1000)
    if then == "reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif then == "half":
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass
    elif then == "hold":
        while peer.recv(65536):
            pass
    elif then == "endless":
        while True:
            peer.sendall(reply[-1:] * 4096)
    elif then == "garble":
        time.sleep(0.1)
        peer.sendall(b"zz\r\nhi\r\n0\r\n\r\n")
        while peer.recv(65536):
            pass
    elif then == "late":
        time.sleep(0.1)
        peer.sendall(reply)
        tell(late=True)
        return False
    return then != "keep"


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    tell(port=listener.getsockname()[1])
    for number in range(sys.maxsize):
        peer, _ = listener.accept()
        threading.Thread(target=serve, args=(Connection(peer, number),), daemon=True).start()


if __name__ == "__main__":
    main()
