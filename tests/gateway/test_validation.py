"""Requests held against their route's schemas: all that does not fit is told, and nothing that was sent."""

from __future__ import annotations

import json
import time
from textwrap import indent
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.definitions import RequestSchemas
from framework.gateway import validation
from framework.gateway.requests import Request
from framework.gateway.texts import Offer
from framework.gateway.validation import Validation

from .client import THING, Answer, Client
from .conftest import Serving

pytestmark = pytest.mark.anyio

ORDERS = """
- proxy:
    path: /orders/{orderId}
    authorization: {auth_mode: none}
  validation:
    body:
      $defs:
        amount: {type: integer, minimum: 1}
      type: object
      properties:
        name: {type: string, minLength: 2, pattern: '^[a-z]+$'}
        amount: {$ref: '#/$defs/amount'}
        size: {enum: [small, large]}
        when: {type: string, format: date-time}
        tags: {type: array, items: {type: string}, uniqueItems: true}
        a/b~c: {type: integer}
      required: [name]
      additionalProperties: false
    parameters:
      properties:
        limit: {type: integer, minimum: 1, maximum: 100}
        price: {type: number}
        deep: {type: boolean}
        tag: {type: array, items: {type: integer}}
        text: {type: string}
        both: {anyOf: [{type: integer}, {type: 'null'}]}
        one: {enum: [1, 2]}
      additionalProperties: false
    headers:
      properties:
        X-Size: {type: integer}
        X-Secret: {const: hush-hush}
        X-Kind: {enum: [hidden-one, hidden-two]}
        X-Form: {pattern: '^hidden-form$'}
      required: [X-Size]
    resources:
      properties: {orderId: {type: integer, minimum: 1}}
  request_forbidden_process: |
    return 200, [parameters, resources]
"""
FINE = {"X-Size": "3"}


