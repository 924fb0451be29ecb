"""Every key of every kind reaches its definition, with the documented defaults."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import Backoff, Checked, FifoPolicy, Location, Target, check


def checked(folder: Path, text: str, **options: Any) -> Checked:
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    found = check(folder, **options)
    assert found.problems == ()
    return found


def test_an_atom(tmp_path: Path) -> None:
    text = (
        "name: Base\nattributes: {}\n---\n"
        "name: Order\ncategory: example\npersistence: false\nabstract: true\nextends: [Base]\n"
        "attributes:\n"
        "  identifier: {field_name: id, field_type: integer}\n"
        "  local_fields: [{field_name: a, field_type: array<MU>}]\n"
        "  ref_fields:\n"
        "  - {field_name: b, field_type: array<AxisAtom.Base>, ref_class: Base, ref_class_field: instance,\n"
        "     field_persistence: false, field_unique: true, field_metadata: {d: 1}, field_dbtype: e, field_length: 2}\n"
        "methods:\n"
        "  class_methods:\n"
        "  - method_body: |\n"
        "      async def total(cls):\n"
        "          return cls\n"
        "  instance_methods:\n"
        "  - {method_body: 'def f(self): return self', propagation_mode: true, topdown: false, auto_rollback: false,\n"
        "     multiplexable_number: 3, field_order: descend, timeout: 1.5}\n"
    )
    base, order = checked(tmp_path, text).definitions.atoms
    assert (base.persistent, base.abstract, base.api, base.identifier) == (True, False, None, None)
    assert (base.extends, base.fields, base.references, base.class_methods, base.instance_methods) == (
        (),
    ) * 5
    assert (order.category, order.persistent, order.abstract, order.extends) == (
        "example",
        False,
        True,
        ("Base",),
    )
    assert order.location == Location(f"{tmp_path}/a.yaml", 4, 7)
    assert order.identifier is not None
    assert dataclasses.replace(order.identifier).nullable is False
    assert (order.identifier.immutable, order.identifier.persistent, order.identifier.unique) == (
        True,
        True,
        False,
    )
    assert (order.fields[0].type.base, order.fields[0].nullable, order.fields[0].immutable) == (
        "array<MU>",
        True,
        False,
    )
    reference = order.references[0]
    assert (reference.name, reference.type.base, reference.type.reference) == (
        "b",
        "array<reference>",
        "Base",
    )
    assert (reference.ref_class, reference.ref_class_field, reference.persistent) == (
        "Base",
        "instance",
        False,
    )
    assert (reference.unique, reference.metadata, reference.dbtype, reference.length) == (
        True,
        {"d": 1},
        "e",
        2,
    )
    total, f = order.class_methods[0], order.instance_methods[0]
    assert (total.name, total.is_async, total.topdown, total.auto_rollback) == ("total", True, True, True)
    assert (total.propagation_mode, total.multiplexable_number, total.field_order) == (False, 1, "ascend")
    assert (f.propagation_mode, f.topdown, f.auto_rollback, f.timeout) == (True, False, False, 1.5)
    assert (f.multiplexable_number, f.field_order, f.is_async) == (3, "descend", False)
    assert (total.owner, total.kind, f.owner, f.kind) == ("Order", "class", "Order", "instance")
    assert asyncio.run(total.script.members({})["total"](1)) == 1
    assert f.script.members({})["f"](2) == 2


def test_generated_endpoints_are_a_route(tmp_path: Path) -> None:
    text = (
        "name: Order\napi_generation: true\napi_auto_response: false\nscope: internal\n"
        "api: {path: /v1/orders, auth_mode: none, methods: [PUT, GET], limit: 5, max_limit: 6}\nattributes: {}\n"
        "---\nname: Plain\napi_generation: true\nattributes: {}\n"
    )
    found = checked(tmp_path, text).definitions
    order, plain = (atom.api for atom in found.atoms)
    assert order is not None
    assert plain is not None
    assert (order.path, order.auth_mode, order.methods) == ("/v1/orders", "none", ("GET", "PUT"))
    assert (order.limit, order.max_limit, order.answers, order.inside) == (5, 6, False, True)
    assert (plain.path, plain.auth_mode, plain.answers, plain.inside) == ("/Plain", "axis", True, False)
    assert (plain.methods, plain.limit, plain.max_limit) == (
        ("GET", "POST", "PUT", "PATCH", "DELETE"),
        100,
        1000,
    )
    assert [(route.path, route.atom, route.auth_mode, route.transaction) for route in found.routes] == [
        ("/v1/orders/{id}", "Order", "none", True),
        ("/Plain/{id}", "Plain", "axis", True),
    ]


def test_a_route(tmp_path: Path) -> None:
    text = (
        "domain: example\n"
        "proxy: {authorization: {auth_mode: none}, path: '/a/{b}', scheme: 'https:'}\n"
        "target: {path: '/c/{b}', scheme: 'https:', authorities: ['${HOST}:8443', 'http://${OTHER:-d}:80/']}\n"
        "connect_timeout: ${CONNECT}\nrequest_timeout: 1\ntransaction: true\n"
        "request_forbidden_process: |\n  return '${HOST}'\n"
    )
    found = checked(tmp_path, text, environ={"HOST": "example.com", "CONNECT": "2.5", "OTHER": ""})
    route = found.definitions.routes[0]
    assert (route.domain, route.path, route.scheme, route.auth_mode) == (
        "example",
        "/a/{b}",
        "https:",
        "none",
    )
    assert route.target == Target("/c/{b}", "https:", ("https://example.com:8443", "http://d:80"))
    assert (route.connect_timeout, route.request_timeout, route.transaction) == (2.5, 1.0, True)
    assert route.request_script is not None
    assert asyncio.run(route.request_script.function({})(*[None] * 6))[1] == "${HOST}"
    text = "proxy: {authorization: {auth_mode: axis}, path: /a}\nauthorities: ['http://e']\n"
    route = checked(tmp_path, text).definitions.routes[0]
    assert (route.auth_mode, route.target) == ("axis", Target(None, None, ("http://e",)))
    assert (route.connect_timeout, route.request_timeout, route.transaction) == (60.0, 60.0, False)
    assert (route.domain, route.scheme, route.request_script, route.response_script) == (None,) * 4


def test_a_worker(tmp_path: Path) -> None:
    script = "def helper(): pass\n  async def other(x): pass\n  async def consume(): return 1"
    worker = checked(
        tmp_path, f"name: W\nmode: multi\ncategory: c\nscript: |\n  {script}\n"
    ).definitions.workers[0]
    assert (worker.name, worker.mode, worker.category, worker.function) == ("W", "multi", "c", "consume")
    scope: dict[str, Any] = {}
    worker.script.run(scope)
    assert asyncio.run(scope["consume"]()) == 1
    script = "async def other(x): pass\n  async def work(y=1, *z, a=2, **b): pass"
    worker = checked(tmp_path, f"name: W\nmode: single\nscript: |\n  {script}\n").definitions.workers[0]
    assert (worker.mode, worker.category, worker.function) == ("single", None, "work")


def test_a_fifo_policy(tmp_path: Path) -> None:
    policy = checked(tmp_path, "fifo: a\n").definitions.fifos[0]
    assert policy == FifoPolicy("a", Location(f"{tmp_path}/a.yaml", 1, 7))
    assert (policy.max_attempts, policy.max_crashes, policy.on_exhausted) == (5, 5, "dead_letter")
    assert (policy.backoff, policy.timeout, policy.slow_after) == (Backoff(0.5, 2.0, 60.0), None, 60.0)
    assert (policy.max_length, policy.max_item_bytes, policy.key_window) == (None, 1048576, 300.0)
    text = (
        "fifo: b\nmax_attempts: 1\nmax_crashes: 2\nbackoff: {initial: 3, factor: 4.5}\non_exhausted: hold\n"
        "timeout: 6\nslow_after: 7\nmax_length: 8\nmax_item_bytes: 9\nkey_window: 0\n"
    )
    policy = checked(tmp_path, text).definitions.fifos[0]
    assert policy == FifoPolicy(
        "b", policy.location, 1, 2, Backoff(3.0, 4.5, 60.0), "hold", 6.0, 7.0, 8, 9, 0.0
    )


def test_a_module_and_a_role(tmp_path: Path) -> None:
    text = "name: m\ncode: |\n  x = 1\n---\nname: r\nauthorities: [{regex: '/v1/.*', methods: [GET, POST]}]\n"
    found = checked(tmp_path, text).definitions
    scope: dict[str, Any] = {}
    found.modules[0].script.run(scope)
    assert (found.modules[0].name, scope["x"]) == ("m", 1)
    right = found.roles[0].authorities[0]
    assert (found.roles[0].name, right.methods) == ("r", ("GET", "POST"))
    assert right.regex.match("/v1/orders")


def test_definitions_are_frozen(tmp_path: Path) -> None:
    found = checked(tmp_path, "fifo: a\n").definitions
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.fifos[0].max_attempts = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("/a", "/a", True),
        ("/a/{b}", "/a/{c}", True),
        ("/a/{b}/c", "/a/{x}/c", True),
        ("/a/{b}", "/a", False),
        ("/a/{b}", "/a/b", False),
        ("/a/{b}/{c}", "/a/{b}", False),
    ],
)
def test_two_routes_take_the_same_path_if_only_names_differ(
    one: str, two: str, same: bool, tmp_path: Path
) -> None:
    entry = "- proxy: {{authorization: {{auth_mode: axis}}, path: '{}'}}\n  authorities: [http://h]\n"
    (tmp_path / "a.yaml").write_text(entry.format(one) + entry.format(two))
    assert [problem.code for problem in check(tmp_path).problems] == (["duplicate-path"] if same else [])


def test_every_mistake_of_a_definition_is_told_in_one_run(tmp_path: Path) -> None:
    text = (
        "name: Order\npersistance: true\nabstract: 1\nattributes:\n  identifier: {field_name: id}\n"
        "  local_fields:\n  - {field_name: a, field_type: strng}\n"
        "  - {field_name: b, field_type: integer, field_default: x y}\n"
        "  - {field_name: b, field_type: <AxisAtom.Nothing>}\n"
        "methods:\n  class_methods:\n  - {method_body: 'def f(cls): return wrong'}\n  - {method_body: 'def ('}\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    assert [(problem.location.line, problem.code) for problem in check(tmp_path).problems] == [
        (2, "unknown-key"),
        (3, "wrong-type"),
        (5, "missing-key"),
        (7, "wrong-value"),
        (8, "default"),
        (9, "duplicate-field"),
        (9, "no-such-class"),
        (12, "unseen-name"),
        (13, "script-syntax"),
    ]


def test_a_key_without_a_value_is_absent_but_an_unknown_one_is_told(tmp_path: Path) -> None:
    text = "name: X\nscope:\nextends: ~\nx-note:\nattributes:\n"
    text += "  identifier: null\n  local_fields:\n  nothing:\nother:\n"
    (tmp_path / "a.yaml").write_text(text)
    assert [(problem.location.line, problem.code) for problem in check(tmp_path).problems] == [
        (8, "unknown-key"),
        (9, "unknown-key"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'name: "X\\n"\nattributes: {}\n',
        'name: X\nattributes: {local_fields: [{field_name: a, field_type: "string\\n"}]}\n',
        'name: X\nattributes: {identifier: {field_name: a, field_type: "string\\n"}}\n',
        'name: X\nattributes: {local_fields: [{field_name: "a\\n", field_type: string}]}\n',
        'name: "m\\n"\ncode: x = 1\n',
    ],
)
def test_a_name_does_not_end_in_a_line_break(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert len(check(tmp_path).errors) == 1
