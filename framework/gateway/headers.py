"""The headers of a request as its script sees and changes them.

The one rule: **a header that a script sets belongs to the script.** It replaces every spelling of the name that the
client sent, and no header of the client can remove it. A header belongs to the client only while it is the very pair
that came. So a value that is set to what it was before also belongs to the script.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.datastructures import MutableHeaders

from framework.definitions.believed import TOKEN, plain, plain_bytes
from framework.errors import HTTPError
from framework.gateway.wire.hops import CONTROL, Headers


class RequestHeaders(MutableHeaders):
    """A mapping of case-insensitive names to text. A list as a value becomes several lines of one name.

    A value that HTTP cannot carry raises ``TypeError`` at the line that sets it.
    """

    def __init__(self, received: Headers) -> None:
        super().__init__(raw=list(received))
        self._received = received

    def __setitem__(self, name: str, value: Any) -> None:
        self._say(name, _texts(value), instead=True)

    def __delitem__(self, name: str) -> None:
        self._say(name, (), instead=True)

    def append(self, name: str, value: Any) -> None:
        """One more line of this name."""
        self._say(name, _texts(value), instead=False)

    def setdefault(self, name: str, value: Any) -> str:
        """The header's value. It is set to ``value`` if the client has not sent it in this spelling."""
        if name not in self:
            self[name] = value
        return self[name]

    def _say(self, name: str, values: Iterable[Any], *, instead: bool) -> None:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise TypeError(f"request.headers: {name!r} is not the name of a header")
        key = name.lower().encode("ascii")
        lines = [(key, self._value(name, value)) for value in values]
        spelt = plain(name).encode("ascii")
        theirs = {id(pair) for pair in self._received}

        def stays(pair: tuple[bytes, bytes]) -> bool:
            if pair[0] == key:
                return not instead
            return id(pair) not in theirs or plain_bytes(pair[0]) != spelt

        self._list[:] = [*filter(stays, self._list), *lines]

    def _value(self, name: str, value: Any) -> bytes:
        if not isinstance(value, str):
            kind = type(value).__name__
            raise TypeError(
                f"request.headers[{name!r}] was set to a {kind}: a header is text, or a list of texts"
            )
        try:
            raw = value.encode("latin-1")  # as it was read, so that a received value may be set again
        except UnicodeEncodeError:
            raise self._not_ascii(name) from None
        if CONTROL.search(raw):
            raise TypeError(f"request.headers[{name!r}] was set to text with a control character")
        try:
            raw.decode()
        except UnicodeDecodeError:
            if any(raw == came for _, came in self._received):
                raise HTTPError(400, f"the header {name!r} is not UTF-8") from None
            raise self._not_ascii(name) from None
        return raw

    @staticmethod
    def _not_ascii(name: str) -> TypeError:
        return TypeError(
            f"request.headers[{name!r}] was set to text that is not ASCII: "
            "encode it, as `urllib.parse.quote` does"
        )


def _texts(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)
