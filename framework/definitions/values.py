"""The valid values of each field type. They are checked at every save of every request.

The rule: a value comes back from the database as it went in, or it is refused here. Nothing is changed silently. The
exceptions are other representations of the same value: a `number` is always a float and 0.0 has no sign, a DateTime
is in UTC, a tuple inside JSON is a list, and subclasses of str and int become plain.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .problem import clipped

Accept = Callable[[object], object]

MAX_JSON_DEPTH = 200
_LOW, _HIGH = -(2**63), 2**63 - 1
_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|([-+])(\d\d):(\d\d))?", re.ASCII
)


class FieldError(ValueError):
    """A value that a field does not accept. `rule` says which rule it breaks."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


def accept_string(value: object) -> object:
    """Any text that UTF-8 can carry."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise FieldError("type", f"must be text, not {kind(value)}")
        value = str.__str__(value)
    if not value.isascii():
        _refuse_surrogates(value)
    return value


def accept_integer(value: object) -> object:
    """A 64-bit integer. A bool is not one."""
    if type(value) is not int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise FieldError("type", f"must be a whole number, not {kind(value)}")
        value = int.__index__(value)
    if not _LOW <= value <= _HIGH:
        raise FieldError("range", "must be a whole number of at most 64 bits")
    return value


def accept_number(value: object) -> object:
    """A finite float, or an integer that a float can represent, which becomes one."""
    if type(value) is not float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise FieldError("type", f"must be a number, not {kind(value)}")
        try:
            number = float(value)
        except OverflowError:
            raise FieldError("range", "must be a number that a double can carry") from None
        if number != value and isinstance(value, int):
            raise FieldError(
                "range", f"must be a number that a double can carry exactly, not {clipped(repr(value))}"
            )
        value = number
    if not math.isfinite(value):
        raise FieldError("range", f"must be a finite number, not {value!r}")
    return value + 0.0  # -0.0 is 0.0: a database does not tell them apart


def accept_boolean(value: object) -> object:
    """True or False."""
    if value is True or value is False:
        return value
    raise FieldError("type", f"must be true or false, not {kind(value)}")


def accept_datetime(value: object) -> object:
    """A datetime with an offset, or its RFC 3339 text (section 5.6). The result is in UTC."""
    if isinstance(value, str):
        value = _parsed_datetime(value)
    if not isinstance(value, dt.datetime):
        raise FieldError("type", f"must be a date and time, not {kind(value)}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise FieldError(
            "offset",
            f"must say its offset from UTC, and {value.isoformat()} does not: add one, as in "
            "`2026-01-31T12:00:00+00:00` or `datetime.datetime.now(datetime.timezone.utc)`",
        )
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise FieldError("range", "must lie between the years 1 and 9999 in UTC") from None


def _parsed_datetime(text: str) -> dt.datetime:
    """The datetime of an RFC 3339 text. Without an offset in the text, the result has none."""
    found = _RFC_3339.fullmatch(text)
    if found is None:
        message = f"must be RFC 3339 text such as `2026-01-31T12:00:00+00:00`, not {clipped(repr(text))}"
        raise FieldError("type", message)
    *parts, fraction, offset, sign, hours, minutes = found.groups()
    if fraction and fraction[6:].strip("0"):
        raise FieldError("range", f"must not be finer than a microsecond, and {clipped(repr(text))} is")
    if parts[5] == "60":
        raise FieldError("type", f"must not be in a leap second, which cannot be kept, and {text!r} is")
    try:
        zone: dt.tzinfo | None = None if offset is None else dt.UTC
        if sign:
            if int(minutes) > 59:
                raise ValueError("an offset has at most 59 minutes beside its hours")
            away = dt.timedelta(hours=int(hours), minutes=int(minutes))
            zone = dt.timezone(-away if sign == "-" else away)  # it refuses a whole day or more
        year, month, day, hour, minute, second = map(int, parts)
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        return dt.datetime(year, month, day, hour, minute, second, microsecond, zone)
    except ValueError as error:
        raise FieldError("type", f"must be a date and time, not {clipped(repr(text))}: {error}") from None


def accept_object(value: object) -> object:
    """A mapping of strings to JSON values. A mapping of another class becomes a dict."""
    if not isinstance(value, dict | Mapping):
        raise FieldError("type", f"must be a mapping, not {kind(value)}")
    return _json(value)


def accept_array(value: object) -> object:
    """A list of JSON values. A tuple becomes a list."""
    if not isinstance(value, list | tuple):
        raise FieldError("type", f"must be a list, not {kind(value)}")
    return _json(value)


def accept_objects(value: object) -> object:
    """A list of mappings."""
    accepted = accept_array(value)
    assert isinstance(accepted, list)
    for number, item in enumerate(accepted):
        if not isinstance(item, dict):
            raise FieldError("type", f"[{number}] must be a mapping, not {kind(item)}")
    return accepted


def accept_anything(value: object) -> object:
    """An instance of another class. The ATOM layer knows which."""
    return value


def accept_instances(value: object) -> object:
    """A list of instances of another class."""
    if not isinstance(value, list | tuple):
        raise FieldError("type", f"must be a list, not {kind(value)}")
    return list(value)


ACCEPT: Mapping[str, Accept] = {
    "string": accept_string,
    "integer": accept_integer,
    "number": accept_number,
    "boolean": accept_boolean,
    "DateTime": accept_datetime,
    "object": accept_object,
    "MU": accept_object,
    "array": accept_array,
    "array<MU>": accept_objects,
    "reference": accept_anything,
    "array<reference>": accept_instances,
}


def kind(value: object) -> str:
    """The type of a value, in the words of a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else "a text"
    if isinstance(value, int | float):
        shown = repr(value) if isinstance(value, float) or -(10**30) < value < 10**30 else "a huge one"
        return f"the number {shown}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldError("text", "must not contain half of a surrogate pair") from None


