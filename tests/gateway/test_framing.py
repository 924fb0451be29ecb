"""Where a body ends is said in one way, or the message is refused."""

from __future__ import annotations

import pytest

from framework.gateway.wire.framing import mistake


@pytest.mark.parametrize(
    ("codings", "lengths", "version"),
    [
        ([], [], "1.1"),
        ([b"chunked"], [], "1.1"),
        ([b" \tChunKED\t "], [], "1.1"),
        ([], [b"0"], "1.1"),
        ([], [b"5"], "1.0"),
        ([], [b"9" * 18], "1.1"),
    ],
)
def test_one_length_or_chunks_are_a_good_framing(
    codings: list[bytes], lengths: list[bytes], version: str
) -> None:
    assert mistake(codings, lengths, version) is None


@pytest.mark.parametrize(
    ("codings", "lengths", "version", "named"),
    [
        ([b"chunked"], [b"5"], "1.1", "Content-Length"),
        ([b"chunked", b"chunked"], [], "1.1", "Transfer-Encoding"),
        ([b"gzip"], [], "1.1", "Transfer-Encoding"),
        ([b"gzip, chunked"], [], "1.1", "Transfer-Encoding"),
        ([b"chunkedX"], [], "1.1", "Transfer-Encoding"),
        ([b"X chunked"], [], "1.1", "Transfer-Encoding"),
        ([b"\x0bchunked"], [], "1.1", "Transfer-Encoding"),  # white space, but none of HTTP's
        ([b""], [], "1.1", "Transfer-Encoding"),
        ([b"chunked"], [], "1.0", "HTTP/1.0"),
        ([], [b"5", b"5"], "1.1", "Content-Length"),
        ([], [b""], "1.1", "Content-Length"),
        ([], [b"-5"], "1.1", "Content-Length"),
        ([], [b"+5"], "1.1", "Content-Length"),
        ([], [b"5 "], "1.1", "Content-Length"),
        ([], [b"9" * 19], "1.1", "Content-Length"),
    ],
)
def test_a_framing_that_can_be_taken_in_two_ways_is_a_mistake(
    codings: list[bytes], lengths: list[bytes], version: str, named: str
) -> None:
    wrong = mistake(codings, lengths, version)
    assert wrong is not None
    assert named in wrong
