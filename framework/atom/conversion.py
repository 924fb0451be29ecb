"""Conversion of stored values from one field type to another, when a definition changes.

The rule: **a value is converted only if it means the same afterwards.** A value that would lose something (1.5 as an
integer, `007` as 7) is refused, and the migration with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, Text

from framework.definitions import MODULES, Field, FieldError
from framework.definitions.columns import BITS
from framework.storage.content import Content
from framework.storage.tables import UtcDateTime
from framework.values import jsontext

SCALARS: dict[str, Any] = {
    "string": Text,
    "integer": BigInteger,
    "number": Double,
    "boolean": Boolean,
    "DateTime": UtcDateTime,
}
"""The column of each type that is not kept as JSON."""

_JSON = frozenset(("object", "array", "MU", "array<MU>"))
_MAPPINGS = frozenset(("object", "MU"))
_LISTS = frozenset(("array", "array<MU>"))

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

_time = UtcDateTime()


def content(field: Field, refers: Sequence[str] = ()) -> Content:
    """What the column of a field holds. ``refers`` has the class and field that it refers to, and their former
    names."""
    default = field.default
    return Content(
        kind=field.type.base,
        rules=rules(field, refers),
        fits=lambda stored: _fits(field, stored),
        convert=lambda kind: _conversion(kind, field),
        alike=next((kinds for kinds in (_MAPPINGS, _LISTS) if field.type.base in kinds), frozenset()),
        fill=None if default is None else lambda: encoded(field, default.make({**MODULES})),
        moved=lambda before: _moved(before, refers),
        renamed_from=field.renamed_from,
    )


def rules(field: Field, refers: Sequence[str] = ()) -> str:
    """Everything that decides whether a stored value still fits, as text."""
    told = {
        "type": field.type.base,
        "length": field.length,
        "bits": BITS.get(field.dbtype or ""),
        "enum": field.enum,
        "format": field.format,
        "refers": refers[0] if refers else None,
    }
    return json.dumps({key: value for key, value in told.items() if value is not None}, default=str)


def _moved(before: str, refers: Sequence[str]) -> str | None:
    """Why the stored keys do not refer to what the field refers to now."""
    of = json.loads(before).get("refers")
    if of is None or not refers or of in refers:
        return None
    return f"holds values of {of}, and is to hold those of {refers[0]}"


def encoded(field: Field, value: Any) -> Any:
    """The stored form of a value. Raises ``ValueError`` with the reason if the field does not accept it."""
    try:
        value = field.accept(value)
    except FieldError as error:
        raise ValueError(error.message) from None
    if value is None:
        return None
    if field.type.base in _JSON:
        return jsontext.encode(value)
    return UtcDateTime.to_text(value) if field.type.base == "DateTime" else value


def decoded(kind: str, stored: Any) -> Any:
    """The value of a stored form. Raises ``ValueError`` if it is not of this kind."""
    if kind in _JSON:
        return jsontext.decode(stored)
    if kind == "DateTime":
        return _time.process_result_value(stored, None)  # type: ignore[arg-type]
    if kind == "boolean":
        if stored not in (0, 1):
            raise ValueError(f"must be true or false, not {stored!r}")
        return bool(stored)
    return stored


def _fits(field: Field, stored: Any) -> None:
    encoded(field, decoded(field.type.base, stored))


def _conversion(kind: str, field: Field) -> Callable[[Any], Any] | None:
    to = field.type.base
    way = _WAYS.get((kind, to))
    if kind in _JSON and to == "string":
        way = jsontext.encode
    elif kind == "string" and to in _JSON:
        way = _parsed
    if way is None:
        return None
    found = way
    return lambda stored: encoded(field, found(decoded(kind, stored)))


def _same(value: Any) -> Any:
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=jsontext.unambiguous)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"must be JSON, not {_shown(text)}") from None


def _whole(number: float) -> int:
    if not number.is_integer():
        raise ValueError(f"must be a whole number, not {number!r}")
    return int(number)


def _text_to_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or text == "-0":
        raise ValueError(f"must be a whole number as it is usually written, not {_shown(text)}")
    if len(text) > 20:
        raise ValueError("must be a whole number of at most 64 bits")
    return int(text)


def _text_to_number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"must be a number, not {_shown(text)}")
    number = float(text)
    try:
        exact = Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        exact = False
    if not exact:
        raise ValueError(f"must be a number that a double can carry, not {_shown(text)}")
    return number


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(f"must be 0 or 1, not {value!r}")
    return bool(value)


def _text_to_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"must be true or false, not {_shown(text)}")
    return text == "true"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:37]!r}..."


_WAYS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("integer", "number"): _same,
    ("integer", "string"): str,
    ("integer", "boolean"): _flag,
    ("number", "integer"): _whole,
    ("number", "string"): repr,
    ("number", "boolean"): _flag,
    ("boolean", "integer"): int,
    ("boolean", "number"): float,
    ("boolean", "string"): lambda value: "true" if value else "false",
    ("DateTime", "string"): lambda value: value.isoformat(),
    ("string", "DateTime"): _same,
    ("string", "integer"): _text_to_integer,
    ("string", "number"): _text_to_number,
    ("string", "boolean"): _text_to_flag,
}
"""The ways between types that are kept differently. Between any other two there is none."""
