"""Scripts before and after a target: what they see, what they may change, and what becomes of their mistakes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote

import pytest

from .backend import Backend, running, unused_port
from .client import THING, route
from .conftest import Serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def backend() -> Iterator[Backend]:
    with running() as backend:
        yield backend


def to(backend: Backend, path: str, script: str, **keys: object) -> str:
    texts = {name: dedent(value) if isinstance(value, str) else value for name, value in keys.items()}
    return route(path, dedent(script), target={"authorities": [backend.url]}, **texts)


PASS = "logger.debug('on it goes')"


# ---- before the target ----------------------------------------------------------------------


async def test_a_script_that_answers_keeps_the_target_out(serving: Serving, backend: Backend) -> None:
    returning = to(backend, "/a", "return 201, 'mine'")
    finishing = to(backend, "/b", "finish('done', code=202)")
    empty = to(backend, "/c", "return 204, None")
    async with serving(returning, finishing, empty) as client:
        assert (await client.get("/a")).body == b"mine"
        assert (await client.get("/b")).code == 202
        assert (await client.get("/c")).code == 204
    assert backend.requests == []


async def test_what_a_script_leaves_alone_goes_on_as_it_came(serving: Serving, backend: Backend) -> None:
    async with serving(to(backend, "/echo/{x}", PASS)) as client:
        answer = await client.request(
            "PUT", "/echo/%C3%A9?a=%20&a", chunks=[b"he", b"llo"], headers={"X-A": "1", "Content-Type": "x/y"}
        )
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/echo/%C3%A9?a=%20&a", "hello")
    assert (seen["headers"]["x-a"], seen["headers"]["content-type"]) == ("1", "x/y")
    assert answer.headers["x-order"] == "7"


@pytest.mark.parametrize(
    ("script", "method", "path", "body"),
    [
        ("request.method = POST", "POST", "/echo/7?q=1", "sent"),
        ("request.path = '/other/a b/é'", "GET", "/other/a%20b/%C3%A9?q=1", "sent"),
        ("request.path = '/a?b#c'", "GET", "/a%3Fb%23c?q=1", "sent"),
        ("request.path = '/100%'", "GET", "/100%25?q=1", "sent"),
        ("request.path = request.path", "GET", "/echo/7?q=1", "sent"),
        ("request.query = request.query", "GET", "/echo/7?q=1", "sent"),
        ("request.method = request.method", "GET", "/echo/7?q=1", "sent"),
        ("request.body = request.body", "GET", "/echo/7?q=1", "sent"),
        ("request.query = 'x=%20'", "GET", "/echo/7?x=%20", "sent"),
        ("request.query = b'x=1'", "GET", "/echo/7?x=1", "sent"),
        ("request.query = {'x': ['1', 'é&'], 'y': 2}", "GET", "/echo/7?x=1&x=%C3%A9%26&y=2", "sent"),
        ("request.query = 'a b\\r\\nX: 1'", "GET", "/echo/7?a%20b%0D%0AX:%201", "sent"),
        ("request.query = ''", "GET", "/echo/7", "sent"),
        ("request.body = b'bytes'", "GET", "/echo/7?q=1", "bytes"),
        ("request.body = 'é'", "GET", "/echo/7?q=1", "é"),
        ("request.body = {'a': [1]}", "GET", "/echo/7?q=1", '{"a":[1]}'),
        ("request.body = None", "GET", "/echo/7?q=1", ""),
    ],
)
async def test_a_script_changes_the_request(
    serving: Serving, backend: Backend, script: str, method: str, path: str, body: str
) -> None:
    async with serving(to(backend, "/echo/{x}", script)) as client:
        seen = (await client.request("GET", "/echo/7?q=1", body=b"sent")).json()
    assert (seen["method"], seen["path"], seen["body"]) == (method, path, body)
    assert seen["headers"].get("content-length", "0") == str(len(body.encode()))


async def test_a_script_changes_headers(serving: Serving, backend: Backend) -> None:
    script = """
    request.headers["X-New"] = resources["x"]
    request.headers["Host"] = "virtual.example"
    request.headers["X-Forwarded-For"] = "6.6.6.6"
    request.headers["Content-Length"] = "99"
    request.headers["Transfer-Encoding"] = "chunked"
    request.headers["X-Auth-Token"] = "the target's"
    del request.headers["x-old"]
    """
    async with serving(to(backend, "/echo/{x}", script)) as client:
        seen = (await client.post("/echo/7", b"hi", headers={"X-Old": "1"})).json()["headers"]
    assert (seen["x-new"], seen["host"], seen["x-auth-token"]) == ("7", "virtual.example", "the target's")
    assert (seen["x-forwarded-for"], seen["content-length"]) == ("127.0.0.1", "2")
    assert not {"x-old", "transfer-encoding"} & seen.keys()


@pytest.mark.parametrize(
    "script",
    [
        "request.path = 'relative'",
        "request.path = ''",
        "request.path = '/a/../b'",
        "request.path = '/..'",
        "request.path = '/..;/b'",
        "request.path = '/.;a=1/b'",
        "request.path = '/%2e%2E/b'",
        "request.path = '/..%3bx/b'",
        "request.path = '/a%2Fb'",
        "request.path = '/a%5cb'",
        "request.path = '/a' + chr(92) + 'b'",
        "request.path = '/a%00'",
        "request.path = '/a' + chr(0)",
        "request.path = '/a%0D%0AX: 1'",
        "request.path = '/a' + chr(13) + chr(10) + 'X: 1'",
        "request.path = '/a' + chr(127)",
        "request.path = '/a' + chr(0xd800)",
        "request.path = '//host/x'",
        "request.path = 'http://host/x'",
        "request.path = 7",
        "request.path = b'/x'",
        "request.method = 'GET /x HTTP/1.1'",
        "request.method = ''",
        "request.method = None",
        "request.method = 'TRACE'",
        "request.method = 'connect'",
        "request.headers['X-A'] = 'a' + chr(13) + chr(10) + 'X-B: 1'",
        "request.headers['X-A'] = chr(0)",
        "request.headers['X-A'] = 'caf' + chr(0xe9)",
        "request.headers['X-A'] = chr(0x65e5)",
        "request.headers['X A'] = '1'",
        "request.headers[''] = '1'",
        "request.headers['X-A'] = 7",
        "request.headers['X-A'] = None",
        "request.headers['X-A'] = b'1'",
        "request.headers['X-A'] = ['1', 2]",
        "request.headers = {'X-A': '1'}",
        "request.query = 7",
        "request.body = object()",
    ],
)
async def test_what_cannot_be_sent_is_the_scripts_mistake(
    serving: Serving, backend: Backend, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(to(backend, "/echo/{x}", f"logger.debug('first')\n{script}")) as client:
        answer = await client.post("/echo/7?q=1", b"not JSON")
    assert answer.code == 500
    assert backend.requests == []
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert answer.problem()["id"] in record.getMessage()
    if "object()" not in script:  # a body may be changed until it is sent
        assert "000.yaml:7 in request_forbidden_process" in record.getMessage()


async def test_a_host_is_one_host(serving: Serving, backend: Backend) -> None:
    two = to(backend, "/two", "request.headers['Host'] = ['a.example', 'b.example']")
    bad = to(backend, "/bad", "request.headers['Host'] = 'a.example/b'")
    async with serving(two, bad) as client:
        assert (await client.get("/two")).code == 500
        assert (await client.get("/bad")).code == 500
    assert backend.requests == []


async def test_a_path_is_the_clients_mistake_where_a_value_of_its_own_spoils_it(
    serving: Serving, backend: Backend
) -> None:
    query = to(backend, "/query", "request.path = '/files/' + parameters['name'][0]")
    body = to(backend, "/body", "request.path = '/files/' + json.loads(request.body)['in'][0]['name']")
    variable = to(backend, "/path/{x}", "request.path = '/files/' + resources['x']")
    async with serving(query, body, variable) as client:
        for name in ("../x", "a/../../x", "..;/x", "%2e%2e/x", "%00", "%0D%0Ax", "a%2Fb", "%5C"):
            sent = name.replace("%", "%25")
            assert (await client.get(f"/query?name={sent}")).code == 400
            assert (await client.post("/body", b'{"in": [{"name": "%s"}]}' % name.encode())).code == 400
            if "/" not in name:
                assert (await client.get(f"/path/{sent}")).code == 400
        assert backend.requests == []
        assert (await client.get("/query?name=a..b/c")).code == 200


async def test_what_is_set_to_the_value_that_it_has_is_set(serving: Serving, backend: Backend) -> None:
    target = {"authorities": [backend.url], "path": "/elsewhere/{x}"}
    same = route("/same/{x}", "request.path = request.path", target=target)
    host = to(backend, "/host", "request.headers['Host'] = request.headers['host']")
    none = to(backend, "/none", "del request.headers['host']")
    left = route("/left/{x}", PASS, target=target)
    async with serving(same, host, none, left) as client:
        assert (await client.get("/same/7")).json()["path"] == "/same/7"
        assert (await client.get("/left/7")).json()["path"] == "/elsewhere/7"
        assert (await client.get("/host")).json()["headers"]["host"] == "localhost:9099"
        own = backend.url.removeprefix("http://")
        assert (await client.get("/none")).json()["headers"]["host"] == own


async def test_a_body_that_a_script_may_read_is_held_to_the_limit(serving: Serving, backend: Backend) -> None:
    large = b"x" * (1024 * 1024 + 1)
    streamed = "- proxy: {path: /echo, authorization: {auth_mode: none}}\n"
    streamed += f"  target: {{authorities: ['{backend.url}']}}\n"
    async with serving(to(backend, "/held", PASS), streamed) as client:
        assert (await client.post("/held", large)).code == 413
        assert backend.requests == []
        assert len((await client.post("/echo", large)).json()["body"]) == len(large)


# ---- after the target -----------------------------------------------------------------------


async def test_a_response_script_sees_and_changes_the_response(serving: Serving, backend: Backend) -> None:
    script = """
    seen = json.loads(response.body)
    response.code = 203
    response.headers["x-order"] = "8"
    response.headers.append("Set-Cookie", "a=1")
    response.headers.append("Set-Cookie", "b=2")
    response.body = {"path": seen["path"], "session": session.mark, "sent": request.body.decode(),
                     "resources": resources, "parameters": parameters, "route": route.path}
    """
    entry = to(backend, "/echo/{x}", "session.mark = 7", response_forbidden_process=script)
    async with serving(entry) as client:
        answer = await client.post("/echo/a?b=1", b"hi")
    assert answer.code == 203
    assert answer.headers["x-order"] == "8"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "path": "/echo/a?b=1",
        "session": 7,
        "sent": "hi",
        "resources": {"x": "a"},
        "parameters": {"b": ["1"]},
        "route": "/echo/{x}",
    }


@pytest.mark.parametrize(
    ("script", "code", "body"),
    [
        ("return 'instead'", 200, b"instead"),
        ("return 418, {'a': 1}", 418, b'{"a":1}'),
        ("finish('done', code=202)", 202, b"done"),
        ("raise HTTPError(409, reason='no')", 409, None),
        ("response.body = b''", 200, b""),
        ("response.body = 'text'", 200, b"text"),
        ("response.body = None", 200, b""),
        ("response.code = 204", 204, b""),
        ("response.code = 700", 500, None),
        ("response.headers['x'] = 'a\\r\\nb: c'", 500, None),
        ("response.body = object()", 500, None),
        ("1 / 0", 500, None),
    ],
)
async def test_a_response_script_answers_as_a_request_script_does(
    serving: Serving, backend: Backend, script: str, code: int, body: bytes | None
) -> None:
    async with serving(to(backend, "/echo", PASS, response_forbidden_process=script)) as client:
        answer = await client.get("/echo")
    assert answer.code == code
    if body is not None:
        assert answer.body == body
    assert len(backend.requests) == 1


async def test_a_response_script_runs_for_what_the_target_said_only(
    serving: Serving, backend: Backend
) -> None:
    """Not for what a request script answered, and not for what the gateway says where a target does not answer."""
    after = "response.headers['x-after'] = '1'"
    dead = {"authorities": [f"127.0.0.1:{unused_port()}"]}
    async with serving(
        to(backend, "/status/{code}", PASS, response_forbidden_process=after),
        to(backend, "/mine", "return 'mine'", response_forbidden_process=after),
        route("/dead", PASS, target=dead, response_forbidden_process=after),
    ) as client:
        for code in (200, 404, 500):
            answer = await client.get(f"/status/{code}")
            assert (answer.code, answer.headers["x-after"]) == (code, "1")
        assert "x-after" not in (await client.get("/mine")).headers
        answer = await client.get("/dead")
        assert (answer.code, "x-after" in answer.headers) == (502, False)


async def test_the_target_is_asked_for_a_body_that_the_script_can_read(
    serving: Serving, backend: Backend
) -> None:
    headers = {"Accept-Encoding": "gzip, br"}
    async with serving(
        to(backend, "/read", PASS, response_forbidden_process="json.loads(response.body)"),
        to(backend, "/passed", PASS),
    ) as client:
        assert (await client.get("/read", headers=headers)).json()["headers"]["accept-encoding"] == "identity"
        assert (await client.get("/passed", headers=headers)).json()["headers"][
            "accept-encoding"
        ] == "gzip, br"


async def test_a_large_response_is_not_held_for_a_script(serving: Serving, backend: Backend) -> None:
    async with serving(
        to(backend, "/echo", PASS, response_forbidden_process="response.headers['x'] = '1'"),
    ) as client:
        answer = await client.post("/echo", b"x" * (1024 * 1024))  # the echo is somewhat larger
    assert answer.code == 502
    assert "too large" in answer.problem()["detail"]


async def test_the_time_limit_holds_for_scripts_and_target_together(
    serving: Serving, backend: Backend
) -> None:
    slow = to(backend, "/slow/{s}", "await asyncio.sleep(0.3)", request_timeout=0.5)
    after = to(
        backend, "/echo", PASS, request_timeout=0.3, response_forbidden_process="await asyncio.sleep(9)"
    )
    async with serving(slow, after) as client:
        assert (await client.get("/slow/0")).code == 200
        assert (await client.get("/slow/0.4")).code == 504
        assert (await client.get("/echo")).code == 504


# ---- what is stored -------------------------------------------------------------------------


async def test_each_script_is_a_transaction_of_its_own(serving: Serving, backend: Backend) -> None:
    """What the request script wrote is stored before the target is asked, whatever the target answers."""
    before = "await atom.Thing(key=resources['x'], number=1).save()"
    after = "await atom.Thing(key='after-' + resources['x'], number=2).save()\nif resources['x'] == 'bad':\n    1 / 0"
    keys = {"transaction": True, "response_forbidden_process": after}
    asking = route(
        "/dead/{x}", before, transaction=True, target={"authorities": [f"127.0.0.1:{unused_port()}"]}
    )
    listing = route("/list", "return [t.key for t in await atom.Thing.retrieve()]")
    async with serving(THING, to(backend, "/echo/{x}", before, **keys), asking, listing) as client:
        assert (await client.post("/echo/good")).code == 200
        assert (await client.post("/echo/bad")).code == 500
        assert (await client.post("/dead/kept")).code == 502
        assert (await client.get("/list")).json() == ["good", "after-good", "bad", "kept"]


async def test_a_request_that_must_act_once_is_never_forwarded(serving: Serving, backend: Backend) -> None:
    """Check finds it; where it cannot see it, the run does, and nothing is stored."""
    script = "await atom.Thing(key='x').save()\nanswers = []\nreturn answers[0] if answers else None"
    listing = route("/list", "return len(await atom.Thing.retrieve())")
    async with serving(THING, to(backend, "/echo", script, idempotency=True), listing) as client:
        answer = await client.post("/echo", b"{}", headers={"Idempotency-Key": "k"})
        assert answer.code == 500
        assert (await client.get("/list")).json() == 0
    assert backend.requests == []


# ---- from inside ----------------------------------------------------------------------------


async def test_a_callout_reaches_a_target_by_the_same_way(serving: Serving, backend: Backend) -> None:
    asking = route(
        "/ask",
        "a = await callout('/echo/7?x=1', method=POST, body={'a': 1})\nreturn a.code, a.body, dict(a.headers)",
    )
    dead = route("/ask-dead", "a = await callout('/dead')\nreturn [a.code, a.body.decode()]")
    target = {"authorities": [f"127.0.0.1:{unused_port()}"]}
    async with serving(
        asking, dead, to(backend, "/echo/{x}", PASS, auth="axis"), route("/dead", PASS, target=target)
    ) as client:
        answer = await client.get("/ask")
        seen = answer.json()
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/echo/7?x=1", '{"a":1}')
        assert "x-forwarded-for" not in seen["headers"]
        assert seen["headers"]["forwarded"] == "for=unknown;proto=http"
        assert answer.headers["x-order"] == "7"
        assert (await client.get("/ask-dead")).json()[0] == 502


async def test_a_callout_that_is_given_up_ends_the_call_of_the_target(
    serving: Serving, backend: Backend
) -> None:
    asking = route("/ask", "a = await callout('/hang', request_timeout=0.3)\nreturn [a.code]")
    async with serving(asking, to(backend, "/hang", PASS)) as client:
        before = asyncio.all_tasks()
        assert (await client.get("/ask")).json() == [599]
        assert asyncio.all_tasks() == before


async def test_clients_that_go_away_leave_no_task(serving: Serving, backend: Backend) -> None:
    async with serving(to(backend, "/hang", PASS), to(backend, "/slow/{s}", PASS)) as client:
        await client.get("/slow/0")
        before = asyncio.all_tasks()

        async def gone() -> None:
            messages = iter([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])

            async def receive() -> object:
                return next(messages)

            async def send(message: object) -> None:
                raise AssertionError(f"nobody is there to be answered: {message}")

            scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/hang", "raw_path": b"/hang"}
            await client.app({**scope, "query_string": b"", "headers": []}, receive, send)

        await asyncio.gather(*(gone() for _ in range(50)))
        async with asyncio.timeout(5):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.01)


# ---- a URL that a script sets ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("/other", "/other"),
        ("/other/caf%C3%A9?a=1&b=%20", "/other/café?a=1&b=%20"),
        ("?a=1", "/?a=1"),
        ("{backend}/other?a=1", "/other?a=1"),
        ("{backend}", "/"),
    ],
)
async def test_a_url_that_is_set_is_where_the_request_goes(
    serving: Serving, backend: Backend, url: str, sent: str
) -> None:
    url = url.format(backend=backend.url)
    host = f"http://127.0.0.1:{unused_port()}" if url.startswith("http") else backend.url
    script = f"request.url = {url!r}\nsession.url = request.url"
    entry = route("/here/{x}", script, target={"authorities": [host], "path": "/never"})
    async with serving(entry) as client:
        answer = await client.get("/here/7?old=1")
    assert answer.code == 200
    assert unquote(backend.requests[0]["path"].partition("?")[0]) == sent.partition("?")[0]
    assert backend.requests[0]["path"].partition("?")[2] == sent.partition("?")[2]
    assert backend.requests[0]["headers"]["host"] == backend.url.removeprefix("http://")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "7",
            "'relative'",
            "'ftp://a/b'",
            "'//host/b'",
            "'http://'",
            "'http:///b'",
            "'http://u:p@a/b'",
            "'/a#b'",
        ),
        *(
            "'/a b'",
            "'/é'",
            "'/a/../b'",
            "'/a%2Fb'",
            "'/a%00'",
            "'http://a:99999/'",
            "'http://a:x/'",
            "''",
            "None",
        ),
    ],
)
async def test_a_url_that_cannot_be_asked_is_refused_where_it_is_set(
    serving: Serving, backend: Backend, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    async with serving(to(backend, "/echo", f"request.url = {url}")) as client:
        answer = await client.get("/echo")
    assert answer.code == 500
    assert "000.yaml:" in caplog.text
    assert backend.requests == []


# ---- what described the body that the target sent -------------------------------------------

OF_THE_BODY = {
    "ETag": '"a"',
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "Digest": "sha-256=x",
    "Content-Digest": "sha-256=:x:",
    "Repr-Digest": "sha-256=:x:",
    "Content-Range": "bytes 0-1/4",
    "Accept-Ranges": "bytes",
    "Content-Encoding": "br",
}


@pytest.mark.parametrize(
    ("script", "code", "kept"),
    [
        ("response.headers['X-A'] = 'b'", 206, set(OF_THE_BODY)),
        ("response.body = 'new'", 200, set()),
        ("response.headers['ETag'] = '\"a\"'\nresponse.body = b'new'", 200, {"ETag"}),
        ("response.body = 'new'\nresponse.headers |= {'Content-Encoding': 'br'}", 200, {"Content-Encoding"}),
        ("response.headers = {'Digest': 'sha-256=x'}\nresponse.body = 'new'", 200, {"Digest"}),
        ("response.body = 'new'\nresponse.code = 203", 203, set()),
    ],
)
async def test_a_new_body_drops_what_described_the_old_one(
    serving: Serving, backend: Backend, script: str, code: int, kept: set[str]
) -> None:
    backend.scripted = (206, b"part", OF_THE_BODY)
    async with serving(to(backend, "/scripted", PASS, response_forbidden_process=script)) as client:
        answer = await client.get("/scripted")
    assert answer.code == code
    assert {name for name in OF_THE_BODY if name.lower() in answer.headers} == kept
    assert answer.body == (b"part" if code == 206 else b"new")


PACKED = [
    ("gzip", gzip.compress(b"plain")),
    ("deflate", zlib.compress(b"plain")),
    ("deflate", zlib.compress(b"plain")[2:-4]),  # the bare stream, which some servers send
    ("GZIP, identity", gzip.compress(b"pl") + gzip.compress(b"ain")),
    ("deflate, gzip", gzip.compress(zlib.compress(b"plain"))),
]


@pytest.mark.parametrize(("coding", "packed"), PACKED, ids=["gzip", "deflate", "bare", "members", "nested"])
async def test_a_compressed_body_is_unpacked_for_the_script_alone(
    serving: Serving, backend: Backend, coding: str, packed: bytes
) -> None:
    backend.scripted = (200, packed, {"Content-Encoding": coding, "ETag": '"a"'})
    reads = to(
        backend,
        "/scripted",
        PASS,
        response_forbidden_process="response.headers['X'] = response.body.decode()",
    )
    sets = to(backend, "/scripted/a", PASS, response_forbidden_process="response.body += b' and more'")
    async with serving(reads, sets) as client:
        answer = await client.get("/scripted")
        assert (answer.headers["x"], answer.body) == ("plain", packed)
        assert (answer.headers["content-encoding"], answer.headers["etag"]) == (coding, '"a"')
        answer = await client.get("/scripted/a")
        assert answer.body == b"plain and more"
        assert not {"content-encoding", "etag"} & answer.headers.keys()


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"a" * 5000),
        gzip.compress(b"a" * 500) + gzip.compress(b"a" * 501),
        gzip.compress(b"plain")[:-1],
        b"no gzip",
        b"",
    ],
    ids=["large", "large together", "cut", "other", "empty"],
)
async def test_what_cannot_be_unpacked_within_the_limit_stays_as_it_is(
    serving: Serving, backend: Backend, packed: bytes
) -> None:
    backend.scripted = (200, packed, {"Content-Encoding": "gzip"})
    script = "response.headers['X'] = f'{len(response.body)} {response.headers[\"content-encoding\"]}'"
    entry = to(backend, "/scripted", PASS, response_forbidden_process=script, max_body=1000)
    async with serving(entry) as client:
        answer = await client.get("/scripted")
    assert answer.code == 200
    assert answer.body == packed
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("method", "sent", "code", "body"),
    [
        ("GET", (200, b'{"a": 1}', {"ETag": '"a"'}), 200, b'{"a":1,"unit":"g"}'),
        (
            "GET",
            (200, gzip.compress(b'{"a": 1}', mtime=0), {"Content-Encoding": "gzip"}),
            200,
            b'{"a":1,"unit":"g"}',
        ),
        ("HEAD", (200, b'{"a": 1}', {}), 200, b""),
        ("GET", (204, b"", {}), 204, b""),
        ("GET", (304, b"", {"ETag": '"a"'}), 304, b""),
        ("GET", (206, b'{"a"', {"Content-Range": "bytes 0-3/8"}), 206, b'{"a"'),
        ("GET", (404, b"<html>", {}), 200, b'{"stock":0}'),
        ("HEAD", (404, b"<html>", {}), 200, b""),
        ("GET", (503, b"<html>", {}), 503, b"<html>"),
        ("POST", (200, b"", {}), 200, b""),
    ],
)
async def test_the_response_script_of_the_documentation_works(
    serving: Serving,
    backend: Backend,
    method: str,
    sent: tuple[int, bytes, dict[str, str]],
    code: int,
    body: bytes,
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
    script = page.partition("## The response script")[2].partition("```python\n")[2].partition("```")[0]
    backend.scripted = sent
    async with serving(to(backend, "/scripted", PASS, response_forbidden_process=script)) as client:
        if method == "HEAD":  # the server leaves the body out
            assert (await client.app.call("HEAD", "/scripted", {}, b"")).code == code
            return
        answer = await client.request(method, "/scripted")
    assert (answer.code, answer.body) == (code, body)
    if (method, code, sent[0]) != ("GET", 200, 404):
        assert answer.headers.get("x-seen-by", "/scripted") == "/scripted"
    if code in (206, 304):
        assert all(answer.headers[name.lower()] == value for name, value in sent[2].items())
