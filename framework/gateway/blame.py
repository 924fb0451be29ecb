"""Decides whether an error that left a script is the client's mistake or one of the definitions.

The one rule: **the client is blamed only for what it provably sent.** A refused value is searched for in the request.
A text that could not be parsed is compared with the body. Without such a proof it is a mistake of the definitions. It
goes into the log, because their author must know about it.
"""

from __future__ import annotations

import dis
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from math import isfinite
from types import CodeType, FrameType
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from framework.errors import HTTPError, ItemRefused, ValidationError
from framework.gateway.bodies import EMPTY_TEXT, NOT_JSON, decoded, too_long
from framework.gateway.calls import Call
from framework.gateway.requests import parameters
from framework.gateway.response_headers import BadAnswer
from framework.observing import trace
from framework.values.mu import MU

_BRINGS_A_BODY = ("POST", "PUT", "PATCH")
_OUT_OF_RANGE = "Out of range float values"  # the wording of Python's JSON encoder
_NOT_FINITE = "the request's body has a number that is too large, or NaN: JSON cannot carry it"
_READERS = tuple(each.__code__ for each in (json.loads, json.JSONDecoder.decode, json.JSONDecoder.raw_decode))
_OF_NAMES = ("unknown", "filter", "order")  # rules that a name breaks, whatever the value
_CONTAINERS = (dict, list, tuple)
_SCALARS = (str, int, float, bool, type(None))


# ---- texts that could not be read -----------------------------------------------------------


def unreadable(error: BaseException, call: Call) -> str | None:
    """What is wrong with the request's body if the error comes from parsing it, otherwise None."""
    if isinstance(error, UnicodeDecodeError):
        if call.body and bytes(error.object) == call.body:
            return NOT_JSON if _parsed(error) else f"the request's body is not {error.encoding} text"
        return None
    document = getattr(error, "doc", None) if isinstance(error, json.JSONDecodeError) else _parsed(error)
    if not isinstance(document, str | bytes):
        return None
    if not document:  # an empty text has no origin, unless it carries one
        return NOT_JSON if document is EMPTY_TEXT and call.scope["method"] in _BRINGS_A_BODY else None
    if not any(_stripped(document) == text for text in _texts_of_body(call)):
        return None
    if isinstance(error, json.JSONDecodeError):
        return f"{NOT_JSON}: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
    return f"{NOT_JSON}: it is nested too deeply" if isinstance(error, RecursionError) else too_long()


def _parsed(error: BaseException) -> Any:
    """The text that Python's JSON parser was reading when the error occurred, or None."""
    found = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in _READERS:
            found = step.tb_frame.f_locals.get("s")
        step = step.tb_next
    return found


def _stripped(document: str | bytes) -> str:
    text = document if isinstance(document, str) else document.decode("utf-8", "replace")
    return text.strip("\ufeff \t\r\n")


def _texts_of_body(call: Call) -> Iterator[str]:
    """The body as text, its lines, and the values of a form: what a script may parse."""
    if not call.body:
        return
    try:
        text = call.body.decode(json.detect_encoding(call.body), "surrogatepass")
    except UnicodeDecodeError:
        return
    yield _stripped(text)
    yield from map(_stripped, text.splitlines())
    for values in _form(call).values():
        yield from map(_stripped, values)


