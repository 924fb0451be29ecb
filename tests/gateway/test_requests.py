"""What a script sees of a request: parameters, headers, body; and how large a body may be."""

from __future__ import annotations

import pytest

from framework.gateway.wire.limits import DEFAULTS

from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio

ECHO = route("/echo", "return parameters")
SIZE = route("/size", "return len(request.body)")


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("a=1", {"a": ["1"]}),
        ("a=1&a=2&b=3&a=1", {"a": ["1", "2", "1"], "b": ["3"]}),
        ("a=", {"a": [""]}),
        ("a", {"a": [""]}),
        ("a=&a", {"a": ["", ""]}),
        ("=1", {"": ["1"]}),
        ("a=1&&b=2&", {"a": ["1"], "b": ["2"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("a=x+y%20z%2B", {"a": ["x y z+"]}),
        ("%E6%B3%A8=%E6%96%87", {"注": ["文"]}),
        ("a=%26%3D%23", {"a": ["&=#"]}),
        ("a=%zz", {"a": ["%zz"]}),
        ("a=?b", {"a": ["?b"]}),
        ("path=../../x", {"path": ["../../x"]}),
    ],
)
async def test_each_parameter_is_a_list_of_decoded_values(
    serving: Serving, query: str, parameters: object
) -> None:
    async with serving(ECHO) as client:
        assert (await client.get(f"/echo?{query}")).json() == parameters


@pytest.mark.parametrize("query", [b"a=%FF", b"%C3=1", b"a=\xff", b"a=%ED%A0%80"])
async def test_a_query_that_is_not_utf_8_is_400(serving: Serving, query: bytes) -> None:
    async with serving(ECHO) as client:
        answer = await client.get(b"/echo?" + query)
    assert answer.code == 400
    assert "UTF-8" in answer.problem()["detail"]


async def test_a_query_with_too_many_fields_is_400(serving: Serving) -> None:
    async with serving(ECHO) as client:
        assert len((await client.get("/echo?" + "&".join(f"p{i}=1" for i in range(1000)))).json()) == 1000
        assert (await client.get("/echo?" + "&".join(f"p{i}=1" for i in range(1001)))).code == 400


async def test_headers_are_found_in_any_case_and_the_url_is_whole(serving: Serving) -> None:
    script = "return [request.headers['X-ORDER'], request.headers.get('x-other'), request.url, request.path]"
    async with serving(route("/a/{b}", script)) as client:
        seen = (await client.get("/a/%C3%A9?x=%201", headers={"X-Order": "7"})).json()
    assert seen == ["7", None, "http://localhost:9099/a/%C3%A9?x=%201", "/a/é"]


async def test_a_body_of_the_limit_passes_and_one_byte_more_is_413(serving: Serving) -> None:
    async with serving(SIZE) as client:
        assert (await client.post("/size", b"x" * DEFAULTS.max_body)).json() == DEFAULTS.max_body
        answer = await client.post("/size", b"x" * (DEFAULTS.max_body + 1))
        assert answer.code == 413
        assert str(DEFAULTS.max_body) in answer.problem()["detail"]


async def test_a_chunked_body_is_joined_and_held_to_the_same_limit(serving: Serving) -> None:
    half = b"x" * (DEFAULTS.max_body // 2)
    async with serving(SIZE, route("/body", "return request.body")) as client:
        assert (await client.post("/body", chunks=[b"a", b"", b"bc", b"d"])).body == b"abcd"
        assert (await client.post("/size", chunks=[half, half])).json() == DEFAULTS.max_body
        assert (await client.post("/size", chunks=[half, half, b"x"])).code == 413
        assert (await client.post("/size", chunks=[half * 3])).code == 413


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read(serving: Serving) -> None:
    async with serving(SIZE) as client:
        headers = {"content-length": str(DEFAULTS.max_body + 1)}
        assert (await client.post("/size", chunks=[b""], headers=headers)).code == 413


@pytest.mark.parametrize("before", [[], [{"type": "http.request", "body": b"half", "more_body": True}]])
async def test_a_script_does_not_run_for_a_client_that_is_gone(
    serving: Serving, before: list[object]
) -> None:
    async with serving(route("/a", "context.settings.NO_SUCH")) as client:
        messages = iter([*before, {"type": "http.disconnect"}])

        async def receive() -> object:
            return next(messages)

        async def send(message: object) -> None:
            raise AssertionError(f"nobody is there to be answered: {message}")

        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/a",
            "raw_path": b"/a",
            "query_string": b"",
            "headers": [(b"content-length", b"8")],
        }
        await client.app(scope, receive, send)


async def test_a_body_is_bytes_as_they_were_sent(serving: Serving) -> None:
    raw = bytes(range(256))
    async with serving(route("/a", "return request.body")) as client:
        assert (await client.post("/a", raw)).body == raw
        assert (await client.post("/a", b"")).body == b""


async def test_a_call_needs_a_token_unless_the_route_says_none(serving: Serving) -> None:
    async with serving(route("/open", "return 1"), route("/closed", "return 1", auth="axis")) as client:
        assert (await client.get("/open")).code == 200
        for headers in ({}, {"x-auth-token": ""}, {"x-auth-token": "wrong"}, {"x-auth-token": "é" * 9}):
            answer = await client.get("/closed", headers=headers)
            assert answer.code == 401
            assert "framework token" in answer.problem()["detail"]
            assert answer.headers["www-authenticate"]
        # No way to find out which paths need a token is left but to try them: an unknown path is 404.
        assert (await client.get("/unknown")).code == 404
