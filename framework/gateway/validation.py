"""Validation of requests by the schemas of their route. All violations are reported before a script runs.

The rule: an answer says where the violation is and which rule it breaks, in the terms of the schema. It never repeats
a value that the client sent, and for headers not even the expected value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from framework.definitions import RequestSchemas
from framework.definitions.validation import Schema, compiled
from framework.errors import HTTPError
from framework.gateway.bodies import decoded
from framework.gateway.responses import Response, problem
from framework.gateway.texts import Offer, Texts

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

    from framework.gateway.requests import Request

MOST_TOLD = 50  # violations in one answer

# Finding all violations takes time in proportion to their number, and blocks the server. In a larger body only the
# first one is reported.
LARGEST_TOLD_WHOLE = 16 * 1024  # bytes

_BRINGS_A_BODY = frozenset({"POST", "PUT", "PATCH"})
_LONGEST_NAME = 200

Violation = dict[str, str]


class Validation:
    """The compiled schemas of one route. Immutable, and shared by all its requests."""

    def __init__(self, schemas: RequestSchemas) -> None:
        self._body = None if schemas.body is None else _Section("body", schemas.body)
        self._parameters = _texts("parameters", schemas.parameters)
        self._headers = _texts("headers", schemas.headers)
        self._resources = _texts("resources", schemas.resources)

    @property
    def needs_body(self) -> bool:
        """Must the body be held in memory?"""
        return self._body is not None

    def refusal(self, request: Request, resources: Mapping[str, str], parameters: Texts) -> Response | None:
        """The answer to an invalid request, or None for a valid one.

        422 with the violations, or ``HTTPError(400)`` for a body that is not JSON.
        """
        try:
            failed = [
                (section, value)
                for section, value in self._parts(request, resources, parameters)
                if not section.validator.is_valid(value)
            ]
            if not failed:
                return None
            large = bool(request.body) and len(request.body) > LARGEST_TOLD_WHOLE
            found = (
                section.violations(value, whole=not (large and section is self._body))
                for section, value in failed
            )
            told = list(islice(chain.from_iterable(found), MOST_TOLD + 1))
        except UnicodeEncodeError:  # of the validator, which accepts only what UTF-8 can carry
            raise HTTPError(400, "the request's body has a lone surrogate, which is not valid text") from None
        message = "the request does not match the schema of this route"
        if len(told) > MOST_TOLD:
            message += f"; these are the first {MOST_TOLD} violations"
        return problem(422, message, violations=told[:MOST_TOLD])

    def _parts(
        self, request: Request, resources: Mapping[str, str], parameters: Texts
    ) -> Iterator[tuple[_Section, Any]]:
        """Each part of the request that has a schema, in the form for the schema."""
        if self._resources is not None:
            yield self._resources, self._resources.offer({name: [text] for name, text in resources.items()})
        if self._parameters is not None:
            yield self._parameters, self._parameters.offer(parameters)
        if self._headers is not None:
            yield self._headers, self._headers.offer(_by_name(request.headers.raw))
        if self._body is not None and (request.body or request.method in _BRINGS_A_BODY):
            yield self._body, decoded(request.body)


class _Section:
    """One schema, and the part of a request that it validates."""

    def __init__(self, name: str, schema: Schema) -> None:
        self._name = name
        self.validator: Validator = compiled(schema)
        # The error of a branch holds all errors of all its branches, so that there is no first one to be had.
        self._has_branches = bool(re.search(r'"(anyOf|oneOf)":', json.dumps(schema, default=str)))

    def violations(self, value: Any, *, whole: bool = True) -> Iterator[Violation]:
        """The violations in the value: all of them, or without ``whole`` only one."""
        if not whole and self._has_branches:
            yield self._violation((), "schema", "does not fit; details are left out for a body this large")
            return
        errors = self.validator.iter_errors(value) if whole else _first(self.validator, value)
        for error in errors:
            for name, rule, detail in _told(error, private=self._name == "headers"):
                yield self._violation((*error.instance_path, *name), rule, detail)

    def _violation(self, path: Iterable[str | int], rule: str, detail: str) -> Violation:
        return {"in": self._name, "pointer": _pointer(path), "rule": rule, "detail": detail}


def _first(validator: Validator, value: Any) -> Iterator[ValidationError]:
    from jsonschema_rs import ValidationError

    try:
        validator.validate(value)
    except ValidationError as error:
        yield error


def _pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901). An extremely long name is cut."""
    steps = (str(step)[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)


# ---- the words ------------------------------------------------------------------------------

_LIMITS = {
    "minimum": "must be at least {}",
    "exclusiveMinimum": "must be more than {}",
    "maximum": "must be at most {}",
    "exclusiveMaximum": "must be less than {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} members",
    "maxProperties": "must have at most {} members",
}
_PLAIN = {
    "anyOf": "does not match any of the allowed forms",
    "oneOf": "must fit exactly one of the forms that it may have",
    "not": "has the one form that it must not have",
    "contains": "has too few or too many items of the form that is asked for",
    "uniqueItems": "must not have the same item twice",
    "falseSchema": "must not be there",
    "propertyNames": "has a member whose name is not allowed",
}
_LONGEST_LIST = 300


def _told(error: ValidationError, *, private: bool) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each violation of an error: the name that extends its path, the rule, and its requirement."""
    kind: Any = error.kind
    rule: str = kind.name
    if rule in ("additionalProperties", "unevaluatedProperties"):
        for name in kind.unexpected[: MOST_TOLD + 1]:
            yield (name,), rule, "is not known here"
    elif rule == "required":
        yield (kind.property,), rule, "is missing"
    else:
        yield (), rule, _detail(rule, kind, private=private)


def _detail(rule: str, kind: Any, *, private: bool) -> str:
    if rule == "type":
        return f"must be {_alternatives(kind.types)}"
    if rule in _LIMITS:
        return _LIMITS[rule].format(kind.limit)
    if rule == "multipleOf":
        return f"must be a multiple of {kind.multiple_of}"
    if rule == "format":
        return f"must have the format {kind.format}"
    if not private:  # the expected value of a header may be a shared secret
        if rule == "enum":
            return f"must be {_alternatives([json.dumps(option) for option in kind.options])}"
        if rule == "const":
            return f"must be {json.dumps(kind.expected_value)}"[:_LONGEST_LIST]
        if rule == "pattern" and hasattr(kind, "pattern"):
            return f"must match {kind.pattern}"[:_LONGEST_LIST]
    return _PLAIN.get(rule, "is not what is asked for")


def _alternatives(words: list[str]) -> str:
    listed = " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
    return listed if len(listed) <= _LONGEST_LIST else listed[:_LONGEST_LIST] + " ..."


# ---- what comes as text ---------------------------------------------------------------------


class _Texts(_Section):
    """A schema for named texts. ``offer`` converts them."""

    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(name, schema)
        self.offer = Offer(schema, joined=name == "headers")


def _texts(name: str, schema: Schema | None) -> _Texts | None:
    return None if schema is None else _Texts(name, schema)


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
