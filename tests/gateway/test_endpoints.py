"""Endpoints of a class with `api_generation`: REST as clients know it, and no update lost."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from .client import Answer, Client, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

TEA = """\
name: Tea
api_generation: true
api: {auth_mode: none, limit: 3, max_limit: 5}
attributes:
  identifier: {field_name: teaId, field_type: string, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: kind, field_type: string, field_nullable: false}
  - {field_name: grams, field_type: integer, field_default: 10}
  - {field_name: litres, field_type: number}
  - {field_name: hot, field_type: boolean}
  - {field_name: at, field_type: DateTime}
  - {field_name: extras, field_type: MU}
  - {field_name: origin, field_type: string, field_immutable: true}
  - {field_name: size, field_type: string, field_enum: [small, large]}
"""

NUMBERED = """\
name: Cup
api_generation: true
api: {auth_mode: none, path: /v1/cups}
attributes:
  identifier: {field_name: number, field_type: integer}
  local_fields:
  - {field_name: note, field_type: string}
"""

JSON = {"content-type": "application/json"}
WHOLE = {
    "teaId": "a",
    "kind": "green",
    "grams": 10,
    "litres": None,
    "hot": None,
    "at": None,
    "extras": None,
    "origin": None,
    "size": None,
}


async def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """A request with a JSON body; header names are written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        return await client.request(method, path, headers=named)
    return await client.request(method, path, body=json.dumps(body).encode(), headers=JSON | named)


async def made(client: Client, **fields: Any) -> Answer:
    answer = await send(client, "POST", "/Tea", {"kind": "green", **fields})
    assert answer.code == 201, answer.body
    return answer


# ---- one instance ---------------------------------------------------------------------------


async def test_a_new_instance_is_made_found_and_gone(serving: Serving) -> None:
    async with serving(TEA) as client:
        created = await made(client, teaId="a")
        assert (created.json(), created.headers["location"]) == (WHOLE, "/Tea/a")
        found = await send(client, "GET", "/Tea/a")
        assert (found.code, found.json(), found.headers["etag"]) == (200, WHOLE, created.headers["etag"])
        assert re.fullmatch(r'"[\w-]{24}"', found.headers["etag"])
        head = await send(client, "HEAD", "/Tea/a")
        assert (head.code, head.headers) == (200, found.headers)
        deleted = await send(client, "DELETE", "/Tea/a")
        assert (deleted.code, deleted.body) == (204, b"")
        for method in ("GET", "HEAD", "DELETE"):
            assert (await send(client, method, "/Tea/a")).code == 404
        assert (await send(client, "PUT", "/Tea/a", {"kind": "x"})).code == 404
        assert (await send(client, "PATCH", "/Tea/a", {"kind": "x"})).code == 404


