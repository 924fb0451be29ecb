"""The path of a request, decoded once. An ambiguous path never reaches a script."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from framework.errors import HTTPError

# An encoded slash or backslash would be one segment here and two for a back end.
_HIDDEN = re.compile(rb"%2f|%5c|\\", re.IGNORECASE)
# `..;a=b` is a name here, and `..` for back ends that strip parameters of segments (RFC 3986, 3.3).
DOTS = re.compile(r"\.\.?(;.*)?", re.DOTALL)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def segments(raw_path: bytes) -> list[str]:
    """The decoded segments of a raw path, without one trailing empty segment.

    Raises ``HTTPError(400)`` for ``.`` and ``..``, an encoded slash or backslash, a control character, and invalid
    UTF-8.
    """
    if _HIDDEN.search(raw_path):
        raise HTTPError(400, "the path has an encoded slash or a backslash")
    if b"%" in raw_path:
        raw_path = unquote_to_bytes(raw_path)
    try:
        path = raw_path.decode()
    except UnicodeDecodeError:
        raise HTTPError(400, "the path is not UTF-8") from None
    if not path.startswith("/"):
        raise HTTPError(400, "the path does not begin with a slash")
    if CONTROL.search(path):
        raise HTTPError(400, "the path has a control character")
    parts = path[1:].split("/")
    if "/." in path and any(map(DOTS.fullmatch, parts)):
        raise HTTPError(400, "the path has a segment '.' or '..'")
    if parts[-1] == "":
        parts.pop()
    return parts
