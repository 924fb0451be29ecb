"""What a field's `field_format` asks of a value: a named format or a JSON Schema.

The rule: a format is looked at once, at check, and a schema never fetches anything: it may refer only to
itself.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .problem import did_you_mean, quoted
from .values import FieldError

if TYPE_CHECKING:
    from jsonschema import FormatChecker

_SAMPLES: tuple[object, ...] = (None, True, 0, 1.5, "", "a", [], [None], {}, {"a": None})
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]*")


class BadFormat(ValueError):
    """A `field_format` that is neither a known name nor a JSON Schema; `hint` may say what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _date_time(text: str) -> bool:
    if not _DATE_TIME.fullmatch(text):
        return False
    dt.datetime.fromisoformat(re.sub(r"\.\d+", "", text).upper().replace(" ", "T"))
    return True


def _time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    dt.time.fromisoformat(re.sub(r"\.\d+", "", text).upper())
    return True


def _uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None and bool(urlsplit(text).scheme)


_OWN: Mapping[str, Callable[[str], bool]] = {
    "date-time": _date_time,
    "time": _time,
    "uri": _uri,
    "hostname": lambda text: _HOST.fullmatch(text) is not None,
}


@functools.cache
def _checker() -> FormatChecker:
    from jsonschema import FormatChecker

    checker = FormatChecker()
    for name, check in _OWN.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker


def _for_text(check: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or check(value)


def parse_format(written: object) -> tuple[object, Callable[[object], None]]:
    """The format as it is kept (a name or a schema), and a check that raises `FieldError`.

    Raises `BadFormat`.
    """
    schema = written
    if isinstance(written, str) and written.lstrip().startswith("{"):
        try:
            schema = json.loads(written)
        except (ValueError, RecursionError) as error:
            raise BadFormat(f"the format is not JSON: {error}") from None
    if isinstance(schema, str):
        return schema, _named(schema)
    assert isinstance(schema, dict)
    return schema, _by_schema(schema)


def _named(name: str) -> Callable[[object], None]:
    checker = _checker()
    if name not in checker.checkers:
        known = ", ".join(sorted(checker.checkers))
        hint = did_you_mean(name, checker.checkers) or f"the formats are {known}, or a JSON Schema"
        raise BadFormat(f"there is no format {quoted(name)}", hint)

    def check(value: object) -> None:
        if not checker.conforms(value, name):
            raise FieldError("format", f"must have the format {name}, and {value!r} has not")

    return check


def _by_schema(schema: dict[str, Any]) -> Callable[[object], None]:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match
    from referencing import Registry

    for reference in _references(schema):
        _resolve(schema, reference)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadFormat(f"the format is not a JSON Schema: {error.message}") from None
    validator = Draft202012Validator(schema, format_checker=_checker(), registry=Registry())
    try:
        for sample in _SAMPLES:
            validator.is_valid(sample)
    except Exception as error:
        raise BadFormat(f"the format is a JSON Schema that cannot be used: {error}") from None

    def check(value: object) -> None:
        if not validator.is_valid(value):
            found = best_match(validator.iter_errors(value))
            raise FieldError("format", f"does not fit its format: {found.message if found else value!r}")

    return check


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _resolve(schema: object, reference: str) -> None:
    """Refuse a reference out of the schema or into nothing. Anchors are left to the validator."""
    if not reference.startswith("#"):
        raise BadFormat(f"the format refers to {quoted(reference)}, outside itself")
    if not reference.startswith("#/"):
        return
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict) and key in schema:
            schema = schema[key]
        elif isinstance(schema, list) and key.isdigit() and int(key) < len(schema):
            schema = schema[int(key)]
        else:
            raise BadFormat(f"the format refers to {quoted(reference)}, which it does not have")
