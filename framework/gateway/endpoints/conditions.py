"""Entity tags, and conditional requests (RFC 9110, 8.8.3 and 13).

The rule: a tag is made only from stored data. So it is strong, it is the same on every server, and it changes with
every change.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from framework.errors import HTTPError
from framework.values import jsontext

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")


def entity_tag(name: str, stored: Mapping[str, Any]) -> str:
    """The tag of a row of a class."""
    text = jsontext.encode([name, sorted(stored.items())])
    digest = hashlib.sha256(text.encode()).digest()[:18]
    return f'"{base64.urlsafe_b64encode(digest).decode()}"'


class Conditions:
    """``If-Match`` and ``If-None-Match`` of a request. Raises ``HTTPError(400)`` if one is invalid."""

    def __init__(self, headers: Any) -> None:
        self._match = _listed("If-Match", headers.getlist("if-match"))
        self._none_match = _listed("If-None-Match", headers.getlist("if-none-match"))

    @property
    def of_writing(self) -> bool:
        """Does a write depend on the stored state?"""
        return self._match is not None or self._none_match is not None

    def hold(self, tag: str) -> bool:
        """May the request affect the state with this tag? A weak tag never matches (13.1.1)."""
        if self._match is not None and self._match != ["*"] and tag not in self._match:
            return False
        return not self.seen(tag)

    def seen(self, tag: str) -> bool:
        """Does the client already have the state with this tag?"""
        if self._none_match is None:
            return False
        return self._none_match == ["*"] or tag in [one.removeprefix("W/") for one in self._none_match]


def _listed(name: str, values: list[str]) -> list[str] | None:
    """The tags of a header, ``["*"]``, or None if it is missing."""
    if not values:
        return None
    text = ",".join(values)
    if text.strip() == "*":
        return ["*"]
    if not _TAGS.fullmatch(text):
        raise HTTPError(400, f'{name} takes `*`, or tags in quotes as ETag gives them: "…"')
    return re.findall(_TAG, text)
