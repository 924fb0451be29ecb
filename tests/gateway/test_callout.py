"""callout: to this gateway and to other servers, from a routing script and from a worker."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from framework.errors import FrameworkError
from framework.script.callout import Callout

from .backend import Backend, running, unused_port
from .client import Answer, route
from .conftest import Serving

pytestmark = pytest.mark.anyio

CLOSED = route(
    "/closed/{key}",
    "if request.method == DELETE:\n    raise HTTPError(405)\n"
    "if request.method == PATCH:\n    raise RuntimeError('inner')\n"
    "return 201, [request.method, request.path, resources, parameters, request.body.decode(),"
    " request.headers.get('x-a'), request.headers.get('content-type')], {'X-B': 'b'}",
    auth="axis",
)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with running() as backend:
        yield backend


async def called(serving: Serving, arguments: str, *texts: str) -> Answer:
    """The answer of a script that calls out and tells what came back."""
    script = (
        f"r = await callout({arguments})\n"
        "body = r.body.decode() if isinstance(r.body, bytes) else r.body\n"
        "return {'code': r.code, 'body': body, 'headers': dict(r.headers)}"
    )
    async with serving(route("/call", script), *texts) as client:
        answer: Answer = await client.post("/call", b"{}")
    assert answer.code == 200, answer.body
    return answer


# ---- to this gateway ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ("'/closed/7'", ["GET", "/closed/7", {"key": "7"}, {}, "", None, None]),
        ("path='/closed/7', method=PUT", ["PUT", "/closed/7", {"key": "7"}, {}, "", None, None]),
        (
            "path='/closed/7?a=1&a=2', method=POST, body={'b': 'é'}",
            ["POST", "/closed/7", {"key": "7"}, {"a": ["1", "2"]}, '{"b":"é"}', None, "application/json"],
        ),
        ("'/closed/', POST, 'text'", ["POST", "/closed/", {}, {}, "text", None, None]),
        ("'/closed', POST, b'bytes'", ["POST", "/closed", {}, {}, "bytes", None, None]),
        ("'/closed', POST, MU({'a': 1})", ["POST", "/closed", {}, {}, '{"a":1}', None, "application/json"]),
        ("'/closed', headers={'X-A': 'é'}", ["GET", "/closed", {}, {}, "", "é", None]),
        ("'/closed/%C3%A9'", ["GET", "/closed/é", {"key": "é"}, {}, "", None, None]),
        ("'/closed/é'", ["GET", "/closed/é", {"key": "é"}, {}, "", None, None]),
        (
            "'/closed/é?é=注&a=%C3%A9'",
            ["GET", "/closed/é", {"key": "é"}, {"é": ["注"], "a": ["é"]}, "", None, None],
        ),
        ("'/closed/a b', auto_url_encode=True", ["GET", "/closed/a b", {"key": "a b"}, {}, "", None, None]),
    ],
)
async def test_a_call_from_inside_takes_the_same_way_without_a_token(
    serving: Serving, arguments: str, seen: list[Any]
) -> None:
    answer = (await called(serving, f"{arguments}, response_jsonify=True", CLOSED)).json()
    assert answer["code"] == 201
    assert answer["body"] == seen
    assert answer["headers"]["x-b"] == "b"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("'/closed/7', DELETE", 405),
        ("'/closed/7', PATCH", 500),
        ("'/nowhere'", 404),
        ("'/closed/..'", 400),
        ("'/closed?a=%FF'", 400),
        ("'/closed', POST, b'x' * (1024 * 1024 + 1)", 413),
        ("'/-/live'", 200),
    ],
)
async def test_an_error_of_a_call_from_inside_is_returned(
    serving: Serving, arguments: str, code: int
) -> None:
    assert (await called(serving, arguments, CLOSED)).json()["code"] == code


async def test_a_call_from_inside_that_takes_too_long_is_599(serving: Serving) -> None:
    slow = route("/slow", "await asyncio.sleep(30)")
    answer = (await called(serving, "'/slow', request_timeout=0.1", slow)).json()
    assert answer["code"] == 599
    assert "0.1 s" in answer["body"]


@pytest.mark.parametrize("headers", ["{'Content-Length': 'x'}", "{'X': '注'}", "{'注': 'x'}"])
async def test_odd_headers_of_a_call_from_inside_never_leave_the_application(
    serving: Serving, headers: str
) -> None:
    async with serving(route("/call", f"r = await callout('/a', headers={headers})"), CLOSED) as client:
        assert (await client.post("/call", b"{}")).code in (200, 500)
        assert (await client.get("/-/live")).code == 200


async def test_a_header_does_not_make_a_call_one_from_inside(serving: Serving) -> None:
    async with serving(CLOSED) as client:
        for name in ("x-forwarded-for", "forwarded", "x-real-ip", "via", "x-framework-inside"):
            assert (await client.get("/closed", headers={name: "127.0.0.1"})).code == 401


async def test_a_worker_calls_the_gateway_without_a_token_and_gets_errors_as_codes(serving: Serving) -> None:
    worker = """