async def test_what_an_instance_does_not_take_is_422_with_its_field(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a")
        for body, field, rule in (
            ({}, "kind", "required"),
            ({"kind": None}, "kind", "nullable"),
            ({"kind": 1}, "kind", "type"),
            ({"kind": "x", "grams": 1.5}, "grams", "type"),
            ({"kind": "x", "size": "huge"}, "size", "enum"),
            ({"kind": "x", "knid": 1}, "knid", "unknown"),
            ({"kind": "x", "at": "yesterday"}, "at", "type"),
            ({"kind": "x", "instance": "mine"}, "instance", "immutable"),
        ):
            for method, path in (("POST", "/Tea"), ("PUT", "/Tea/a")):
                told = (await send(client, method, path, body)).problem()
                assert (told["status"], told["field"], told["rule"]) == (422, field, rule), (method, body)
        told = (await send(client, "PATCH", "/Tea/a", {"grams": "many"})).problem()
        assert (told["status"], told["field"]) == (422, "grams")
        assert (await send(client, "GET", "/Tea/a")).json() == WHOLE


async def test_the_same_identifier_twice_is_409_and_overwrites_nothing(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a")
        answer = await send(client, "POST", "/Tea", {"teaId": "a", "kind": "black"})
        assert answer.problem()["status"] == 409
        assert (await send(client, "GET", "/Tea/a")).json() == WHOLE


async def test_put_replaces_and_keeps_what_cannot_change(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a", grams=7, extras={"a": 1}, origin="Uji", litres=0.5)
        answer = await send(client, "PUT", "/Tea/a", {"kind": "black", "size": "large"})
        assert answer.code == 200
        assert answer.json() == WHOLE | {"kind": "black", "size": "large", "origin": "Uji"}
        assert (await send(client, "GET", "/Tea/a")).json() == answer.json()
        # What GET gives, PUT takes, and nothing changes.
        again = await send(client, "PUT", "/Tea/a", answer.json())
        assert (again.json(), again.headers["etag"]) == (answer.json(), answer.headers["etag"])
        for body in ({"kind": "x", "origin": "Assam"}, {"kind": "x", "teaId": "b"}):
            assert (await send(client, "PUT", "/Tea/a", body)).problem()["rule"] == "immutable"


LABEL = """\
name: Label
api_generation: true
api: {auth_mode: none}
attributes:
  identifier: {field_name: labelId, field_type: string, field_immutable: false, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: text, field_type: string, field_alias: caption}
"""


async def test_put_keeps_an_identifier_that_scripts_may_change(serving: Serving) -> None:
    async with serving(LABEL) as client:
        await send(client, "POST", "/Label", {"labelId": "a", "text": "x"})
        for body in ({"text": "y"}, {"labelId": "a", "text": "y"}):
            replaced = await send(client, "PUT", "/Label/a", body)
            assert replaced.json() == {"labelId": "a", "text": "y"}
        assert len((await send(client, "GET", "/Label")).json()) == 1


async def test_a_field_may_be_called_by_its_alias(serving: Serving) -> None:
    async with serving(LABEL) as client:
        for key, text in (("a", "x"), ("b", "y")):
            created = await send(client, "POST", "/Label", {"labelId": key, "caption": text})
            assert created.json() == {"labelId": key, "text": text}
        found = await send(client, "GET", "/Label?caption=y")
        assert [label["labelId"] for label in found.json()] == ["b"]
        ordered = await send(client, "GET", "/Label?order_by=-caption")
        assert [label["labelId"] for label in ordered.json()] == ["b", "a"]
        assert (await send(client, "GET", "/Label?caption=y&text=x")).problem()["status"] == 400


@pytest.mark.parametrize("name", ["self", "cls", "conn", "tran", "propagation_mode", "_stored", "save"])
async def test_what_save_takes_besides_fields_is_no_field_of_a_request(serving: Serving, name: str) -> None:
    async with serving(LABEL) as client:
        await send(client, "POST", "/Label", {"labelId": "a", "text": "x"})
        for method, path in (("POST", "/Label"), ("PUT", "/Label/a"), ("PATCH", "/Label/a")):
            told = (await send(client, method, path, {"text": "y", name: False})).problem()
            assert (told["status"], told["field"], told["rule"]) == (422, name, "unknown")
        assert [label["text"] for label in (await send(client, "GET", "/Label")).json()] == ["x"]


async def test_patch_changes_what_is_given_and_merges_objects(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a", litres=1, extras={"a": {"b": 1, "c": 2}, "d": [1]})
        answer = await send(
            client, "PATCH", "/Tea/a", {"grams": 11, "extras": {"a": {"b": None, "e": 3}, "d": 4}}
        )
        assert answer.code == 200
        assert answer.json()["extras"] == {"a": {"c": 2, "e": 3}, "d": 4}
        assert (answer.json()["grams"], answer.json()["litres"], answer.json()["kind"]) == (11, 1.0, "green")
        gone = await send(
            client,
            "PATCH",
            "/Tea/a",
            {"litres": None, "extras": None},
            content_type="application/merge-patch+json",
        )
        assert (gone.json()["litres"], gone.json()["extras"]) == (None, None)
        assert (await send(client, "GET", "/Tea/a")).json() == gone.json()
        assert (await send(client, "PATCH", "/Tea/a", {"teaId": "b"})).problem()["rule"] == "immutable"
        unchanged = await send(client, "PATCH", "/Tea/a", {})
        assert unchanged.headers["etag"] == gone.headers["etag"]


async def test_every_type_goes_through_as_it_came(serving: Serving) -> None:
    async with serving(TEA) as client:
        fields = {
            "teaId": "ü 1",
            "kind": "注文",
            "grams": -(2**63),
            "litres": 0.1,
            "hot": False,
            "at": "2026-01-31T12:00:00+02:00",
            "extras": {"big": 2**70, "list": [{"a": None}]},
        }
        created = await made(client, **fields)
        assert created.headers["location"] == "/Tea/%C3%BC%201"
        found = await send(client, "GET", created.headers["location"])
        assert found.json() == WHOLE | fields | {"at": "2026-01-31T10:00:00+00:00"}
        assert found.headers["etag"] == created.headers["etag"]


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "a\\b", "a\n", "\0", "a\x7f"])
async def test_an_identifier_that_no_path_leads_to_is_refused(serving: Serving, key: str) -> None:
    async with serving(TEA) as client:
        answer = await send(client, "POST", "/Tea", {"teaId": key, "kind": "x"})
        assert (answer.code, answer.problem()["rule"]) == (422, "path")


@pytest.mark.parametrize("key", ["-1", "0", "9223372036854775807"])
async def test_an_identifier_of_numbers_is_written_one_way(serving: Serving, key: str) -> None:
    async with serving(NUMBERED) as client:
        created = await send(client, "POST", "/v1/cups", {"number": int(key)})
        assert (created.code, created.headers["location"]) == (201, f"/v1/cups/{key}")
        assert (await send(client, "GET", f"/v1/cups/{key}")).json() == {"number": int(key), "note": None}
        for other in (f"0{key}", f"{key}.0", f"+{key}", f"{key}x", "1e1", "9223372036854775808", "%D9%A3"):
            assert (await send(client, "GET", f"/v1/cups/{other}")).code == 404


KEYS = [("number", 1.5), ("number", -0.25), ("number", 1e300), ("number", 5e-324), ("number", 3)]
KEYS += [("boolean", True), ("boolean", False), ("integer", -7), ("DateTime", "2026-01-31T12:00:00.5+02:00")]


@pytest.mark.parametrize(("kind", "key"), KEYS)
async def test_an_identifier_of_every_type_is_reached_by_its_location(
    serving: Serving, kind: str, key: object
) -> None:
    cup = NUMBERED.replace("field_type: integer", f"field_type: {kind}")
    assert kind in cup
    async with serving(cup) as client:
        created = await send(client, "POST", "/v1/cups", {"number": key})
        assert created.code == 201
        location = created.headers["location"]
        found = await send(client, "GET", location)
        assert (found.code, found.json()) == (200, created.json())
        if kind in ("number", "boolean"):
            for other in (
                f"{location}0",
                location.replace("cups/", "cups/0"),
                "/v1/cups/True",
                "/v1/cups/nan",
            ):
                assert (await send(client, "GET", other)).code == 404
        assert (await send(client, "PATCH", location, {"note": "x"})).json()["note"] == "x"
        assert (await send(client, "DELETE", location)).code == 204


async def test_a_location_is_sent_whatever_the_path_is_written_in(serving: Serving) -> None:
    async with serving(NUMBERED.replace("/v1/cups", "/v1/茶")) as client:
        created = await send(client, "POST", "/v1/%E8%8C%B6", {"number": 1})
        assert created.headers["location"] == "/v1/%E8%8C%B6/1"
        assert (await send(client, "GET", created.headers["location"])).json()["number"] == 1


async def test_a_class_without_identifier_has_the_instance_in_its_paths(serving: Serving) -> None:
    text = (
        "name: Note\napi_generation: true\napi: {auth_mode: none}\nattributes:\n  local_fields:\n"
        "  - {field_name: text, field_type: string}\n"
    )
    async with serving(text) as client:
        created = await send(client, "POST", "/Note", {"text": "x"})
        assert created.code == 201
        assert (await send(client, "GET", created.headers["location"])).json() == {"text": "x"}


# ---- what a client has seen -----------------------------------------------------------------


async def test_a_write_with_if_match_has_its_effect_on_what_was_seen_or_none(serving: Serving) -> None:
    async with serving(TEA) as client:
        seen = (await made(client, teaId="a")).headers["etag"]
        first = await send(client, "PATCH", "/Tea/a", {"grams": 1}, if_match=seen)
        assert first.code == 200
        assert first.headers["etag"] != seen
        for method, body in (("PATCH", {"grams": 2}), ("PUT", {"kind": "x"}), ("DELETE", None)):
            late = await send(client, method, "/Tea/a", body, if_match=seen)
            assert (late.problem()["status"], late.headers["etag"]) == (412, first.headers["etag"])
        assert (await send(client, "GET", "/Tea/a")).json()["grams"] == 1
        both = f'"other", {first.headers["etag"]}'
        assert (await send(client, "PUT", "/Tea/a", {"kind": "y"}, if_match=both)).code == 200
        assert (await send(client, "DELETE", "/Tea/a", if_match="*")).code == 204
        assert (await send(client, "DELETE", "/Tea/a", if_match="*")).code == 404


async def test_a_weak_tag_never_matches_a_write_and_a_malformed_one_is_told(serving: Serving) -> None:
    async with serving(TEA) as client:
        tag = (await made(client, teaId="a")).headers["etag"]
        assert (await send(client, "DELETE", "/Tea/a", if_match=f"W/{tag}")).code == 412
        for wrong in ("abc", '"abc', "", tag + " x", '"a" "b"', f"*, {tag}"):
            assert (await send(client, "DELETE", "/Tea/a", if_match=wrong)).problem()["status"] == 400
        assert (await send(client, "GET", "/Tea/a")).code == 200


async def test_what_the_client_has_is_not_sent_again(serving: Serving) -> None:
    async with serving(TEA) as client:
        tag = (await made(client, teaId="a")).headers["etag"]
        for known in (tag, f"W/{tag}", f'"x",{tag}', "*"):
            for method in ("GET", "HEAD"):
                answer = await send(client, method, "/Tea/a", if_none_match=known)
                assert (answer.code, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert (await send(client, "GET", "/Tea/a", if_none_match='"x"')).code == 200
        assert (await send(client, "PATCH", "/Tea/a", {"grams": 1}, if_none_match="*")).code == 412
        assert (await send(client, "PATCH", "/Tea/a", {"grams": 1}, if_none_match='"x"')).code == 200


async def test_a_tag_changes_with_every_field_and_comes_back_with_it(serving: Serving) -> None:
    async with serving(TEA) as client:
        tags = {(await made(client, teaId="a")).headers["etag"]}
        changes: tuple[dict[str, Any], ...] = (
            {"kind": "b"}, {"grams": 1}, {"litres": 1}, {"hot": True}, {"hot": False}, {"extras": {}},
            {"at": "2026-01-01T00:00:00Z"}, {"size": "small"}, {"xid": "x"}, {"xname": "y"},
        )  # fmt: skip
        for change in changes:
            tags.add((await send(client, "PATCH", "/Tea/a", change)).headers["etag"])
        assert len(tags) == len(changes) + 1
        back = await send(client, "PUT", "/Tea/a", {"kind": "green"})
        assert back.headers["etag"] in tags


async def test_of_many_writes_on_what_was_seen_one_has_its_effect(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a", grams=0)
        for turn in range(1, 6):
            tag = (await send(client, "GET", "/Tea/a")).headers["etag"]
            answers = await asyncio.gather(
                *(
                    send(client, "PATCH", "/Tea/a", {"grams": turn, "xid": str(n)}, if_match=tag)
                    for n in range(10)
                )
            )
            assert sorted(answer.code for answer in answers) == [200, *[412] * 9]
            [won] = [answer for answer in answers if answer.code == 200]
            assert (await send(client, "GET", "/Tea/a")).headers["etag"] == won.headers["etag"]


@pytest.mark.parametrize("table", ["", "persistence: false\n"])
async def test_of_many_who_delete_one_does_and_the_others_are_told(serving: Serving, table: str) -> None:
    async with serving(table + TEA) as client:
        await made(client, teaId="a")
        writes = [send(client, "DELETE", "/Tea/a") for _ in range(9)]
        writes.append(send(client, "PATCH", "/Tea/a", {"grams": 3}))
        codes = sorted(answer.code for answer in await asyncio.gather(*writes))
        assert codes in ([204, *[404] * 9], [200, 204, *[404] * 8])


async def test_writes_of_different_fields_without_a_condition_both_win(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a")
        await asyncio.gather(
            send(client, "PATCH", "/Tea/a", {"grams": 5}), send(client, "PATCH", "/Tea/a", {"size": "large"})
        )
        found = (await send(client, "GET", "/Tea/a")).json()
        assert (found["grams"], found["size"]) == (5, "large")


# ---- lists ----------------------------------------------------------------------------------


async def test_a_list_comes_in_pages_that_lead_to_each_other(serving: Serving) -> None:
    async with serving(TEA) as client:
        assert (await send(client, "GET", "/Tea")).json() == []
        for number in range(8):
            await made(client, teaId=str(number), grams=number)
        seen: list[str] = []
        path = "/Tea?order_by=-grams"
        while path:
            answer = await send(client, "GET", path)
            assert answer.code == 200
            seen += [tea["teaId"] for tea in answer.json()]
            links = dict(
                reversed(found)
                for found in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("link", ""))
            )
            path = links.get("next", "")
            assert ("prev" in links) == (len(seen) > 3)
        assert seen == list("76543210")
        assert links == {"prev": "/Tea?order_by=-grams&offset=3"}
        five = await send(client, "GET", "/Tea/?limit=5&offset=3")
        assert [tea["teaId"] for tea in five.json()] == list("34567")
        assert 'rel="next"' not in five.headers["link"]


async def test_a_list_is_filtered_by_fields_as_their_types_are(serving: Serving) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="1", kind="1", grams=1, litres=1.5, hot=True, size="small", xid="e1")
        await made(client, teaId="2", kind="two&?=", grams=2, hot=False, at="2026-01-31T12:00:00+02:00")
        for query, wanted in (
            ("kind=1", "1"),
            ("kind=two%26%3f%3d", "2"),
            ("grams=2", "2"),
            ("grams=-2", ""),
            ("litres=1.5", "1"),
            ("litres=15e-1", "1"),
            ("hot=true", "1"),
            ("hot=false", "2"),
            ("size=small", "1"),
            ("at=2026-01-31T10:00:00Z", "2"),
            ("at=2026-01-31T12:00:00+02:00", "2"),
            ("at=2026-01-31T12:00:00%2B02:00", "2"),
            ("xid=e1", "1"),
            ("grams=1&hot=true", "1"),
            ("grams=1&hot=false", ""),
            ("teaId=1", "1"),
            ("order_by=-hot,grams", "12"),
            ("order_by=hot", "21"),
        ):
            answer = await send(client, "GET", f"/Tea?{query}")
            assert answer.code == 200, (query, answer.body)
            assert "".join(tea["teaId"] for tea in answer.json()) == wanted, query


async def test_a_query_that_means_nothing_is_told(serving: Serving) -> None:
    async with serving(TEA) as client:
        for query, told in (
            ("knid=1", "did you mean 'kind'?"),
            ("lmit=1", "did you mean 'limit'?"),
            ("grams=x", "`grams` is of type integer"),
            ("grams=1.0", "`grams` is of type integer"),
            ("grams=9223372036854775808", "`grams` is of type integer"),
            ("litres=nan", "`litres` is of type number"),
            ("litres=1e999", "finite"),
            ("hot=yes", "`hot` is of type boolean"),
            ("at=now", "`at` in the query: must be RFC 3339"),
            ("size=huge", "`size` in the query: must be `small` or `large`"),
            ("extras=1", "`extras` cannot be a filter"),
            ("kind=a&kind=b", "`kind` is in the query more than once"),
            ("limit=0", "`limit` is a whole number from 1 to 5"),
            ("limit=6", "`limit` is a whole number from 1 to 5"),
            ("limit=x", "`limit` is a whole number"),
            ("offset=-1", "`offset` is a whole number"),
            ("offset=99999999999999999999", "`offset` is a whole number"),
            ("order_by=knid", "did you mean 'kind'?"),
            ("order_by=extras", "`order_by` names a field that cannot be ordered"),
            ("order_by=kind%20desc", "`order_by` names a field that cannot be ordered"),
            ("order_by=kind,-kind", "`order_by` names a field twice"),
            ("order_by=" + ",".join(["kind"] * 1500), "`order_by` names a field twice"),
            ("order_by=kind&" * 900, "`order_by` is in the query more than once"),
            ("order_by=kind&" * 2000, "over 1000 fields"),
        ):
            problem = (await send(client, "GET", f"/Tea?{query}")).problem()
            assert problem["status"] == 400, query
            assert told in problem["detail"], problem
        await made(client, teaId="a")
        for method, path in (("GET", "/Tea/a?kind=x"), ("POST", "/Tea?kind=x"), ("DELETE", "/Tea/a?kind=x")):
            assert (await send(client, method, path, {"kind": "x"})).problem()["status"] == 400
        assert len((await send(client, "GET", "/Tea")).json()) == 1


@pytest.mark.parametrize(
    "key",
    [
        "", ".", "..", ".;", "..;", "..;x", ".;/x", "a/b", "a\\b", "a\0", "a\n", "\x7f", "a" * 9000, "é" * 1400,
        "a.", "...", ";", "a;b", "%2F", "a b", "é", "\x85", "?", "#", "+", "{id}", "-", "x" * 8000, "\u2028",
    ],
)  # fmt: skip
async def test_what_is_created_can_be_asked_for_and_what_cannot_is_refused(
    serving: Serving, key: str
) -> None:
    async with serving(TEA) as client:
        created = await send(client, "POST", "/Tea", {"kind": "green", "teaId": key})
        if created.code == 201:
            location = created.headers["location"]
            assert len(location) <= 8192
            assert (await send(client, "GET", location)).json()["teaId"] == key
            assert (await send(client, "DELETE", location)).code == 204
        else:
            assert created.code == 422
            assert created.problem()["rule"] == "path"
            assert (await send(client, "GET", "/Tea")).json() == []
        reachable = len(key) < 8100 and key != "é" * 1400 and not set("/\\\0\n\x7f") & set(key)
        assert (created.code == 201) == (reachable and key not in ("", ".", "..", ".;", "..;", "..;x"))


async def test_the_longest_path_is_what_the_server_takes(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEWORK_MAX_URL", "100")
    async with serving(TEA) as client:
        assert (await send(client, "POST", "/Tea", {"kind": "green", "teaId": "a" * 95})).code == 201
        assert (await send(client, "POST", "/Tea", {"kind": "green", "teaId": "a" * 96})).code == 422


async def test_a_whole_number_inside_json_may_have_20000_digits(serving: Serving) -> None:
    script = "number = json.loads(request.body)['n']\nawait FIFO('q').put(number)\nreturn 200, {'n': number}"
    keys = {"validation": {"body": {"properties": {"n": {"type": "integer", "minimum": 1}}}}}
    async with serving(TEA, route("/plain", script), route("/valid", script, **keys)) as client:
        for digits, code in ((4301, 201), (20_000, 201), (20_001, 400), (900_000, 400)):
            number = b"7" * digits
            body = b'{"kind": "green", "teaId": "a%d", "extras": {"n": %b}}' % (digits, number)
            answer = await client.post("/Tea", body, headers=JSON)
            assert answer.code == code
            if code == 400:
                assert answer.problem()["detail"].endswith("a whole number of more than 20000 digits")
            else:
                assert number in (await client.get(f"/Tea/a{digits}")).body
            for path in ("/plain", "/valid"):
                answer = await client.post(path, b'{"n": %b}' % number)
                assert answer.code == (200 if code == 201 else 400)
                if code == 400:
                    assert "more than 20000 digits" in answer.problem()["detail"]
                else:
                    assert answer.body == b'{"n":%b}' % number


@pytest.mark.parametrize(
    ("scope", "auth", "code", "inside"),
    [
        *(("internal", "none", 404, 200), ("local", "none", 404, 200), ("external", "none", 200, 200)),
        *(("public", "none", 200, 200), ("public", "axis", 401, 200), ("secure", "axis", 401, 200)),
    ],
)
async def test_a_scope_says_who_reaches_the_endpoints(
    serving: Serving, scope: str, auth: str, code: int, inside: int
) -> None:
    text = TEA.replace("api: {auth_mode: none", f"scope: {scope}\napi: {{auth_mode: {auth}")
    async with serving(text) as client:
        assert (await client.get("/Tea")).code == code
        assert (await client.app.call("GET", "/Tea", {}, b"")).code == inside


async def test_an_identifier_without_a_default_is_the_clients_to_give(serving: Serving) -> None:
    async with serving(NUMBERED) as client:
        answer = await send(client, "POST", "/v1/cups", {"note": "a"})
        assert (answer.code, answer.problem()["field"], answer.problem()["rule"]) == (
            422,
            "number",
            "required",
        )
        assert (await send(client, "POST", "/v1/cups", {"number": 7})).code == 201
        assert (await send(client, "PUT", "/v1/cups/7", {"note": "b"})).json() == {"number": 7, "note": "b"}


# ---- methods and bodies ---------------------------------------------------------------------


async def test_each_path_says_which_methods_it_takes(serving: Serving) -> None:
    async with serving(TEA) as client:
        for path, allow, others in (
            ("/Tea", "GET, POST, HEAD, OPTIONS", ("PUT", "PATCH", "DELETE", "TRACE", "BREW")),
            ("/Tea/a", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", ("POST", "TRACE", "BREW")),
        ):
            options = await send(client, "OPTIONS", path)
            assert (options.code, options.headers["allow"]) == (204, allow)
            for method in others:
                refused = await send(client, method, path)
                assert (refused.problem()["status"], refused.headers["allow"]) == (405, allow)
        assert (
            "application/merge-patch+json"
            in (await send(client, "OPTIONS", "/Tea/a")).headers["accept-patch"]
        )


async def test_a_class_may_have_some_of_the_methods_only(serving: Serving) -> None:
    text = TEA.replace("auth_mode: none,", "auth_mode: none, methods: [GET, POST],")
    async with serving(text) as client:
        await made(client, teaId="a")
        assert (await send(client, "GET", "/Tea/a")).code == 200
        assert (await send(client, "DELETE", "/Tea/a")).headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None])
async def test_a_body_of_another_type_is_415(serving: Serving, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    async with serving(TEA) as client:
        await made(client, teaId="a")
        for method, path in (("POST", "/Tea"), ("PUT", "/Tea/a"), ("PATCH", "/Tea/a")):
            answer = await client.request(method, path, body=b'{"kind": "x"}', headers=headers)
            assert answer.problem()["status"] == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b'{"kind": "x", "kind": "y"}',
        b'{"litres": NaN}',
        b"\xff",
        b"[" * 10**5,
    ],
)
async def test_a_body_that_is_no_json_object_is_400(serving: Serving, body: bytes) -> None:
    async with serving(TEA) as client:
        await made(client, teaId="a")
        for method, path in (("POST", "/Tea"), ("PUT", "/Tea/a"), ("PATCH", "/Tea/a")):
            answer = await client.request(method, path, body=body, headers=JSON)
            assert answer.problem()["status"] == 400


async def test_content_types_may_have_parameters(serving: Serving) -> None:
    async with serving(TEA) as client:
        answer = await client.post(
            "/Tea", b'{"kind": "x"}', headers={"content-type": "Application/JSON; charset=utf-8"}
        )
        assert answer.code == 201


async def test_without_auto_response_a_write_is_answered_with_headers_alone(serving: Serving) -> None:
    async with serving("api_auto_response: false\n" + TEA) as client:
        created = await send(client, "POST", "/Tea", {"teaId": "a", "kind": "x"})
        assert (created.code, created.body, created.headers["location"]) == (201, b"", "/Tea/a")
        patched = await send(client, "PATCH", "/Tea/a", {"grams": 2}, if_match=created.headers["etag"])
        assert (patched.code, patched.body) == (204, b"")
        found = await send(client, "GET", "/Tea/a")
        assert (found.json()["grams"], found.headers["etag"]) == (2, patched.headers["etag"])


async def test_a_request_with_a_key_acts_once(serving: Serving) -> None:
    async with serving(TEA) as client:
        answers = [await send(client, "POST", "/Tea", {"kind": "x"}, idempotency_key="k") for _ in range(3)]
        assert {answer.code for answer in answers} == {201}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert len((await send(client, "GET", "/Tea")).json()) == 1


# ---- who may call, and beside which routes --------------------------------------------------


async def test_endpoints_need_a_token_unless_something_else_is_written(serving: Serving) -> None:
    async with serving(TEA.replace("auth_mode: none, ", "")) as client:
        for method, path in (("GET", "/Tea"), ("POST", "/Tea"), ("DELETE", "/Tea/a"), ("OPTIONS", "/Tea")):
            assert (await send(client, method, path)).code == 401


async def test_an_internal_scope_is_found_by_scripts_alone(serving: Serving) -> None:
    text = "scope: internal\n" + TEA
    script = (
        "answer = await callout(path='/Tea', method=POST, body={'kind': 'x'},\n"
        "    headers={'content-type': 'application/json'})\nreturn answer.code, answer.body"
    )
    async with serving(text, route("/inside", script)) as client:
        assert (await client.get("/Tea")).code == 404
        assert (await client.get("/inside")).code == 201


async def test_a_more_specific_route_beside_it_wins(serving: Serving) -> None:
    async with serving(
        TEA, route("/Tea/best", "return 200, 'best'"), route("/Tea/{id}/cups", "return resources")
    ) as client:
        await made(client, teaId="best")
        await made(client, teaId="a")
        assert (await client.get("/Tea/best")).body == b"best"
        assert (await client.get("/Tea/a")).json()["teaId"] == "a"
        assert (await client.get("/Tea/a/cups")).json() == {"id": "a"}


# ---- methods of the class -------------------------------------------------------------------

STATED = """\
name: Order
api_generation: true
api: {auth_mode: none}
attributes:
  identifier: {field_name: orderId, field_type: string}
  local_fields:
  - {field_name: saved, field_type: integer, field_default: 0}
  - field_name: status
    field_type: string
    field_default: waiting
    field_fsm:
      pack: {execution_method: pack, pre_statuses: [waiting], success_transition: packed}
methods:
  instance_methods:
  - method_body: "async def pack(self): pass"
  - method_body: |
      async def save(self, *args, **fields):
          self.saved += 1
          return await super().save(*args, **fields)
"""


async def test_a_state_is_shown_and_not_written(serving: Serving) -> None:
    async with serving(
        STATED, route("/pack", "order = await atom.Order.load('a')\nawait order.pack()")
    ) as client:
        refused = await send(client, "POST", "/Order", {"orderId": "a", "status": "packed"})
        assert (refused.problem()["status"], refused.problem()["rule"]) == (409, "transition")
        created = await send(client, "POST", "/Order", {"orderId": "a", "status": "waiting"})
        assert (created.code, created.json()["status"]) == (201, "waiting")
        for method, body in (("PATCH", {"status": "packed"}), ("PUT", {"status": "packed"})):
            told = (await send(client, method, "/Order/a", body)).problem()
            assert (told["status"], told["state"], told["possible"]) == (409, "waiting", ["pack"])
        await client.get("/pack")
        replaced = await send(client, "PUT", "/Order/a", {})
        assert (replaced.code, replaced.json()["status"]) == (200, "packed")


async def test_endpoints_save_by_the_class_s_own_method(serving: Serving) -> None:
    async with serving(STATED) as client:
        assert (await send(client, "POST", "/Order", {"orderId": "a"})).json()["saved"] == 1
        assert (await send(client, "PATCH", "/Order/a", {})).json()["saved"] == 2
        tag = (await send(client, "GET", "/Order/a")).headers["etag"]
        assert (await send(client, "PATCH", "/Order/a", {}, if_match=tag)).json()["saved"] == 3


# ---- references, and classes without a table ------------------------------------------------

TEAM = """\
- name: Team
  api_generation: true
  api: {auth_mode: none}
  attributes:
    identifier: {field_name: name, field_type: string}
    ref_fields:
    - {field_name: captain, field_type: <AxisAtom.Member>}
    - {field_name: members, field_type: array<AxisAtom.Member>}
- name: Member
  api_generation: true
  api: {auth_mode: none}
  attributes:
    identifier: {field_name: number, field_type: integer}
    local_fields:
    - {field_name: note, field_type: string}
"""


async def test_a_reference_is_the_key_of_what_it_refers_to(serving: Serving) -> None:
    async with serving(TEAM) as client:
        for number in (1, 2, 3):
            assert (await send(client, "POST", "/Member", {"number": number})).code == 201
        created = await send(client, "POST", "/Team", {"name": "a", "captain": 1, "members": [2, 1]})
        assert created.json() == {"name": "a", "captain": 1, "members": [2, 1]}
        assert (await send(client, "POST", "/Team", {"name": "b"})).json()["members"] == []
        found = await send(client, "GET", "/Team/a")
        assert (found.json(), found.headers["etag"]) == (created.json(), created.headers["etag"])
        patched = await send(client, "PATCH", "/Team/a", {"members": [3, 1]}, if_match=found.headers["etag"])
        assert patched.json() == {"name": "a", "captain": 1, "members": [3, 1]}
        assert patched.headers["etag"] != found.headers["etag"]
        replaced = await send(client, "PUT", "/Team/a", {"captain": 3}, if_match=patched.headers["etag"])
        assert replaced.json() == {"name": "a", "captain": 3, "members": []}
        assert (await send(client, "PUT", "/Team/a", replaced.json())).headers["etag"] == replaced.headers[
            "etag"
        ]
        await send(client, "PATCH", "/Team/b", {"members": [3]})
        for query, wanted in (
            ("captain=3", "a"),
            ("members=3", "b"),
            ("members=1", ""),
            ("order_by=-captain", "ab"),
        ):
            listed = await send(client, "GET", f"/Team?{query}")
            assert "".join(team["name"] for team in listed.json()) == wanted, query


async def test_a_reference_to_nothing_or_to_a_new_one_is_refused_and_what_is_referred_to_stays(
    serving: Serving,
) -> None:
    async with serving(TEAM) as client:
        await send(client, "POST", "/Member", {"number": 1})
        await send(client, "POST", "/Team", {"name": "a", "captain": 1})
        for body, field in (
            ({"captain": 9}, "captain"),
            ({"members": [1, 9]}, "members"),
            ({"captain": {"number": 5}}, "captain"),
            ({"members": [{"number": 5}]}, "members"),
            ({"captain": "1"}, "captain"),
        ):
            told = (await send(client, "PATCH", "/Team/a", body)).problem()
            assert (told["status"], told["field"].partition("[")[0]) == (422, field)
        assert (await send(client, "DELETE", "/Member/1")).problem()["status"] == 409
        assert (await send(client, "GET", "/Team?captain=x")).problem()["status"] == 400
        assert len((await send(client, "GET", "/Member")).json()) == 1


async def test_a_class_without_a_table_has_endpoints_too(serving: Serving) -> None:
    async with serving("persistence: false\n" + TEA) as client:
        tag = (await made(client, teaId="a")).headers["etag"]
        assert (await send(client, "PATCH", "/Tea/a", {"grams": 1}, if_match=tag)).code == 200
        assert (await send(client, "PATCH", "/Tea/a", {"grams": 2}, if_match=tag)).code == 412
        assert [tea["grams"] for tea in (await send(client, "GET", "/Tea?grams=1")).json()] == [1]
        assert (await send(client, "DELETE", "/Tea/a")).code == 204
