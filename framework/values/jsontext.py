"""JSON as the framework stores and sends it: what goes in comes back equal, or is refused.

The codec is that of the standard library, because integers of any size must survive. NaN, infinities and lone
surrogates have no JSON form. They are refused with a ``ValueError`` instead of being altered.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

# Python refuses to read or write an integer of more than 4,300 digits, since the time grows quadratically. With this
# many, the worst body of 1 MiB takes about a third of a second to read and to write.
MOST_DIGITS = 20_000


def allow_long_numbers() -> None:
    """Let this process read and write integers of ``MOST_DIGITS`` digits, unless Python was given a limit."""
    if sys.flags.int_max_str_digits == -1 and 0 < sys.get_int_max_str_digits() < MOST_DIGITS:
        sys.set_int_max_str_digits(MOST_DIGITS)


@runtime_checkable
class HasDictionary(Protocol):
    """An object with a plain-data form of itself: an ATOM instance."""

    @property
    def dictionary(self) -> dict[str, Any]: ...


def _plain(value: object) -> object:
    """The replacement for a value that JSON does not know. The encoder calls it for such values only."""
    if isinstance(value, HasDictionary):
        return value.dictionary
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"a value of the type {type(value).__name__} is not a JSON value")


class RepeatedKey(ValueError):
    """An object of a JSON text has a key twice: two parsers could take it for two values (RFC 8259, 4)."""


def unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, for ``object_pairs_hook``. Raises ``RepeatedKey``."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedKey("must not have a key twice")
    return found


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
_encode: Callable[[object], str] = _encoder.encode

if c_make_encoder := getattr(json.encoder, "c_make_encoder", None):
    # The C encoder, made once: ``JSONEncoder.encode`` makes a new one at every call, which costs
    # more than the encoding. Without markers a circular value ends in a RecursionError.
    _iterate = c_make_encoder(
        None, _plain, json.encoder.encode_basestring, None, ":", ",", False, False, False
    )

    def _encode(value: object) -> str:
        return "".join(_iterate(value, 0))


def encode(value: object) -> str:
    """JSON text of ``value``, with ATOM instances as their ``dictionary`` and datetimes as ISO 8601 text.

    Raises ``ValueError`` for NaN, infinities, lone surrogates and circular values, ``TypeError``
    for what JSON does not know.
    """
    try:
        text = _encode_tolerantly(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply for JSON") from None
    if not text.isascii():
        text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    return text


def _encode_tolerantly(value: object) -> str:
    try:
        return _encode(value)
    except (TypeError, AttributeError):
        # The C encoder calls ``.items()`` of a dict subclass; in an MU that may be a field. Copying
        # first would cost every other value, so it is done only now.
        return _encode(_exact(value))


def _exact(value: object) -> object:
    """The same value with exact dicts and lists all the way down."""
    if isinstance(value, dict):
        return {key: _exact(element) for key, element in dict.items(value)}
    if isinstance(value, list | tuple):
        return [_exact(element) for element in value]
    if isinstance(value, Mapping | HasDictionary):
        return _exact(_plain(value))
    return value


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def decode(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ``ValueError`` if it is invalid."""
    if not isinstance(text, str):
        return json.loads(text)
    try:
        # Like `json.loads`, but without a search for white space around it: text that was encoded here has none.
        value, end = _scan(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)