class _Inside(Exception):
    """A mistake deep inside a value. Each level on the way out adds its step to the front of the path."""

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        self.message = message
        self.path = ""


def _json(value: object) -> object:
    """The value if it is already plain JSON, otherwise a plain copy. Raises `FieldError` with the path."""
    try:
        return rebuilt(value) if _inspect(value, 0) else value
    except _Inside as inside:
        where = inside.path or "it"
        raise FieldError(inside.rule, f"{where} {inside.message}") from None


def _inspect(value: object, depth: int) -> bool:
    """Whether a JSON value must be rebuilt to be plain. Raises `_Inside` if it is not a JSON value."""
    plain = type(value)
    if plain is str:
        if not value.isascii():  # type: ignore[attr-defined]
            _inspect_text(value)  # type: ignore[arg-type]
        return False
    if value is None or plain is bool:
        return False
    if plain is int:
        if not _LOW <= value <= _HIGH:  # type: ignore[operator]
            _refuse_endless(value)  # type: ignore[arg-type]
        return False
    if plain is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise _Inside("range", f"must be a finite number, not {value!r}")
        return False
    if depth >= MAX_JSON_DEPTH:
        raise _Inside("depth", f"must not be nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, dict | Mapping):
        return _inspect_mapping(value, depth + 1)
    if isinstance(value, list | tuple):
        return _inspect_list(value, depth + 1)
    if isinstance(value, str | int | float):
        return _inspect(_unwrapped(value), depth) or True
    raise _Inside("type", f"must be a JSON value, not {kind(value)}")


def _pairs(value: Mapping[Any, object]) -> Iterable[tuple[Any, object]]:
    """Keys and values. For a dict, the method of dict is called: in a subclass, `items` may be the value of a key."""
    return dict.items(value) if isinstance(value, dict) else value.items()


def _inspect_mapping(value: Mapping[object, object], depth: int) -> bool:
    rebuild = not isinstance(value, dict)
    for key, item in _pairs(value):
        if type(key) is not str:
            raise _Inside("type", f"has the key {clipped(repr(key))}: a key must be text, not {kind(key)}")
        try:
            if not key.isascii():
                _inspect_text(key)
            if _inspect(item, depth):
                rebuild = True
        except _Inside as inside:
            inside.path = f".{_shown(key)}{inside.path}" if depth < 10 else inside.path
            raise
    return rebuild


def _inspect_list(value: list[object] | tuple[object, ...], depth: int) -> bool:
    rebuild = not isinstance(value, list)
    for number, item in enumerate(value):
        try:
            if _inspect(item, depth):
                rebuild = True
        except _Inside as inside:
            inside.path = f"[{number}]{inside.path}" if depth < 10 else inside.path
            raise
    return rebuild


def _inspect_text(text: str) -> None:
    try:
        _refuse_surrogates(text)
    except FieldError as error:
        raise _Inside(error.rule, error.message) from None


def _shown(key: str) -> str:
    return key.encode("utf-8", "backslashreplace").decode()


def _unwrapped(value: str | int | float) -> str | int | float:
    """The plain value of an instance of a subclass."""
    if isinstance(value, str):
        return str.__str__(value)
    return int.__index__(value) if isinstance(value, int) else float(value)


def rebuilt(value: object) -> object:
    """A copy of a JSON value that consists of dicts, lists and plain scalars."""
    if isinstance(value, Mapping):
        return {key: rebuilt(item) for key, item in _pairs(value)}
    if isinstance(value, list | tuple):
        return [rebuilt(item) for item in value]
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return _unwrapped(value)
    return value


def _refuse_endless(value: int) -> None:
    """An integer that Python refuses to convert to text cannot become JSON."""
    limit = sys.get_int_max_str_digits()
    if limit and value.bit_length() > limit * 3.3219 and abs(value) >= 10**limit:
        raise _Inside("range", f"must not have more than {limit} digits")