def _form(call: Call) -> dict[str, list[str]]:
    kind = dict(call.scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/x-www-form-urlencoded" or not call.body:
        return {}
    try:
        return parse_qs(call.body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return {}


# ---- values that cannot be written ----------------------------------------------------------


def unwritable(error: BaseException, call: Call) -> str | None:
    """What in the request's body cannot be part of an answer, if it caused this error, otherwise None."""
    # The cause of an answer that cannot be sent says why.
    cause = error.__context__ if isinstance(error, BadAnswer) else error
    body = _Sent(call).body if isinstance(cause, ValueError) else _NO_BODY
    if isinstance(cause, UnicodeEncodeError):
        wrong = cause.object[cause.start : cause.start + 1]
        if "\ud800" <= wrong <= "\udfff" and any(wrong in one for one in _strings_and_keys(body)):
            return f"the request's body has a lone surrogate (\\u{ord(wrong):04x}), which is not valid text"
    elif isinstance(cause, ValueError) and str(cause).startswith(_OUT_OF_RANGE):
        numbers = (one for one in _parts(body) if isinstance(one, float))
        return None if all(map(isfinite, numbers)) else _NOT_FINITE
    return None


def _strings_and_keys(value: Any) -> Iterator[str]:
    for one in _parts(value):
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from dict.keys(one)


# ---- values that were refused ---------------------------------------------------------------


def value_is_of_client(error: ValidationError, call: Call) -> bool:
    """Did the client send the value that a field refuses?"""
    frames = trace.script_frames(error)
    if call.route.definition.atom is not None and not frames and error.rule != "default":
        return True  # a generated endpoint passes the fields only what was sent
    if error.rule == "default":
        return False
    if error.rule in _OF_NAMES:
        return name_is_of_client(error, call)
    sent = _Sent(call)
    if error.rule == "required":
        return sent.lacks(error.field, unpacked=_unpacks(frames))
    if sent.has(error.field, error.value):
        return True
    if error.value is None:  # every code has it among its constants
        return sent.body is None
    return sent.holds(error.value) and not _is_written(error.value, frames)


def name_is_of_client(error: ValidationError, call: Call) -> bool:
    """Did the client send the name of the field, so that it does not come from the script?"""
    name = error.field.rpartition(".")[2]
    frames = trace.script_frames(error)
    if call.route.definition.atom is not None and not frames:
        return True
    return _Sent(call).names(name) and (_unpacks(frames) or not _is_written(name, frames))


def item_is_of_client(error: ItemRefused, call: Call) -> bool:
    """Did the client send what a FIFO refuses, or most of it?"""
    sent = _Sent(call)
    if error.refused is None:
        return sent.body is None and bool(call.body)
    if sent.holds(error.refused) and not _is_written(error.refused, trace.script_frames(error)):
        return True
    return isinstance(error.refused, _CONTAINERS) and sent.is_in(error.refused)


class _Sent:
    """The content of a request, as values that a script may have taken from it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @cached_property
    def body(self) -> Any:
        """The decoded body, or nothing that equals any value."""
        try:
            return decoded(self._call.body or b"", strict=False)
        except HTTPError:
            return _NO_BODY

    @cached_property
    def _texts(self) -> frozenset[str]:
        """Every text in the path, query, headers or form."""
        call = self._call
        texts = [*call.resources.values(), *_stored_values(call)]
        texts += [value.decode("latin-1") for _, value in call.scope["headers"]]
        texts += [unquote_plus(part) for part in call.scope["raw_path"].decode("latin-1").split("/")]
        if self.body is _NO_BODY and call.body:
            texts.append(call.body.decode("utf-8", "replace"))
        return frozenset(texts)

    @cached_property
    def _named(self) -> list[Mapping[str, Any]]:
        """The mappings of a request: those in its body, its parameters, its form, its variables."""
        found: list[Mapping[str, Any]] = [one for one in _parts(self.body) if isinstance(one, Mapping)]
        others: tuple[Mapping[str, Any], ...] = (
            _query(self._call),
            _form(self._call),
            self._call.resources,
        )
        return [*found, *(one for one in others if one)]

    def holds(self, value: Any) -> bool:
        """Is the value, or the text from which it was made, in the request?"""
        if isinstance(value, str) and value in self._texts:
            return True
        if type(value) in (int, float) and str(value) in self._texts:
            return True
        if isinstance(value, _CONTAINERS):
            text = _written_out(value)
            return text is not None and text in self._body_text
        return any(_same(one, value) for one in _parts(self.body))

    def is_in(self, value: Any) -> bool:
        """Does the value hold the whole body, decoded or as text?"""
        if isinstance(self.body, _CONTAINERS):
            return bool(self._body_text) and self._body_text in (_written_out(value) or "")
        return any(_same(one, self.body) or one in self._texts_of_body for one in _strings(value))

    @cached_property
    def _body_text(self) -> str:
        return _written_out(self.body) or ""

    @cached_property
    def _texts_of_body(self) -> frozenset[str]:
        return frozenset((self._call.body.decode("utf-8", "replace"),) if self._call.body else ())

    def has(self, path: str, value: Any) -> bool:
        """Does the request have the value under the name of the field?"""
        *above, name = _steps(path)
        return any(_has(one, name) and _is_or_says(one[name], value) for one in self._at(above))

    def lacks(self, path: str, *, unpacked: bool) -> bool:
        """Does the request have a mapping for the instance, without the field?"""
        *above, name = _steps(path)
        if not above and not unpacked:
            return False  # the script passes its arguments by name
        return any(isinstance(one, Mapping) and name not in one for one in self._at(above))

    def names(self, name: str) -> bool:
        """Does the request use this name?"""
        if any(name in one for one in self._named):
            return True
        texts = (*self._texts, *_strings(self.body))
        return any(name == part.strip(" -+") for text in texts for part in text.split(","))

    def _at(self, steps: list[str | int]) -> Iterator[Any]:
        """The values at these steps, from each mapping."""
        for found in self._named:
            one: Any = found
            for step in steps:
                if not _has(one, step):
                    break
                one = one[step]
            else:
                yield one


_NO_BODY = object()


def _query(call: Call) -> dict[str, list[str]]:
    try:
        return parameters(call.scope["query_string"])
    except HTTPError:
        return {}


def _stored_values(call: Call) -> Iterator[str]:
    for named in (_query(call), _form(call)):
        for values in named.values():
            yield from values


def _has(one: Any, step: str | int) -> bool:
    if isinstance(step, str):
        return isinstance(one, Mapping) and step in one
    return isinstance(one, list) and step < len(one)


def _steps(path: str) -> list[str | int]:
    """``guests[2].name`` as the steps to it."""
    steps: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            steps.append(int(part[1:-1]))
        elif part:
            steps.append(part)
    return steps


def _parts(value: Any) -> Iterator[Any]:
    """A JSON value and everything in it."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping | list | tuple):
            if id(one) in seen:
                continue
            seen.add(id(one))
        yield one
        if isinstance(one, Mapping):
            waiting.extend(dict.values(one) if isinstance(one, dict) else one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)


def _strings(value: Any) -> Iterator[str]:
    return (one for one in _parts(value) if isinstance(one, str))


def _same(one: Any, other: Any) -> bool:
    """Equality with equal types: 1 is not true. Containers are compared by their text, which runs no foreign code."""
    if isinstance(one, _CONTAINERS):
        return isinstance(other, _CONTAINERS) and _written_out(one) == _written_out(other) is not None
    if type(one) is not type(other) or not isinstance(one, _SCALARS):
        return False
    return bool(one == other) or (one != one and other != other)  # NaN is NaN


def _written_out(value: Any) -> str | None:
    """A JSON value as text with sorted keys, or None for another value."""
    try:
        return json.dumps(value.dictionary if isinstance(value, MU) else value)
    except (TypeError, ValueError, AttributeError, RecursionError):
        return None


def _is_or_says(one: Any, value: Any) -> bool:
    """The value itself, or the text of a list of texts, such as a parameter, or the number of a text."""
    if _same(one, value):
        return True
    first = one[0] if isinstance(one, list) and len(one) == 1 else one
    return isinstance(first, str) and type(value) in (str, int, float) and first == str(value)


# ---- what the definitions say themselves ----------------------------------------------------

Frames = list[tuple[FrameType, int]]


def _is_written(value: Any, frames: Frames) -> bool:
    """Does the running code have the value among its own constants or names?"""
    if not isinstance(value, _SCALARS):
        return False
    return any(_same(one, value) for frame, _ in frames for one in _constants(frame.f_code))


def _constants(code: CodeType) -> Iterator[Any]:
    yield from code.co_names
    waiting = list(code.co_consts)
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple | frozenset):
            waiting.extend(one)
        elif isinstance(one, CodeType):
            waiting.extend((*one.co_consts, one.co_names))
        else:
            yield one


def _unpacks(frames: Frames) -> bool:
    """Did the failed call use ``**``, so that the names of its arguments are data?"""
    if not frames:
        return False
    frame, last = frames[-1]
    positions = list(frame.f_code.co_positions())
    failed = positions[last // 2]
    return any(
        one.opname == "CALL_FUNCTION_EX" and _within(positions[one.offset // 2], failed)
        for one in dis.get_instructions(frame.f_code)
    )


def _within(place: Any, around: Any) -> bool:
    """Does a span of the source lie in another? Each is its lines and columns: first, last, first, last."""
    if None in place or None in around:
        return False
    (line, last, column, end), (first, final, left, right) = place, around
    return (first, left) <= (line, column) and (last, end) <= (final, right)