name: Caller
mode: single
script: |
  async def consume():
      async with FIFO("go") as item:
          if item is None:
              return
          for method in (GET, POST, DELETE, PATCH):
              r = await callout(path=item.path, method=method, body={"a": 1})
              qprint("%s %d" % (method, r.code))
"""
    start = route("/start", "await FIFO('go').put({'path': '/closed/7'})\nreturn 202, None")
    printed: list[str] = []
    async with serving(CLOSED, start, worker, workers=True) as client:
        client.runtime.debug.listen(printed.append)
        assert (await client.post("/start")).code == 202
        async with asyncio.timeout(5):
            while len(printed) < 4:
                await asyncio.sleep(0.01)
    assert printed == ["GET 201", "POST 201", "DELETE 405", "PATCH 500"]


# ---- to other servers --------------------------------------------------------------------------


async def test_the_request_arrives_as_it_was_given(serving: Serving, backend: Backend) -> None:
    arguments = (
        f"url='{backend.url}/echo?a=1', method=POST, body={{'b': [1, 'é']}},"
        " headers={'X-Token': 't'}, authentication=('user', 'päss'), response_jsonify=True"
    )
    answer = (await called(serving, arguments)).json()
    assert answer["code"] == 200
    assert answer["headers"]["X-Order"] == "7"
    seen = answer["body"]
    assert seen == backend.requests[0]
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/echo?a=1", '{"b":[1,"é"]}')
    assert seen["headers"]["content-type"] == "application/json"
    assert seen["headers"]["x-token"] == "t"
    scheme, _, credentials = seen["headers"]["authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", "user:päss")


async def test_endpoint_and_path_make_the_url(serving: Serving, backend: Backend) -> None:
    await called(serving, f"path='/echo/1', endpoint='{backend.url}/'")
    assert backend.requests[0]["path"] == "/echo/1"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_all_methods_go_out(serving: Serving, backend: Backend, method: str) -> None:
    assert (await called(serving, f"url='{backend.url}/echo', method={method}")).json()["code"] == 200
    assert backend.requests[0]["method"] == method


@pytest.mark.parametrize("code", [201, 400, 401, 404, 409, 500, 503])
async def test_a_status_is_returned_and_not_raised(serving: Serving, backend: Backend, code: int) -> None:
    assert (await called(serving, f"url='{backend.url}/status/{code}'")).json()["code"] == code


async def test_a_redirect_is_returned_and_not_followed(serving: Serving, backend: Backend) -> None:
    answer = (await called(serving, f"url='{backend.url}/moved'")).json()
    assert (answer["code"], answer["headers"]["Location"]) == (302, "/status/200")
    assert len(backend.requests) == 1


async def test_a_cookie_that_one_script_was_given_is_not_sent_by_another(
    serving: Serving, backend: Backend
) -> None:
    url = backend.url.replace("127.0.0.1", "localhost")  # addresses have no cookies in any case
    scripts = [
        f"r = await callout(url='{url}/{path}')\nreturn r.headers.get('Set-Cookie', '')"
        for path in ("cookie", "echo")
    ]
    async with serving(route("/one", scripts[0]), route("/two", scripts[1])) as client:
        assert b"session=mine" in (await client.get("/one")).body
        assert (await client.get("/two")).code == 200
    assert [request["headers"].get("cookie") for request in backend.requests] == [None, None]


async def test_response_jsonify_decodes_what_is_json_and_leaves_the_rest(
    serving: Serving, backend: Backend
) -> None:
    wanted = "response_jsonify=True"
    assert (await called(serving, f"url='{backend.url}/status/404', {wanted}")).json()["body"] == {
        "status": 404
    }
    assert (await called(serving, f"url='{backend.url}/status/500', {wanted}")).json()["body"] == "not json"
    assert (await called(serving, f"url='{backend.url}/moved', {wanted}")).json()["body"] is None


@pytest.mark.parametrize("what", ["refused", "broken", "no-such-host", "no-url", "hang"])
async def test_no_answer_is_599(serving: Serving, backend: Backend, what: str) -> None:
    url = {
        "refused": f"http://127.0.0.1:{unused_port()}/",
        "broken": f"{backend.url}/break",
        "no-such-host": "http://no-such-host.invalid/",
        "no-url": "http://",
        "hang": f"{backend.url}/hang",
    }[what]
    began = time.monotonic()
    answer = (await called(serving, f"url='{url}', request_timeout=0.3")).json()
    assert answer["code"] == 599
    assert answer["body"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["localhost:9099/orders", "ftp://127.0.0.1/", "orders"])
async def test_what_is_no_url_of_a_server_is_599_and_says_so(serving: Serving, url: str) -> None:
    answer = (await called(serving, f"url='{url}'")).json()
    told = f"'{url}' is not the URL of a server: http://HOST/PATH or https://HOST/PATH"
    assert (answer["code"], answer["body"]) == (599, told)


async def test_it_is_tried_again_for_the_codes_that_were_named(serving: Serving, backend: Backend) -> None:
    arguments = f"url='{backend.url}/flaky/2', retry_count=5, retry_codes=[503], retry_interval=0.05"
    began = time.monotonic()
    answer = (await called(serving, arguments)).json()
    assert (answer["code"], answer["body"]) == (200, "3")
    assert len(backend.requests) == 3
    assert time.monotonic() - began >= 0.1


async def test_the_last_answer_counts_when_all_tries_fail(serving: Serving, backend: Backend) -> None:
    answer = (await called(serving, f"url='{backend.url}/flaky/9', retry_count=2, retry_codes=[503]")).json()
    assert (answer["code"], answer["body"]) == (503, "3")


async def test_other_codes_are_not_tried_again(serving: Serving, backend: Backend) -> None:
    await called(serving, f"url='{backend.url}/flaky/9', retry_count=2")
    assert len(backend.requests) == 1


async def test_a_delay_comes_before_the_request(serving: Serving, backend: Backend) -> None:
    began = time.monotonic()
    await called(serving, f"url='{backend.url}/echo', delay=0.2")
    assert time.monotonic() - began >= 0.2


async def test_calls_at_the_same_time_do_not_wait_for_each_other(serving: Serving, backend: Backend) -> None:
    script = (
        f"rs = await asyncio.gather(*[callout(url='{backend.url}/hang', request_timeout=0.3)"
        f" for _ in range(5)], callout(url='{backend.url}/echo'))\nreturn [r.code for r in rs]"
    )
    began = time.monotonic()
    async with serving(route("/a", script)) as client:
        assert (await client.get("/a")).json() == [599] * 5 + [200]
    assert time.monotonic() - began < 2


# ---- to a gateway in another process -----------------------------------------------------------


async def test_a_gateway_that_was_joined_is_called_by_path_with_the_token(backend: Backend) -> None:
    callout = Callout()
    callout.join(f"{backend.url}/", "secret")
    try:
        answer = await callout("/echo?a=é", "post", {"a": 1}, {"X-A": "b"}, response_jsonify=True)
        assert (answer.body["method"], answer.body["path"], answer.body["body"]) == (
            "POST",
            "/echo?a=%C3%A9",
            '{"a":1}',
        )
        assert answer.body["headers"]["x-auth-token"] == "secret"
        assert answer.body["headers"]["x-a"] == "b"
        elsewhere = await callout(url=f"{backend.url}/echo", response_jsonify=True)
        assert "x-auth-token" not in elsewhere.body["headers"], "the token is that gateway's alone"
        callout.join(backend.url, "renewed")
        answer = await callout("/echo", response_jsonify=True)
        assert answer.body["headers"]["x-auth-token"] == "renewed"
        with pytest.raises(FrameworkError, match="begins with a slash"):
            await callout("@elsewhere.test/")
    finally:
        await callout.close()


async def test_a_gateway_that_was_joined_and_has_gone_is_599() -> None:
    callout = Callout()
    callout.join(f"http://127.0.0.1:{unused_port()}", "secret")
    try:
        answer = await callout("/a")
        assert (answer.code, answer.body) == (599, b"cannot connect: connection refused")
    finally:
        await callout.close()


async def test_what_may_not_stand_in_a_url_reaches_a_joined_gateway_as_it_was_given(backend: Backend) -> None:
    callout = Callout()
    callout.join(backend.url, "secret")
    try:
        await callout("/echo/a b/é#x/../%2F?q=a b")
    finally:
        await callout.close()
    assert backend.requests[0]["path"] == "/echo/a%20b/%C3%A9%23x/../%2F?q=a%20b"


async def test_a_token_of_ones_own_is_not_replaced(backend: Backend) -> None:
    callout = Callout()
    callout.join(backend.url, "secret")
    try:
        answer = await callout("/echo", headers={"x-auth-token": "mine"}, response_jsonify=True)
    finally:
        await callout.close()
    assert answer.body["headers"]["x-auth-token"] == "mine"


# ---- the platform's signature ------------------------------------------------------------------


@pytest.fixture
async def callout() -> AsyncIterator[Callout]:
    callout = Callout()
    yield callout
    await callout.close()


async def test_names_of_the_platform_that_mean_nothing_here_are_accepted(
    callout: Callout, backend: Backend
) -> None:
    answer = await callout(
        url=f"{backend.url}/echo",
        static_route={"a": 1},
        xid=1,
        xname="x",
        scenario_id=2,
        scenario_whatever="s",
        lambda_termination=True,
        via_apigw=False,
    )
    assert answer.code == 200


async def test_a_slip_in_a_name_is_told(callout: Callout) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'retries'"):
        await callout("/a", retries=3)


async def test_authentication_takes_the_place_of_a_header(callout: Callout, backend: Backend) -> None:
    answer = await callout(
        url=f"{backend.url}/echo",
        headers={"authorization": "Bearer x"},
        authentication=["user", "secret"],
        response_jsonify=True,
    )
    assert answer.body["headers"]["authorization"] == "Basic dXNlcjpzZWNyZXQ="


@pytest.mark.parametrize("given", ["user:secret", ("user",), ("user", "secret", "x")])
async def test_authentication_that_is_no_pair_is_a_mistake_of_the_script(
    callout: Callout, given: Any
) -> None:
    with pytest.raises(FrameworkError, match=r"\(user, password\)"):
        await callout(url="http://127.0.0.1:1/", authentication=given)


class Reluctant:
    """A server that breaks the first connections off, and then answers each with 200."""

    def __init__(self, broken: int) -> None:
        self.broken = broken
        self.connections = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/"

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections > self.broken:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()


async def test_a_connection_that_fails_is_tried_again_by_default(callout: Callout) -> None:
    server = Reluctant(broken=2)
    async with server as url:
        assert (await callout(url=url, method="POST", body={}, retry_count=1)).code == 599
        answer = await callout(url=url, method="POST", body={}, retry_count=1)
        assert (answer.code, answer.body) == (200, b"ok")
    assert server.connections == 3


async def test_a_connection_is_not_tried_again_where_599_is_not_named(callout: Callout) -> None:
    server = Reluctant(broken=1)
    async with server as url:
        assert (await callout(url=url, method="POST", retry_count=3, retry_codes=[503])).code == 599
    assert server.connections == 1


async def test_the_connect_timeout_holds_for_a_server_that_says_nothing(callout: Callout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, but agrees on no TLS
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        async with asyncio.timeout(20):
            answer = await callout(url=url, connect_timeout=0.2, request_timeout=60)
    assert (answer.code, answer.body) == (599, b"no answer in time")


async def test_the_request_timeout_holds_for_each_try(callout: Callout, backend: Backend) -> None:
    answer = await callout(url=f"{backend.url}/hang", request_timeout=0.2, retry_count=2)
    assert (answer.code, answer.body) == (599, b"no answer in time")
    assert len(backend.requests) == 3


async def test_no_limit_is_0(callout: Callout, backend: Backend, serving: Serving) -> None:
    url = f"{backend.url}/slow/0.2"
    assert (await callout(url=url, request_timeout=0, connect_timeout=0)).body == b"late"
    slow = route("/slow", "await asyncio.sleep(0.2)\nreturn 'late'")
    assert (await called(serving, "'/slow', request_timeout=0", slow)).json()["body"] == "late"


async def test_many_slow_calls_hold_up_no_other(callout: Callout, backend: Backend) -> None:
    slow = [asyncio.create_task(callout(url=f"{backend.url}/slow/3")) for _ in range(120)]
    async with asyncio.timeout(20):
        while len(backend.requests) < 120:
            await asyncio.sleep(0.02)
    assert (await callout(url=f"{backend.url}/echo")).code == 200
    backend.closing.set()
    await asyncio.gather(*slow)


@pytest.mark.parametrize("url", ["http://", "http://[", "nowhere", "ftp://127.0.0.1/", "http://" + "a" * 70])
async def test_what_is_no_url_is_599_with_a_reason(callout: Callout, url: str) -> None:
    answer = await callout(url=url)
    assert answer.code == 599
    assert answer.body


async def test_a_call_that_names_nothing_is_a_mistake_of_the_script(callout: Callout) -> None:
    with pytest.raises(FrameworkError, match="needs a path of this gateway, or a url"):
        await callout()
    with pytest.raises(FrameworkError, match="without a gateway"):
        await callout("/a")
