"""Bodies that are decoded in pieces: right whatever the pieces, and never more than the limit in memory."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from framework.client.contentcoding import Body, Malformed, TooLarge

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


CODINGS = {
    "": bytes,
    "identity": bytes,
    "br": bytes,  # not undone
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "gzip, identity": gzip.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate,gzip": lambda data: gzip.compress(zlib.compress(data)),
    "gzip , deflate,x-gzip": lambda data: gzip.compress(zlib.compress(gzip.compress(data))),
}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


async def decoded(coding: str, data: bytes, *, limit: int = 0, size: int = 65536) -> bytes:
    body = Body(coding, limit)
    for piece in cut(data, size):
        await body.add(piece)
    return body.whole()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 7, 4096, 10**9])
async def test_a_body_comes_out_as_it_went_in(coding: str, size: int) -> None:
    seeded = random.Random(coding)
    for data in (b"", b"x", b"tea " * 3000, seeded.randbytes(5000), bytes(65536), bytes(65536 * 3 + 1)):
        assert await decoded(coding, CODINGS[coding](data), size=size) == data


@pytest.mark.parametrize("length", [65535, 65536, 65537, 131072, 131072 + 257, 200_000])
async def test_nothing_is_left_inside_where_a_piece_is_just_full(length: int) -> None:
    data = os.urandom(16) * (length // 16 + 1)
    for coding in ("gzip", "deflate", "Deflate "):
        assert await decoded(coding, CODINGS[coding](data[:length])) == data[:length]


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_limit_is_the_last_size_that_passes(coding: str) -> None:
    for data in (bytes(100_000), os.urandom(100_000)):
        packed = CODINGS[coding](data)
        assert await decoded(coding, packed, limit=100_000) == data
        with pytest.raises(TooLarge):
            await decoded(coding, packed, limit=99_999)


async def test_several_streams_of_gzip_in_a_row_are_one_body_and_what_follows_is_nothing() -> None:
    parts = [b"one", b"", b"three" * 1000]
    packed = b"".join(map(gzip.compress, parts))
    for size in (1, 5, 10**9):
        assert await decoded("gzip", packed + b"\0\0garbage", size=size) == b"".join(parts)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", b"no gzip at all"),
        ("gzip", gzip.compress(b"tea")[:-1]),
        ("gzip", gzip.compress(b"tea")[:5]),
        ("gzip", gzip.compress(b"tea")[:-8] + bytes(8)),  # the checksum
        ("gzip", gzip.compress(b"tea") + gzip.compress(b"tea")[:12]),
        ("deflate", zlib.compress(b"tea")[:-1]),
        ("deflate", b"\x08nonsense"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"tea")[:-1])),
        ("gzip", gzip.compress(b"") * 2000),
        ("gzip, gzip, gzip, gzip", b""),
    ],
    # Packed data holds the time at which it was packed: a name of its own is the same in every process.
    ids=[
        "nonsense",
        "end cut",
        "head",
        "checksum",
        "second cut",
        "deflate cut",
        "no deflate",
        "inner",
        "many",
        "four",
    ],
)
async def test_what_is_not_whole_or_not_what_it_says_is_refused(coding: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        await decoded(coding, data)


def bomb(size: int) -> Iterator[bytes]:
    """A gzip stream of so many zeros, a thousandth as large."""
    squeeze = zlib.compressobj(9, wbits=31)
    for _ in range(size // MIB):
        yield squeeze.compress(bytes(MIB))
    yield squeeze.flush()


def nothing_at_all() -> Iterator[bytes]:
    """A stream that takes bytes for ever and gives none."""
    squeeze = zlib.compressobj(wbits=31)
    yield squeeze.compress(b"")
    empty = squeeze.flush(zlib.Z_FULL_FLUSH)
    while True:
        yield empty * 3000


def twice(pieces: Iterator[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(9, wbits=31)
    for piece in pieces:
        yield squeeze.compress(piece)
    yield squeeze.flush()


@pytest.mark.parametrize(
    ("coding", "pieces"),
    [
        ("gzip", bomb(256 * MIB)),
        ("gzip, gzip", twice(bomb(256 * MIB))),
        ("gzip", nothing_at_all()),
        ("gzip, gzip", twice(nothing_at_all())),
        ("", (bytes(65536) for _ in iter(int, 1))),
        ("br", (bytes(65536) for _ in iter(int, 1))),
    ],
    ids=["bomb", "bomb in a bomb", "nothing", "nothing in a bomb", "endless", "endless, unknown"],
)
async def test_a_bomb_is_given_up_in_flat_memory(coding: str, pieces: Iterator[bytes]) -> None:
    body = Body(coding, 4 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            for piece in pieces:
                await body.add(piece)
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    finally:
        tracemalloc.stop()
