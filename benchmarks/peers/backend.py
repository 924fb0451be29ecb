"""A back end that is never what limits the figure: fixed bytes for every request, of which only the length is read.

python -m benchmarks.peers.backend --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import uvloop

BODY = b'{"orderId":"00000000000000000000000000000000","parameters":{"name":"hoge1"},"status":"standby"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Connection(asyncio.Protocol):
    """Answers each request as soon as all of it is here."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            end = head + 4 + _length(self._received[:head].lower())
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._transport.write(ANSWER)


def _length(head: bytes) -> int:
    start = head.find(b"\r\ncontent-length:")
    return 0 if start < 0 else int(head[start + 17 :].partition(b"\r\n")[0])


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", required=True, type=int)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
