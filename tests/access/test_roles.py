"""Roles: rights add up, and match the decoded path from its start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.access.roles import Roles, recorded
from framework.definitions import check

ROLES = r"""
- name: reader
  authorities:
  - {regex: /v1/orders, methods: [GET, HEAD]}
- name: writer
  authorities:
  - {regex: '/v1/orders$', methods: [POST]}
  - {regex: '/v1/orders/\d+$', methods: [PUT, DELETE]}
- name: abroad
  authorities:
  - {regex: '/v1/straßen/[^/]+/öl', methods: [GET]}
- name: nothing
  authorities: []
"""


@pytest.fixture
def roles(tmp_path: Path) -> Roles:
    (tmp_path / "roles.yaml").write_text(ROLES, encoding="utf-8")
    checked = check(tmp_path)
    assert not checked.problems, checked.problems
    return Roles(checked.definitions.roles)


@pytest.mark.parametrize(
    ("names", "method", "path", "allowed"),
    [
        (("reader",), "GET", "/v1/orders", True),
        (("reader",), "GET", "/v1/orders/7", True),
        (("reader",), "GET", "/v1/ordersome", True),  # from the start, not to the end: as re.match does
        (("reader",), "GET", "/x/v1/orders", False),
        (("reader",), "POST", "/v1/orders", False),
        (("reader",), "get", "/v1/orders", False),
        (("reader",), "OPTIONS", "/v1/orders", False),
        (("writer",), "POST", "/v1/orders", True),
        (("writer",), "POST", "/v1/orders/", False),
        (("writer",), "PUT", "/v1/orders/12", True),
        (("writer",), "GET", "/v1/orders/12", False),
        (("writer",), "PUT", "/v1/orders/\u0661\u0662", False),  # digits, but none of ASCII
        (("writer",), "PUT", "/v1/orders/\uff11", False),
        (("reader", "writer"), "GET", "/v1/orders", True),
        (("writer", "reader"), "DELETE", "/v1/orders/1", True),
        (("abroad",), "GET", "/v1/straßen/1/öl", True),
        (("nothing",), "GET", "/v1/orders", False),
        (("gone",), "GET", "/v1/orders", False),
        (("gone", "reader"), "GET", "/v1/orders", True),
        ((), "GET", "/v1/orders", False),
    ],
)
def test_a_call_is_allowed_by_one_right_of_one_role(
    roles: Roles, names: tuple[str, ...], method: str, path: str, allowed: bool
) -> None:
    assert roles.rights(names).allow(method, path) is allowed


@pytest.mark.parametrize(
    ("regex", "variables"),
    [
        ("/orders/{orderId}$", ["`{orderId}`"]),
        ("/orders/{orderId}/items/{itemId}", ["`{orderId}`"]),  # one warning for a regular expression
        (r"/orders/\d{2,3}/x{2}", []),
        (r"/orders/\{orderId\}", []),
        ("/orders/{}/{,3}", []),
    ],
)
def test_a_variable_of_a_path_template_in_a_regular_expression_is_warned_of(
    tmp_path: Path, regex: str, variables: list[str]
) -> None:
    text = f"name: r\nauthorities:\n- regex: '{regex}'\n  methods: [GET]\n"
    (tmp_path / "role.yaml").write_text(text, encoding="utf-8")
    found = check(tmp_path).problems
    assert [problem.message.split(" has ")[1].split(",")[0] for problem in found] == variables
    assert all(problem.severity == "warning" and problem.code == "regex-variable" for problem in found)
    for problem in found:
        assert problem.hint is not None
        assert "[^/]+" in problem.hint
        assert "{" not in problem.hint


def test_a_flag_that_contradicts_ascii_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    text = "name: r\nauthorities:\n- regex: '(?u)/orders'\n  methods: [GET]\n"
    (tmp_path / "role.yaml").write_text(text, encoding="utf-8")
    [problem] = check(tmp_path).problems
    assert (problem.code, problem.severity, problem.location.line) == ("regex", "error", 3)


def test_the_rights_of_a_combination_are_made_once_and_no_more_are_kept_than_some(roles: Roles) -> None:
    assert roles.rights(("reader",)) is roles.rights(("reader",))
    for number in range(3000):
        roles.rights((f"role-{number}",))
        assert 1 <= len(roles._rights) <= 1024


def test_a_role_is_recorded_as_it_was_written(roles: Roles) -> None:
    assert {role.name: recorded(role) for role in roles}["writer"] == [
        {"regex": "/v1/orders$", "methods": ["POST"]},
        {"regex": r"/v1/orders/\d+$", "methods": ["PUT", "DELETE"]},
    ]


SLOW = [
    r"(a+)+$",
    r"/(\w+\s?)*$",
    r"(a*)*",
    r"(a|b+)+",
    r"/?(/?[^/]+)*x",
    r"((a+))+",
    r"(?:a+?)+?",
    r"(a{1,99}){1,99}",
]
FAST = [
    r"(/[^/]+)*$",
    r"/teas(/|$)",
    r".*",
    r"(a+){2,5}",
    r"(/\w+(\.\w+)*)*$",
    r"(a*b)*",
    r"/(a|b)*",
    r"(?=a+)+b",
]


@pytest.mark.parametrize("regex", [*SLOW, *FAST])
def test_a_repetition_of_a_repetition_is_warned_of(tmp_path: Path, regex: str) -> None:
    """One path of 30 characters, from anybody who may call, and nobody else is served."""
    right = json.dumps({"regex": regex, "methods": ["GET"]})
    (tmp_path / "role.yaml").write_text(f"name: reader\nauthorities: [{right}]\n", "utf-8")
    found = [(problem.severity, problem.code) for problem in check(tmp_path).problems]
    assert found == ([("warning", "regex-slow")] if regex in SLOW else [])
