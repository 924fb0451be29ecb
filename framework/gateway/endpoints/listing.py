"""The query of a request for a list: which instances, in which order, which page.

The rule: an unknown parameter is refused and never ignored, because a misspelt filter would return everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from framework.atom import did_you_mean
from framework.errors import HTTPError

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_OFFSET = re.compile(r" (\d\d(?::?\d\d)?)$")
_LARGEST = 2**63 - 1

PAGING = ("limit", "offset", "order_by")


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list."""

    equals: Mapping[str, Any]
    order_by: tuple[str, ...]
    limit: int
    offset: int

    def links(self, path: str, parameters: Mapping[str, list[str]], *, more: bool) -> str | None:
        """The header ``Link`` (RFC 8288) to the pages before and after this one."""
        pages = {}
        if more:
            pages["next"] = self.offset + self.limit
        if self.offset:
            pages["prev"] = max(self.offset - self.limit, 0)
        kept = [(name, value) for name, values in parameters.items() for value in values if name != "offset"]
        links = [
            f'<{path}?{urlencode([*kept, ("offset", offset)])}>; rel="{relation}"'
            for relation, offset in pages.items()
        ]
        return ", ".join(links) or None


def parse(
    parameters: Mapping[str, list[str]], types: Mapping[str, str], *, limit: int, max_limit: int
) -> Listing:
    """The parsed query. ``types`` are those of the fields by name. Raises ``HTTPError(400)`` for an invalid query."""
    known = (*types, *PAGING)
    for name, values in parameters.items():
        if name not in known:
            close = did_you_mean(name, known)
            raise HTTPError(
                400, f"the query has a parameter that is neither a field nor {_or(PAGING)}{close}"
            )
        if len(values) > 1:
            raise HTTPError(400, f"`{name}` is in the query more than once")
    asked = _count(parameters, "limit", limit, least=1)
    if not 0 < asked <= max_limit:
        raise HTTPError(400, f"`limit` is a whole number from 1 to {max_limit}")
    return Listing(
        equals={
            name: _value(name, types[name], values[0]) for name, values in parameters.items() if name in types
        },
        order_by=_order(parameters, types),
        limit=asked,
        offset=_count(parameters, "offset", 0, least=0),
    )


def _or(names: Iterable[str]) -> str:
    *others, last = (f"`{name}`" for name in names)
    return f"{', '.join(others)} or {last}"


def _count(parameters: Mapping[str, list[str]], name: str, default: int, *, least: int) -> int:
    if name not in parameters:
        return default
    text = parameters[name][0]
    if not _WHOLE.fullmatch(text) or not 0 <= int(text) <= _LARGEST:
        raise HTTPError(400, f"`{name}` is a whole number from {least}")
    return int(text)


def _order(parameters: Mapping[str, list[str]], types: Mapping[str, str]) -> tuple[str, ...]:
    order = tuple(filter(None, parameters.get("order_by", [""])[0].split(",")))
    names = [entry.removeprefix("-") for entry in order]
    if len(set(names)) < len(names):
        raise HTTPError(400, "`order_by` names a field twice")
    for name in names:
        if name not in types or types[name] not in _READ:
            comparable = [one for one, type_ in types.items() if type_ in _READ]
            raise HTTPError(
                400, f"`order_by` names a field that cannot be ordered{did_you_mean(name, comparable)}"
            )
    return order


def _value(name: str, type_: str, text: str) -> Any:
    read = _READ.get(type_)
    if read is None:
        raise HTTPError(400, f"`{name}` cannot be a filter: its type is {type_}")
    value = read(text)
    if value is None:
        raise HTTPError(400, f"`{name}` is of type {type_}, and the value in the query is not")
    return value


def read(type_: str, text: str) -> Any:
    """The value of a text in a comparable type, or None."""
    return _READ[type_](text)


def _whole(text: str) -> int | None:
    """A 64-bit integer in JSON form, or None."""
    value = int(text) if _WHOLE.fullmatch(text) else None
    return value if value is not None and -_LARGEST - 1 <= value <= _LARGEST else None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def _time(text: str) -> str:
    return _OFFSET.sub(r"+\1", text)  # an unencoded plus is a blank


_READ: Mapping[str, Callable[[str], Any]] = {
    "string": lambda text: text,
    "integer": _whole,
    "number": _number,
    "boolean": _boolean,
    "DateTime": _time,
}
"""How the text of a query becomes a value; types that are not here cannot be compared."""
