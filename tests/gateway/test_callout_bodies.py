"""What a back end can do to the memory and the event loop of a process that calls it: real sockets, real bombs.

The process that calls is a child, so that its memory is its own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from framework.script.callout import Callout

from .client import route
from .conftest import Serving

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

CHILD = """
import asyncio, json, resource, sys, time
from framework.script.callout import Callout

async def main(url, more):
    callout = Callout()
    answer = await callout(url=url + "small")  # what is loaded once is loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    longest, last = 0.0, time.monotonic()
    done = False

    async def watch():
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    answer = await callout(url=url + "large", **more)
    done = True
    await watching
    await callout.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([answer.code, answer.body[:200].decode(), len(answer.body), grown, longest]))

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


def gzip_bomb() -> bytes:
    """1.5 GiB of zeros in 1.5 MiB: one block again and again. Nobody gets to the checksum at its end."""
    squeeze = zlib.compressobj(9, wbits=-15)
    block = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * 1536 + squeeze.flush()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip_bomb()


def plain(body: bytes, more: bytes = b"") -> bytes:
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def endless(first: bytes, again: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield again


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def backend(large: Callable[[], Iterator[bytes]]) -> Iterator[tuple[str, threading.Event]]:
    """A server whose path ``/small`` is harmless, and which sends ``large`` to others until nobody takes it."""
    gone = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = connection.recv(65536)
            while request.startswith(b"GET /small"):
                connection.sendall(plain(b"tea"))
                request = connection.recv(65536)
            try:
                for piece in large():
                    connection.sendall(piece)
            finally:
                gone.set()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", gone
        listener.shutdown(socket.SHUT_RDWR)


def called(url: str, **more: object) -> tuple[int, str, int, int, float]:
    """Code, body, its length, how many KiB the process has grown, the loop's longest pause."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, url, json.dumps(more)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    code, body, length, grown, longest = json.loads(done.stdout)
    return code, body, length, grown, longest


def test_a_bomb_of_gzip_is_599_in_flat_memory_and_never_blocks_the_loop(bomb: bytes) -> None:
    assert len(bomb) < 2 * MIB
    with backend(lambda: iter([plain(bomb, b"Content-Encoding: gzip\r\n")])) as (url, _):
        code, body, _, grown, longest = called(url)
    assert (code, body) == (599, "the answer's body is larger than 16777216 bytes (max_body)")
    assert grown < 64 * 1024, f"{grown} KiB"
    assert longest < 0.5


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (endless(HEAD + CHUNKED, chunk(bytes(65536))), "larger than 16777216 bytes"),
        (endless(HEAD + b"\r\n", bytes(65536)), "larger than 16777216 bytes"),  # up to the connection's end
        (endless(HEAD + b"Content-Length: 99999999999\r\n\r\n", bytes(65536)), "larger than 16777216 bytes"),
        (endless(HEAD, b"X-Field: %b\r\n" % (b"x" * 4000)), ""),
        (endless(HEAD + b"X-Field: ", b"x" * 65536), ""),
        (endless(b"HTTP/1.1 200 ", b"x" * 65536), ""),
        (endless(HEAD + CHUNKED + b"1", b";x=" + b"y" * 65536), ""),
        (endless(HEAD + CHUNKED + b"0\r\n", b"X-Trailer: %b\r\n" % (b"x" * 4000)), ""),
        (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), ""),
    ],
    ids=["chunks", "close", "length", "fields", "field", "status", "extension", "trailers", "1xx"],
)
def test_an_answer_that_never_ends_is_599_in_flat_memory(pieces: Iterator[bytes], reason: str) -> None:
    with backend(lambda: pieces) as (url, gone):
        code, body, _, grown, _ = called(url, request_timeout=4)
        assert (code, reason in body) == (599, True), body
        assert body
        assert grown < 64 * 1024, f"{grown} KiB"
        assert gone.wait(10), "the connection stays open"


def test_a_body_up_to_the_limit_arrives_and_the_limit_is_the_scripts_to_set() -> None:
    with backend(lambda: iter([plain(bytes(16 * MIB))])) as (url, _):
        assert called(url)[::2][:2] == (200, 16 * MIB)
        assert called(url, max_body=16 * MIB - 1)[0] == 599
    with backend(lambda: iter([plain(bytes(17 * MIB))])) as (url, _):
        assert called(url)[0] == 599
        assert called(url, max_body=0)[2] == 17 * MIB


# ---- through the gateway --------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_target_behind_a_path_of_this_gateway_is_bounded_too(serving: Serving) -> None:
    pieces = endless(HEAD + CHUNKED, chunk(bytes(65536)))
    with backend(lambda: pieces) as (url, gone):
        forwarding = route("/large", "logger.debug('on')", target={"authorities": [url.rstrip("/")]})
        calling = route(
            "/call", "r = await callout('/large', max_body=100_000)\nreturn 200, [r.code, r.body.decode()]"
        )
        own = route("/own", "return 200, b'x' * 100_001")
        calling_own = calling.replace("'/large'", "'/own'").replace("path: '/call'", "path: '/call-own'")
        async with serving(forwarding, calling, own, calling_own) as client:
            code, reason = (await client.get("/call")).json()
            assert (code, "over 100000 bytes" in reason) == (599, True)
            assert await asyncio.to_thread(gone.wait, 10)
            assert (await client.get("/call-own")).json()[0] == 599


@pytest.mark.anyio
async def test_what_is_forwarded_stays_compressed(serving: Serving) -> None:
    packed = zlib.compress(b"tea")
    with backend(lambda: iter([plain(packed, b"Content-Encoding: deflate\r\n")])) as (url, _):
        async with serving(
            route("/x", "logger.debug('on')", target={"authorities": [url.rstrip("/")]})
        ) as client:
            answer = await client.get("/x")
    assert (answer.body, answer.headers["content-encoding"]) == (packed, "deflate")


@pytest.mark.anyio
@pytest.mark.parametrize("given", [-1, "1", 1.5, None])
async def test_a_limit_that_is_none_is_a_mistake_of_the_script(given: object) -> None:
    with pytest.raises(Exception, match="max_body is a number of bytes"):
        await Callout()(url="http://127.0.0.1:1/", max_body=given)  # type: ignore[arg-type]