async def post(client: Client, body: Any, target: str = "/orders/7", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(target, content, headers=FINE | headers)


def violations(answer: Answer) -> list[tuple[str, str, str]]:
    assert answer.code == 422, answer
    return [(one["in"], one["pointer"], one["rule"]) for one in answer.problem()["violations"]]


async def test_what_fits_goes_to_the_script_as_it_was_sent(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        answer = await post(
            client,
            {"name": "tea", "amount": 2, "size": "small", "when": "2026-01-31T10:00:00Z", "tags": ["a", "b"]},
            "/orders/7?limit=10&deep=true&tag=1&tag=2&text=007&price=1.5&both=&one=2",
        )
        assert answer.code == 200
        assert answer.json()[0]["limit"] == ["10"], "a script sees text, whatever the schema makes of it"
        assert answer.json()[1] == {"orderId": "7"}


@pytest.mark.parametrize(
    ("body", "pointer", "rule", "detail"),
    [
        ({}, "/name", "required", "is missing"),
        ([], "", "type", "must be object"),
        ({"name": "t"}, "/name", "minLength", "must have at least 2 characters"),
        ({"name": "TEA"}, "/name", "pattern", "must match ^[a-z]+$"),
        ({"name": 7}, "/name", "type", "must be string"),
        ({"name": "tea", "amount": 0}, "/amount", "minimum", "must be at least 1"),
        ({"name": "tea", "amount": True}, "/amount", "type", "must be integer"),
        ({"name": "tea", "amount": 1.5}, "/amount", "type", "must be integer"),
        ({"name": "tea", "size": "huge"}, "/size", "enum", 'must be "small" or "large"'),
        ({"name": "tea", "when": "today"}, "/when", "format", "must have the format date-time"),
        ({"name": "tea", "tags": ["a", 1]}, "/tags/1", "type", "must be string"),
        ({"name": "tea", "tags": ["a", "a"]}, "/tags", "uniqueItems", "must not have the same item twice"),
        ({"name": "tea", "colour": 1}, "/colour", "additionalProperties", "is not known here"),
        ({"name": "tea", "a/b~c": "x"}, "/a~1b~0c", "type", "must be integer"),
    ],
)
async def test_each_violation_of_the_body_has_its_place_and_rule(
    serving: Serving, body: Any, pointer: str, rule: str, detail: str
) -> None:
    async with serving(ORDERS) as client:
        answer = await post(client, body)
        assert answer.code == 422
        assert answer.problem()["violations"] == [
            {"in": "body", "pointer": pointer, "rule": rule, "detail": detail}
        ]


async def test_all_violations_are_told_at_once(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        answer = await client.post(
            "/orders/0?limit=0&x=1&y=2",
            b'{"amount": 0, "size": 1, "other": 2}',
            headers={"X-Size": "many"},
        )
        assert sorted(violations(answer)) == [
            ("body", "/amount", "minimum"),
            ("body", "/name", "required"),
            ("body", "/other", "additionalProperties"),
            ("body", "/size", "enum"),
            ("headers", "/x-size", "type"),
            ("parameters", "/limit", "minimum"),
            ("parameters", "/x", "additionalProperties"),
            ("parameters", "/y", "additionalProperties"),
            ("resources", "/orderId", "minimum"),
        ]


@pytest.mark.parametrize(
    ("query", "pointer", "rule"),
    [
        ("limit=ten", "/limit", "type"),
        ("limit=1.0", "/limit", "type"),
        ("limit=%2B1", "/limit", "type"),
        ("limit=01", "/limit", "type"),
        ("limit=", "/limit", "type"),
        ("limit=101", "/limit", "maximum"),
        ("limit=" + "9" * 5000, "/limit", "type"),
        ("limit=1&limit=2", "/limit", "type"),
        ("price=1e999", "/price", "type"),
        ("price=NaN", "/price", "type"),
        ("deep=True", "/deep", "type"),
        ("deep=1", "/deep", "type"),
        ("tag=1&tag=x", "/tag/1", "type"),
        ("one=3", "/one", "enum"),
        ("both=x", "/both", "anyOf"),
        ("text=a&text=b", "/text", "type"),
    ],
)
async def test_a_parameter_is_what_its_schema_makes_of_it(
    serving: Serving, query: str, pointer: str, rule: str
) -> None:
    async with serving(ORDERS) as client:
        answer = await post(client, {"name": "tea"}, f"/orders/7?{query}")
        assert violations(answer) == [("parameters", pointer, rule)]


async def test_headers_are_met_in_any_case_and_several_lines_are_one(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        for name in ("X-Size", "x-size", "X-SIZE"):
            assert (await client.post("/orders", b'{"name": "tea"}', headers={name: "1"})).code == 200
        missing = await client.post("/orders", b'{"name": "tea"}')
        assert violations(missing) == [("headers", "/x-size", "required")]
        twice = await client.post("/orders", b'{"name": "tea"}', headers={"X-Size": "1", "x-SIZE": "2"})
        assert violations(twice) == [("headers", "/x-size", "type")]


async def test_nothing_that_was_sent_or_is_secret_comes_back(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        answer = await post(
            client,
            {"name": "SENT-NAME", "amount": "SENT-AMOUNT", "size": "SENT-SIZE", "when": "SENT-WHEN"},
            "/orders/SENT-ID?limit=SENT-LIMIT&both=SENT-BOTH&tag=SENT-TAG",
            **{
                "X-Size": "SENT-SIZE",
                "X-Secret": "SENT-SECRET",
                "X-Kind": "SENT-KIND",
                "X-Form": "SENT-FORM",
            },
        )
        assert len(violations(answer)) == 12
        assert b"SENT" not in answer.body
        assert b"hush" not in answer.body
        assert b"hidden" not in answer.body


async def test_a_body_that_is_not_json_is_400(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        for body in (b"", b"{", b"name=tea", b'{"name": NaN}', b"\xff", b"[" * 100_000, b'{"name": 1e}'):
            answer = await post(client, body)
            assert answer.code == 400, body
            assert answer.problem()["detail"].startswith("the request's body")
        assert (await post(client, b'{"name": "\\ud800"}')).code == 400
        assert (await post(client, b'{"\\ud800": 1}')).code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"name": "tea", "name": "coffee"}', "same key twice"),
        (b'{"more": [{"a": 1, "a": 1}]}', "same key twice"),
        ('{"name": "tea"}'.encode("utf-16"), "UTF-8"),
        ('{"name": "tea"}'.encode("utf-16-le"), "UTF-8"),
        ('{"name": "tea"}'.encode("utf-16-be"), "UTF-8"),
        ('{"name": "tea"}'.encode("utf-32"), "UTF-8"),
        ('{"name": "tea"}'.encode("utf-32-le"), "UTF-8"),
        (b'\xef\xbb\xbf{"name": "tea"}', "byte order mark"),
    ],
)
async def test_what_two_parsers_could_take_for_two_things_is_refused(
    serving: Serving, body: bytes, told: str
) -> None:
    endpoints = THING + "api_generation: true\napi: {auth_mode: none}\n"
    async with serving(ORDERS, endpoints) as client:
        for path in ("/orders/7", "/Thing"):
            headers = FINE | {"content-type": "application/json"}
            answer = await client.post(path, body, headers=headers)
            assert answer.code == 400
            assert told in answer.problem()["detail"]


async def test_the_body_is_looked_at_where_there_should_be_one_or_is_one(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        for method in ("GET", "DELETE", "HEAD", "OPTIONS"):
            assert (await client.request(method, "/orders/7", headers=FINE)).code == 200
            assert (await client.request(method, "/orders/7", body=b"[]", headers=FINE)).code == 422
        for method in ("POST", "PUT", "PATCH"):
            assert (await client.request(method, "/orders/7", headers=FINE)).code == 400


async def test_the_number_of_violations_told_is_bounded(serving: Serving) -> None:
    async with serving(ORDERS) as client:
        answer = await post(client, {"name": "tea", "tags": list(range(500))})
        assert len(violations(answer)) == validation.MOST_TOLD
        assert "the first 50" in answer.problem()["detail"]
        answer = await post(client, {"name": "tea", **{f"k{n}": n for n in range(500)}})
        assert len(violations(answer)) == validation.MOST_TOLD
        long = await post(client, {"name": "tea", "k" * 15_000: 1})
        assert len(long.body) < 1000


@pytest.mark.parametrize("branches", [False, True])
async def test_a_large_body_full_of_mistakes_holds_nobody_up(serving: Serving, branches: bool) -> None:
    """Half a million mistakes take seconds to find, and no time at all to refuse."""
    items = "items: {type: integer}"
    schema = f"anyOf: [{{{items}}}, {{type: 'null'}}]" if branches else items
    text = ORDERS.partition("    body:\n")[0] + "    body:\n" + indent(schema, " " * 6)
    text += "\n  request_forbidden_process: return 200, None\n"
    async with serving(text) as client:
        body = b"[" + b",".join([b'"x"'] * 200_000) + b"]"
        took = []
        for content in (b"[1]", body):
            began = time.process_time()
            answer = await client.post("/orders", content)
            took.append(time.process_time() - began)
        [(where, pointer, rule)] = violations(answer)
        assert where == "body"
        assert (pointer, rule) == (("", "schema") if branches else ("/0", "type"))
        began = time.process_time()
        json.loads(body)
        parsing = time.process_time() - began
        assert took[1] < 20 * parsing + took[0], "reading it costs about as much as telling what is wrong"


async def test_calls_from_inside_are_held_against_the_schemas_too(serving: Serving) -> None:
    door = """
- proxy: {path: /door, authorization: {auth_mode: none}}
  request_forbidden_process: |
    answer = await callout("/orders", method=POST, body={"name": 7}, headers={"X-Size": "1"}, response_jsonify=True)
    return answer.code, answer.body
"""
    async with serving(ORDERS, door) as client:
        answer = await client.get("/door")
        assert answer.code == 422
        assert answer.json()["violations"][0]["pointer"] == "/name"


# ---- beside the reference implementation ----------------------------------------------------

SCHEMAS: list[dict[str, Any]] = [
    {"type": ["object", "array", "string"], "minLength": 2, "required": ["a"]},
    {"properties": {"a": {"type": "integer", "multipleOf": 3}, "b": {"maxLength": 3}}, "minProperties": 1},
    {"items": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, "uniqueItems": True},
    {"prefixItems": [{"const": 1}], "contains": {"type": "boolean"}},
    {"not": {"type": "object"}},
    {"oneOf": [{"type": "integer"}, {"minimum": 3}]},
    {"$defs": {"t": {"items": {"$ref": "#/$defs/t"}, "maxItems": 2}}, "$ref": "#/$defs/t"},
    {"dependentRequired": {"a": ["b"]}, "propertyNames": {"pattern": "^[ab]"}, "additionalProperties": False},
]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=4) | st.sampled_from(["a", "b"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats(-10, 10) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_is_refused_is_what_the_reference_implementation_refuses(schema: dict[str, Any]) -> None:
    ours = Validation(RequestSchemas(body=schema))
    assert ours.needs_body
    theirs = jsonschema.Draft202012Validator(schema)

    @given(VALUES)
    def agree(value: Any) -> None:
        refusal = ours.refusal(_request(json.dumps(value).encode()), {}, {})
        assert (refusal is None) == theirs.is_valid(value)
        for one in json.loads(refusal.body)["violations"] if refusal else ():
            assert _found(value, one["pointer"]) or one["rule"] == "required"

    agree()


def _request(body: bytes) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    return Request(scope, body)


def _found(value: Any, pointer: str) -> bool:
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return True


@given(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_text_that_is_a_json_value_of_the_type_is_that_value(value: Any) -> None:
    kind = {int: "integer", bool: "boolean", float: "number"}[type(value)]
    offer = Offer({"properties": {"x": {"type": kind}}})
    offered = offer({"x": [json.dumps(value)]})["x"]
    assert (offered, type(offered) is bool) == (value, isinstance(value, bool))


@given(st.text(max_size=10))
def test_a_text_that_may_be_text_stays_as_it_is(text: str) -> None:
    for schema in (
        {},
        {"type": "string"},
        {"type": ["integer", "string"]},
        {"enum": ["a", 1]},
        {"minimum": 3},
    ):
        assert Offer({"properties": {"x": schema}})({"x": [text]}) == {"x": text}


def test_the_kind_of_a_name_is_found_through_references_branches_and_patterns() -> None:
    schema = {
        "$defs": {"number": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}},
        "properties": {"a": {"$ref": "#/$defs/number"}, "loop": {"$ref": "#/$defs/loop"}},
        "allOf": [{"properties": {"b": {"allOf": [{"type": "array"}, {"items": {"type": "boolean"}}]}}}],
        "patternProperties": {"^n": {"type": "number"}},
        "additionalProperties": {"type": "null"},
    }
    texts = {name: ["1"] for name in ("a", "n1", "loop", "other")} | {"b": ["true", "x"], "empty": [""]}
    assert Offer(schema)(texts) == {
        "a": 1,
        "n1": 1,
        "loop": "1",
        "other": "1",
        "b": [True, "x"],
        "empty": None,
    }
