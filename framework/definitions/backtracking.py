"""Regular expressions whose matching may take forever, because each further character doubles the time.

The one rule: **report only what is certain.** A repetition whose rounds may consist of another repetition alone, as
in `(a+)+` or `([a-z]+-?)*`, can split one text into rounds in exponentially many ways, and tries them all when the
end does not match. Other slow expressions exist and are not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as kinds  # type: ignore[attr-defined]  # there is no public parser
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_LONGEST = 4096  # longer expressions are not examined, so that no check takes long
_MANY = 16  # rounds that make a repetition a long one
_REPEATS = (kinds.MAX_REPEAT, kinds.MIN_REPEAT)  # a possessive repetition never backtracks


def repeats_a_repetition(pattern: str) -> bool:
    """Does a long repetition of this expression repeat another one that nothing separates?"""
    if len(pattern) > _LONGEST:
        return False
    try:
        return any(_may_be_a_repetition(body) for body in _rounds(parser.parse(pattern, re.ASCII)))
    except RecursionError:  # nested too deeply to follow
        return False


def _rounds(parsed: Any) -> Iterator[Any]:
    """What each long repetition of an expression repeats."""
    for operation, argument in parsed:
        if operation in _REPEATS and argument[1] >= _MANY:
            yield argument[2]
        for part in _parts(argument):
            yield from _rounds(part)


def _parts(argument: Any) -> Iterator[Any]:
    """The expressions inside an operation."""
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _parts(part)


def _may_be_a_repetition(body: Any) -> bool:
    """Can the whole of this match as one long repetition, with everything else empty?"""
    items = [body[number : number + 1] for number in range(len(body))]
    needed = [item for item in items if item.getwidth()[0] > 0]
    return len(needed) < 2 and any(_is_repetition(*item[0]) for item in needed or items)


def _is_repetition(operation: Any, argument: Any) -> bool:
    if operation in _REPEATS and argument[1] >= _MANY:
        return bool(argument[2].getwidth()[1] > 0)
    inside = (kinds.SUBPATTERN, kinds.BRANCH)
    return operation in inside and any(map(_may_be_a_repetition, _parts(argument)))
