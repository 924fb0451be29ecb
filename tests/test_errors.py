"""The tree of errors, and the messages that reach people."""

from __future__ import annotations

import inspect
import re

import pytest

from framework import errors
from framework.errors import Duplicate, Error, FrameworkError, Gone, HTTPError, Retry, ValidationError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException)
}


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+)\b", line)
        if not found:
            continue
        depth = len(found[1]) // 4 + ("── " in line)
        path[depth:] = [found[2]]
        drawn[found[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: value.__bases__[0].__name__ for name, value in CLASSES.items()}


def test_every_error_is_one_of_the_framework_with_a_docstring_of_its_own() -> None:
    for name, value in CLASSES.items():
        assert issubclass(value, FrameworkError), name
        assert value.__dict__.get("__doc__"), name


def test_a_validation_error_names_class_field_value_and_rule() -> None:
    error = ValidationError("Order", "status", 7, "enum", "must be 'a', not 7")
    assert str(error) == "Order.status: must be 'a', not 7"
    assert (error.class_name, error.field, error.value, error.rule) == ("Order", "status", 7, "enum")
    assert error.problem == "must be 'a', not 7"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (HTTPError(405, reason="Method not allowed"), 405, "Method not allowed"),
        (HTTPError(404), 404, "Not Found"),
        (HTTPError(), 500, "Internal Server Error"),
        (HTTPError(599), 599, "Error"),
        (HTTPError(400, ""), 400, ""),
        (Error(404, "gone", body={"a": 1}, moreInfo="https://x"), 404, "gone"),
    ],
)
def test_an_http_error_has_a_code_and_a_reason(error: HTTPError, code: int, reason: str) -> None:
    assert (error.code, error.reason, str(error)) == (code, reason, f"{code} {reason}")


def test_an_error_brings_a_body_and_more_information() -> None:
    error = Error(404, "gone", body={"a": 1}, moreInfo="https://x")
    assert (error.body, error.moreInfo) == ({"a": 1}, "https://x")
    assert (Error(404).body, Error(404).moreInfo) == (None, None)


@pytest.mark.parametrize("code", [200, 399, 600, 0, -1, True, "404", 404.0, None])
def test_an_http_error_takes_statuses_of_errors_only(code: object) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        HTTPError(code)  # type: ignore[arg-type]


def test_duplicate_and_gone_say_what_and_where() -> None:
    assert str(Duplicate("Order", ("a", "b"))) == "Order: a row with the same a, b exists already"
    assert str(Duplicate("Order")) == "Order: a row exists already"
    assert str(Gone("Order", "7")) == "Order: the row '7' is gone"
    assert str(Gone("Order")) == "Order: the row is gone"


def test_retry_may_say_when() -> None:
    assert Retry(after=60).after == 60
    assert Retry("why").after is None
    assert str(Retry("why", after=1)) == "why"
