"""The body of an answer as it comes, decoded from its ``Content-Encoding`` in pieces, up to a limit.

The one rule: **memory never exceeds the limit.** The received bytes, those between two codings and the decoded
ones are each counted, and the decoding stops when one of them exceeds the limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

ACCEPTED = "gzip, deflate"

_PIECE = 65536  # bytes that a coding gives out at a time
_AT_ONCE = 4 * _PIECE  # bytes that are decoded before the event loop is given back
_SLACK = 65536  # bytes that a coding may add to what cannot be compressed, and to nothing at all
_MOST_CODINGS = 3
_MOST_MEMBERS = 1024  # of one gzip stream
_GZIP = ("gzip", "x-gzip")
_KNOWN = (*_GZIP, "deflate")


class TooLarge(Exception):
    """The body exceeds its limit."""


class Malformed(Exception):
    """The body does not match its ``Content-Encoding``, or is incomplete."""


class Body:
    """A body that comes in pieces. ``limit`` is in bytes after the decoding. 0 means no limit.

    A body with an unknown coding stays as it is. Raises ``Malformed`` for too many codings.
    """

    def __init__(self, content_encoding: str, limit: int) -> None:
        self._limit = limit
        self._stages = _stages(content_encoding)
        self._sizes = [0] * (len(self._stages) + 1)
        self._pieces: list[bytes] = []

    @property
    def is_coded(self) -> bool:
        """Whether there is a coding, and each one is known."""
        return bool(self._stages)

    async def add(self, data: bytes) -> None:
        """Add the next piece. It is decoded here if that is quick, and otherwise in a thread."""
        self._count(0, data)
        decoded = self._decoded(data, 0)
        nested = len(self._stages) > 1  # it may take long, and nothing come out
        if nested or self._take(decoded, _AT_ONCE):
            await asyncio.to_thread(self._take, decoded)

    def whole(self) -> bytes:
        """The whole body, after the last piece was added."""
        if self._sizes[0] and not all(stage.complete for stage in self._stages):
            raise Malformed("the body ends in the middle of its compression")
        return b"".join(self._pieces)

    def _take(self, decoded: Iterator[bytes], most: int | None = None) -> bool:
        """Keep the decoded bytes. Return whether there are more after about ``most`` bytes."""
        taken = 0
        for piece in decoded:
            self._pieces.append(piece)
            taken += len(piece)
            if most is not None and taken >= most:
                return True
        return False

    def _decoded(self, data: bytes, number: int) -> Iterator[bytes]:
        """Decode some bytes, from the stage of this number on."""
        if number == len(self._stages):
            yield data
            return
        for piece in self._stages[number].pieces(data):
            self._count(number + 1, piece)
            yield from self._decoded(piece, number + 1)

    def _count(self, number: int, data: bytes) -> None:
        self._sizes[number] += len(data)
        slack = 0 if number == len(self._stages) else _SLACK + self._limit // 64
        if self._limit and self._sizes[number] > self._limit + slack:
            raise TooLarge


class _Stage:
    """One coding. ``complete`` at the end of a stream."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._gzip = name in _GZIP
        self._inflate = zlib.decompressobj(31) if self._gzip else None
        self._members = 1
        self._ended = False  # what follows the last stream is nothing

    @property
    def complete(self) -> bool:
        return self._inflate is not None and self._inflate.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The decoded form of some more bytes, in bounded pieces."""
        more = False  # is there something left inside, though all bytes went in?
        while (data or more) and not self._ended:
            inflate = self._stream(data)
            if inflate is None:
                return
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise Malformed(f"the body is not {self._name}: {error}") from None
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            more = len(piece) == _PIECE and not inflate.eof
            if piece:
                yield piece

    def _stream(self, data: bytes) -> zlib._Decompress | None:
        """The decoder for these bytes: the present stream, or the next of several in a row. None after the last."""
        if self._inflate is None:  # RFC 9110, 8.4.1.2 says zlib; some send the bare stream
            self._inflate = zlib.decompressobj(15 if data[0] & 15 == 8 else -15)
        elif self._inflate.eof:
            self._ended = not self._gzip or data[:1] != b"\x1f"
            if self._ended:
                return None
            self._members += 1
            if self._members > _MOST_MEMBERS:
                raise Malformed(f"the body has more than {_MOST_MEMBERS} streams of gzip")
            self._inflate = zlib.decompressobj(31)
        return self._inflate


def _stages(content_encoding: str) -> list[_Stage]:
    """The codings in the order of decoding. Empty if one of them is unknown."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > _MOST_CODINGS:
        raise Malformed(f"the body has {len(names)} codings; {_MOST_CODINGS} are undone at most")
    if not all(name in _KNOWN for name in names):
        return []
    return [_Stage(name) for name in reversed(names)]
