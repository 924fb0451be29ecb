"""What an error that leaves a script means to the client and to the log."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from framework.errors import Unavailable
from framework.storage import Storage

from .client import THING, Answer, route
from .conftest import Serving

pytestmark = pytest.mark.anyio


async def answered(
    serving: Serving, script: str, body: bytes = b"", *, more: str = "", **keys: Any
) -> Answer:
    async with serving(route("/a", script, **keys), *filter(None, [more])) as client:
        answer: Answer = await client.post("/a", body)
        return answer


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        ("HTTPError(404, reason='no such order')", 404, "no such order"),
        ("HTTPError(404)", 404, None),
        ("HTTPError(405, 'Method not allowed')", 405, "Method not allowed"),
        ("HTTPError(418)", 418, None),
        ("HTTPError(499, reason='é 注文')", 499, "é 注文"),
        ("HTTPError(503, reason='a\\r\\nX: b')", 503, "a\r\nX: b"),
        ("HTTPError()", 500, None),
        ("Error(404, 'nothing here')", 404, "nothing here"),
        ("Error(409)", 409, None),
    ],
)
async def test_a_raised_http_error_is_the_answer(
    serving: Serving, caplog: pytest.LogCaptureFixture, error: str, code: int, detail: str | None
) -> None:
    answer = await answered(serving, f"raise {error}")
    assert answer.code == code
    assert answer.problem().get("detail") == detail
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_error_may_bring_its_own_body_and_more_information(serving: Serving) -> None:
    answer = await answered(serving, "raise Error(422, 'no', body={'why': [1]})")
    assert (answer.code, answer.json()) == (422, {"why": [1]})
    answer = await answered(serving, "raise Error(422, 'no', body='plain')")
    assert (answer.headers["content-type"], answer.body) == ("text/plain; charset=utf-8", b"plain")
    answer = await answered(serving, "raise Error(422, 'no', moreInfo='http://example.org/1')")
    content = answer.problem()
    assert (content["detail"], content["moreInfo"]) == ("no", "http://example.org/1")


@pytest.mark.parametrize(
    "error",
    [
        "HTTPError(200)",
        "HTTPError('404')",
        "Error(404, body=object())",
        "Error(404, moreInfo=float('nan'))",
        "HTTPError(404, reason=object())",
        "HTTPError(404, reason=b'bytes')",
        "Error(404, body=type('Bad', (), {'dictionary': property(lambda self: 1 / 0)})())",
    ],
)
async def test_an_http_error_that_cannot_be_sent_is_500(
    serving: Serving, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    answer = await answered(serving, f"raise {error}", b"{}")
    assert answer.code == 500
    assert answer.problem()["id"] in caplog.text


async def test_an_error_that_a_script_catches_is_not_an_answer(serving: Serving) -> None:
    answer = await answered(
        serving, "try:\n    raise HTTPError(404)\nexcept HTTPError as e:\n    return e.code"
    )
    assert (answer.code, answer.json()) == (200, 404)


@pytest.mark.parametrize(
    "script",
    [
        "raise RuntimeError('secret 4711')",
        "raise Exception('secret 4711')",
        "raise KeyError('secret 4711')",
        "x = {}['secret 4711']",
        "None.secret4711",
        "raise SystemExit('secret 4711')",
        "import sys; sys.exit(3)",
        "raise asyncio.CancelledError('secret 4711')",
        "raise TimeoutError('secret 4711')",
        "raise StopAsyncIteration('secret 4711')",
        "raise ExceptionGroup('secret 4711', [ValueError()])",
        "task = asyncio.ensure_future(asyncio.sleep(9))\ntask.cancel()\nawait task",
        "async with asyncio.timeout(0.01):\n    await asyncio.sleep(9)",
        "await callout()",
    ],
)
async def test_anything_else_is_500_with_an_id_and_no_internals(
    serving: Serving, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    async with serving(route("/a", script), route("/b", "return 1")) as client:
        answer = await client.post("/a", b"{}")
        assert (await client.get("/b")).code == 200
    assert answer.code == 500
    content = answer.problem()
    assert set(content) == {"type", "title", "status", "detail", "id"}
    told = answer.body.replace(content["id"].encode(), b"")  # random: it may have any digits
    for internal in (b"4711", b"Traceback", b".yaml", b".py", b"Error("):
        assert internal not in told
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert content["id"] in record.getMessage()
    assert "000.yaml:" in record.getMessage()


async def test_the_log_names_the_line_that_failed_and_shows_the_trace(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    script = "def inner(x):\n    return x / 0\na = 1\nreturn inner(a)"
    answer = await answered(serving, script)
    record: Any = next(r for r in caplog.records if answer.problem()["id"] in r.getMessage())
    assert "000.yaml:6 in inner: ZeroDivisionError: division by zero" in record.getMessage()
    assert '000.yaml", line 8' in record.traceback
    assert "ZeroDivisionError" in record.traceback
    assert "framework/gateway" not in record.traceback


@pytest.mark.parametrize("body", [b"{not json", b"", b"\xff", b"[1,", b"{'a': 1}"])
async def test_a_body_that_is_not_json_is_400_where_the_script_parses_it(
    serving: Serving, body: bytes
) -> None:
    answer = await answered(serving, "return json.loads(request.body)", body)
    assert answer.code == 400
    assert "JSON" in answer.problem()["detail"]


async def test_a_body_nested_too_deeply_is_400(serving: Serving) -> None:
    answer = await answered(serving, "return json.loads(request.body)", b"[" * 200_000 + b"]" * 200_000)
    assert answer.code == 400


@pytest.mark.parametrize("script", ["int('x')", "json.loads('{')", "def f():\n    return f()\nf()"])
async def test_a_value_error_with_a_good_body_is_the_scripts_own(serving: Serving, script: str) -> None:
    assert (await answered(serving, script, b'{"a": 1}')).code == 500


async def test_a_field_that_does_not_accept_its_value_is_422(serving: Serving) -> None:
    for body, field in [
        (b'{"key": 1}', "key"),
        (b'{"key": "k", "number": "1"}', "number"),
        (b'{"key": "k", "number": null}', "number"),
        (b'{"key": "k", "colour": "blue"}', "colour"),
        (b'{"key": "k", "size": 1}', "size"),
    ]:
        answer = await answered(serving, "atom.Thing(**json.loads(request.body))", body, more=THING)
        assert answer.code == 422
        assert answer.problem()["field"] == field


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"key": "k", "\\ud800": 1}', "\\ud800"),
        (b'{"key": "k", "\\udfff\\u6ce8": 1}', "\\udfff注"),
        (b'{"key": "k", "colour": "\\ud800"}', "colour"),
    ],
)
async def test_what_no_utf_8_can_carry_is_told_in_escapes(
    serving: Serving, caplog: pytest.LogCaptureFixture, body: bytes, told: str
) -> None:
    answer = await answered(serving, "atom.Thing(**json.loads(request.body))", body, more=THING)
    assert answer.code == 422
    assert told in answer.problem()["detail"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_reason_that_no_utf_8_can_carry_is_told_in_escapes(serving: Serving) -> None:
    script = "raise Error(404, 'no ' + json.loads(request.body), moreInfo='\\ud801')"
    content = (await answered(serving, script, b'"\\ud800"')).problem()
    assert (content["detail"], content["moreInfo"]) == ("no \\ud800", "\\ud801")


async def test_a_second_insert_of_a_key_is_409(serving: Serving) -> None:
    script = "await atom.Thing(**json.loads(request.body)).save()\nreturn 201, None"
    async with serving(THING, route("/a", script)) as client:
        assert (await client.post("/a", b'{"key": "k"}')).code == 201
        answer = await client.post("/a", b'{"key": "k", "number": 2}')
        assert answer.code == 409
        answer.problem()
        assert (await client.post("/a", b'{"key": "l"}')).code == 201


async def test_a_row_that_is_gone_is_409(serving: Serving) -> None:
    script = (
        "thing = atom.Thing(key='k')\nawait thing.save()\nother = await atom.Thing.load('k')\n"
        "await other.destroy()\nawait thing.save(number=5)"
    )
    assert (await answered(serving, script, more=THING)).code == 409


async def test_one_that_is_still_referred_to_is_409(serving: Serving) -> None:
    other = (
        "name: Other\nattributes:\n  identifier: {field_name: key, field_type: string}\n"
        "  ref_fields: [{field_name: thing, field_type: <AxisAtom.Thing>}]\n"
    )
    script = (
        "await atom.Other(key='o', thing={'key': 'k'}).save()\n"
        "thing = await atom.Thing.load('k')\nawait thing.destroy()"
    )
    async with serving(THING, other, route("/a", script)) as client:
        answer = await client.get("/a")
        assert answer.code == 409
        assert answer.problem()["detail"] == "Thing 'k' is still referred to by Other.thing of 'o'"


async def test_an_item_that_a_fifo_refuses_is_422(serving: Serving) -> None:
    script = "await FIFO('q').put(json.loads(request.body))"
    assert (await answered(serving, script, b"null")).code == 422
    for item in ("json.loads(request.body)", "{'order': json.loads(request.body), 'by': 'us'}"):
        large = json.dumps(["x" * 600_000, "y" * 449_000]).encode()
        answer = await answered(serving, f"await FIFO('q').put({item})", large, max_body=2_000_000)
        assert answer.code == 422


@pytest.mark.parametrize(
    "put",
    [
        "FIFO('q').put(['x' * 600_000] * 2)",
        "FIFO('q').put(None)",
        "FIFO('q').put({1: 2})",
        "FIFO('q').put(object())",
        "FIFO('').put(1)",
        "FIFO('q').put(1, key='')",
    ],
)
async def test_an_item_of_the_scripts_own_that_a_fifo_refuses_is_500(
    serving: Serving, caplog: pytest.LogCaptureFixture, put: str
) -> None:
    answer = await answered(serving, f"await {put}", b'{"a": 1}')
    assert answer.code == 500
    assert answer.problem()["id"] in caplog.text


async def test_no_answer_in_time_is_504(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    script = "await asyncio.sleep(30)\nreturn 1"
    answer = await answered(serving, script, request_timeout=0.2)
    assert answer.code == 504
    assert "0.2 s" in answer.problem()["detail"]
    assert "/a" in caplog.text


async def test_a_time_limit_of_one_request_is_not_another_ones(serving: Serving) -> None:
    slow = route("/slow", "await asyncio.sleep(30)", request_timeout=0.2)
    async with serving(slow, route("/fast", "await asyncio.sleep(0.4)\nreturn 1")) as client:
        answers = await asyncio.gather(client.get("/slow"), client.get("/fast"))
    assert [answer.code for answer in answers] == [504, 200]


class Failing:
    """A storage whose reads or writes fail as on a full disk, from the moment it is told to."""

    def __init__(self, storage: Storage, error: Exception | None = None) -> None:
        self._storage = storage
        self._error = error or Unavailable("disk /dev/secret is full")
        self.reads = self.writes = False

    def __getattr__(self, name: str) -> Any:
        if (self.writes and name == "write") or (self.reads and name in ("load", "select", "fifo_state")):
            raise self._error
        return getattr(self._storage, name)


async def test_a_database_that_cannot_be_written_is_503(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    failing: list[Failing] = []

    def through(storage: Storage) -> Any:
        failing.append(Failing(storage))
        return failing[0]

    scripts = {
        "/save": "await atom.Thing(key='k').save()\nreturn 1",
        "/put": "await FIFO('q').put(1)\nreturn 1",
        "/load": "await atom.Thing.load('k')\nreturn 1",
        "/none": "return 1",
    }
    routes = [route(path, script) for path, script in scripts.items()]
    async with serving(
        THING, *routes, route("/axis/{a}", "return 1", auth="axis"), through=through
    ) as client:
        failing[0].writes = True
        for path in ("/save", "/put"):
            answer = await client.post(path, b"{}")
            assert answer.code == 503
            assert answer.headers["retry-after"]
            assert b"secret" not in answer.body
        assert "disk /dev/secret is full" in caplog.text
        for path in ("/load", "/none"):
            assert (await client.get(path)).code == 200

        failing[0].reads = True
        assert (await client.get("/load")).code == 503
        assert (await client.get("/-/ready")).code == 503
        assert (await client.get("/-/live")).code == 200
        assert (await client.get("/axis/%C2%85forged", headers={"x-auth-token": "t"})).code == 503
        assert "GET /axis/{a}: disk" in caplog.text
        assert "forged" not in caplog.text  # a client's path is not in the log

        failing[0].writes = failing[0].reads = False
        for path in ("/save", "/put", "/load", "/-/ready"):
            assert (await client.get(path)).code == 200


@pytest.mark.parametrize("path", ["/axis", "/-/ready"])
async def test_an_unexpected_error_before_a_script_runs_is_500_with_an_id(
    serving: Serving, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def through(storage: Storage) -> Any:
        made.append(Failing(storage, ZeroDivisionError("secret")))
        return made[0]

    made: list[Failing] = []
    async with serving(route("/axis", "return 1", auth="axis"), through=through) as client:
        made[0].reads = True
        answer = await client.get(path, headers={"x-auth-token": "t"})
    assert answer.code == 500
    assert b"secret" not in answer.body
    assert f"error {answer.problem()['id']} in GET {path}: ZeroDivisionError: secret" in caplog.text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "what the script stored before stays"),
        ({"transaction": True}, "nothing was stored"),
        ({"idempotency": True}, "nothing was stored"),
    ],
)
@pytest.mark.parametrize(
    "ends", ["import framework.errors\nraise framework.errors.Unavailable('x')", "await FIFO('full').put(2)"]
)
async def test_a_503_tells_what_is_stored(
    serving: Serving, keys: dict[str, object], told: str, ends: str
) -> None:
    full = "fifo: full\nmax_length: 1\n"
    fill = route("/fill", "await FIFO('full').put(1)")
    script = f"await atom.Thing(key='k').save()\n{ends}"
    count = route("/count", "return len(await atom.Thing.retrieve())")
    async with serving(THING, full, fill, count, route("/a", script, **keys)) as client:
        assert (await client.post("/fill")).code == 200
        answer = await client.post("/a", b"{}")
        assert answer.code == 503
        assert told in answer.problem()["detail"]
        assert (await client.get("/count")).json() == (0 if keys else 1)


async def test_a_request_whose_client_goes_away_is_cancelled_and_harms_nobody(serving: Serving) -> None:
    script = "await asyncio.sleep(30)"
    async with serving(route("/slow", script), route("/a", "return 1")) as client:
        task = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get("/a")).code == 200
