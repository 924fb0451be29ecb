"""The end of a message's body: by its length or by chunks, and never by both (RFC 9112, 6).

The one rule: **an ambiguous framing is refused, whatever a parser makes of it.** The only transfer coding is
``chunked``, and only in HTTP/1.1.
"""

from __future__ import annotations

from collections.abc import Sequence

_MOST_DIGITS = 18  # always fits into a signed 64-bit number


def mistake(codings: Sequence[bytes], lengths: Sequence[bytes], version: str) -> str | None:
    """What is wrong with the values of ``Transfer-Encoding`` and ``Content-Length``, or None."""
    if codings:
        if lengths:
            return "it has both Content-Length and Transfer-Encoding"
        if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
            return "Transfer-Encoding must be `chunked`, and only once"
        if version == "1.0":
            return "HTTP/1.0 does not support Transfer-Encoding"
    elif lengths and (len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS):
        return "Content-Length must be one number of bytes"
    return None
