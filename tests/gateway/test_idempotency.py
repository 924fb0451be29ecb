"""A request that is sent twice with one ``Idempotency-Key`` acts once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from framework.access import tokens
from framework.errors import Unavailable
from framework.gateway import idempotency
from framework.storage.operations import EndRequest
from framework.storage.tables import REQUEST
from tests.contract.engines import ENGINES

from .conftest import Serving

pytestmark = pytest.mark.anyio

APP = """
- name: Thing
  attributes:
    identifier: {field_name: thingId, field_type: string, field_default: uuid.uuid4().hex}
    local_fields:
    - {field_name: name, field_type: string}
- proxy:
    path: /things/{thingId}
    authorization: {auth_mode: none}
  idempotency: true
  request_forbidden_process: |
    if request.method == GET:
        return 200, [thing.name for thing in await atom.Thing.retrieve()]
    wanted = json.loads(request.body)
    thing = atom.Thing(name=wanted["name"])
    await thing.save()
    await asyncio.sleep(wanted.get("sleep", 0))
    if "raise" in wanted:
        raise HTTPError(wanted["raise"], reason="as you wish")
    if "fail" in wanted:
        1 / 0
    return wanted.get("code", 201), {"id": thing.thingId, "pad": "x" * wanted.get("pad", 0)}, {"x-made-by": "us"}
"""


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


async def names(client: Any) -> list[str]:
    found: list[str] = (await client.get("/things")).json()
    return found


async def test_a_request_ends_when_its_process_has_lost_the_mark_of_it(
    serving: Serving, tmp_path: Path
) -> None:
    """Another server may begin it again: from a copy of the database, here."""
    async with serving(APP) as client:
        body = b'{"name": "a", "sleep": 600}'
        answering = asyncio.create_task(client.post("/things", body, headers=key("k1")))
        session = client.runtime.session
        async with asyncio.timeout(20):
            while not await session.storage.select(select(REQUEST)):
                await asyncio.sleep(0.01)
            ENGINES[0].disown(session.storage.url)
            answer = await answering
        assert answer.code == 503
        assert "nothing was stored" in answer.json()["detail"]


async def test_the_first_response_is_replayed_and_nothing_is_done_again(serving: Serving) -> None:
    async with serving(APP) as client:
        first = await client.post("/things", b'{"name": "a"}', headers=key('"k1"'))
        again = await client.post("/things", b'{"name": "a"}', headers=key('"k1"'))
        assert first.code == again.code == 201
        assert again.body == first.body
        assert again.headers == first.headers
        assert first.headers["x-made-by"] == "us"
        assert await names(client) == ["a"]


async def test_without_a_key_and_with_another_one_it_acts_again(serving: Serving) -> None:
    async with serving(APP) as client:
        for headers in ({}, {}, key("k1"), key("k2")):
            assert (await client.post("/things", b'{"name": "a"}', headers=headers)).code == 201
        assert await names(client) == ["a"] * 4


async def test_a_key_with_quotation_marks_is_the_same_as_without(serving: Serving) -> None:
    async with serving(APP) as client:
        for value in ('"k1"', "k1"):
            await client.post("/things", b'{"name": "a"}', headers=key(value))
        assert await names(client) == ["a"]


async def test_method_and_path_belong_to_the_key(serving: Serving) -> None:
    async with serving(APP) as client:
        await client.post("/things", b'{"name": "a"}', headers=key("k1"))
        await client.request("PUT", "/things", body=b'{"name": "b"}', headers=key("k1"))
        await client.post("/things/7", b'{"name": "c"}', headers=key("k1"))
        assert await names(client) == ["a", "b", "c"]


@pytest.mark.parametrize("target", ["/things?x=1", "/things"])
async def test_other_contents_under_the_same_key_are_refused(serving: Serving, target: str) -> None:
    async with serving(APP) as client:
        await client.post("/things", b'{"name": "a"}', headers=key("k1"))
        body = b'{"name": "b"}' if target == "/things" else b'{"name": "a"}'
        answer = await client.post(target, body, headers=key("k1"))
        assert answer.code == 422
        assert "Idempotency-Key" in answer.problem()["detail"]
        assert await names(client) == ["a"]


async def test_a_second_one_while_the_first_is_in_progress_is_a_conflict(serving: Serving) -> None:
    async with serving(APP) as client:
        body = b'{"name": "a", "sleep": 0.2}'
        first = asyncio.create_task(client.post("/things", body, headers=key("k1")))
        await asyncio.sleep(0.05)
        second = await client.post("/things", body, headers=key("k1"))
        assert second.code == 409
        assert second.headers["retry-after"] == "1"
        assert (await first).code == 201
        assert (await client.post("/things", body, headers=key("k1"))).body == (await first).body
        assert await names(client) == ["a"]


async def test_a_refusal_is_a_final_response_too_and_stores_nothing_else(serving: Serving) -> None:
    async with serving(APP) as client:
        body = b'{"name": "a", "raise": 409}'
        first = await client.post("/things", body, headers=key("k1"))
        again = await client.post("/things", body, headers=key("k1"))
        assert (first.code, again.code) == (409, 409)
        assert again.body == first.body
        assert await names(client) == []


@pytest.mark.parametrize("body", [b'{"name": "a", "fail": 1}', b'{"name": "a", "raise": 503}'])
async def test_a_server_error_is_not_kept(serving: Serving, body: bytes) -> None:
    async with serving(APP) as client:
        assert (await client.post("/things", body, headers=key("k1"))).code >= 500
        assert await names(client) == []
        assert (await client.post("/things", body, headers=key("k1"))).code >= 500, "it may be sent again"


async def test_a_returned_server_error_is_sent_again_in_earnest(serving: Serving) -> None:
    async with serving(APP) as client:
        for _ in range(2):
            answer = await client.post("/things", b'{"name": "a", "code": 502}', headers=key("k1"))
            assert answer.code == 502


async def test_a_response_that_is_too_large_to_keep_stores_nothing(serving: Serving) -> None:
    async with serving(APP) as client:
        body = b'{"name": "a", "pad": %d}' % idempotency.LARGEST_RESPONSE
        assert (await client.post("/things", body, headers=key("k1"))).code == 500
        assert await names(client) == []


async def test_responses_are_forgotten_after_a_day(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(APP) as client:
        await client.post("/things", b'{"name": "a"}', headers=key("k1"))
        monkeypatch.setattr(idempotency, "KEPT_FOR", -1.0)
        await client.post("/things", b'{"name": "a"}', headers=key("k1"))
        assert await names(client) == ["a", "a"]


@pytest.mark.parametrize("value", ["", '""', "k" * 256, "k\x01", "ké"])
async def test_a_key_that_is_none_is_refused(serving: Serving, value: str) -> None:
    async with serving(APP) as client:
        answer = await client.post("/things", b'{"name": "a"}', headers=key(value))
        assert answer.code == 400
        assert await names(client) == []


async def test_two_different_keys_are_refused(serving: Serving) -> None:
    """A proxy in front may have read the other one."""
    async with serving(APP) as client:
        for second, code in (("k2", 400), ("k1", 201)):
            both = {"Idempotency-Key": "k1", "IDEMPOTENCY-KEY": second}
            assert (await client.post("/things", b'{"name": "a"}', headers=both)).code == code
        assert await names(client) == ["a"]


async def test_the_key_of_a_safe_method_means_nothing(serving: Serving) -> None:
    async with serving(APP) as client:
        assert (await client.get("/things", headers=key("k1"))).json() == []
        await client.post("/things", b'{"name": "a"}', headers=key("k2"))
        assert (await client.get("/things", headers=key("k1"))).json() == ["a"]


async def test_a_mark_that_could_not_be_taken_away_does_not_block_its_process(serving: Serving) -> None:
    """The disk is full for a moment just when the mark of a failed request is to go."""
    blocked = []

    class Failing:
        def __init__(self, storage: Any) -> None:
            self._storage = storage

        async def write(self, operations: Any, **options: Any) -> Any:
            if any(isinstance(op, EndRequest) and op.response is None for op in operations):
                blocked.append(1)
                raise Unavailable("full")
            return await self._storage.write(operations, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._storage, name)

    async with serving(APP, through=Failing) as client:
        body = b'{"name": "a", "fail": 1}'
        assert (await client.post("/things", body, headers=key("k1"))).code == 500
        assert (await client.post("/things", body, headers=key("k1"))).code == 500, "not 409 for ever"
        assert len(blocked) == 2


# ---- callers of an open route ---------------------------------------------------------------

CHECKING = """
- proxy:
    path: /secret
    authorization: {auth_mode: AUTH}
  idempotency: true
  idempotency_headers: [X-Customer]
  request_forbidden_process: |
    if request.headers.get("x-customer", "alice") != "alice":
        raise HTTPError(403, reason="you are somebody else")
    credentials = [request.headers.get(name, "good") for name in ("authorization", "cookie", "x-api-key")]
    if AUTH == "none" and credentials != ["good"] * 3:
        raise HTTPError(401, reason="these are no credentials")
    return 201, {"secret": uuid.uuid4().hex}
"""


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "X-Customer"])
async def test_an_answer_is_replayed_only_to_who_sends_the_same_credentials(
    serving: Serving, name: str
) -> None:
    good, bad = ("alice", "bob") if name == "X-Customer" else ("good", "bad")
    async with serving(CHECKING.replace("AUTH ==", "'none' ==").replace("AUTH", "none")) as client:
        first = await client.post("/secret", b"{}", headers={**key("k"), name: good})
        again = await client.post("/secret", b"{}", headers={**key("k"), name.swapcase(): good})
        assert (first.code, again.code) == (201, 201)
        assert first.body == again.body
        refused = await client.post("/secret", b"{}", headers={**key("k"), name: bad})
        assert refused.code in (401, 403)
        without = await client.post("/secret", b"{}", headers=key("k"))
        assert without.code == 201
        assert without.body != first.body
        # and what was stored for who has none is not given to who has some
        assert (await client.post("/secret", b"{}", headers={**key("k"), name: bad})).body == refused.body


async def test_a_key_cannot_be_made_to_look_like_one_with_credentials(serving: Serving) -> None:
    """Not even by who knows the credentials' hash: what joins the two stands in no key."""
    async with serving(CHECKING.replace("AUTH ==", "'none' ==").replace("AUTH", "none")) as client:
        await client.post("/secret", b"{}", headers={**key("k"), "Cookie": "good"})
        [row] = await client.runtime.session.storage.select(select(REQUEST))
        assert (await client.post("/secret", b"{}", headers=key(row["key"]))).code == 400
        assert (await client.post("/secret", b"{}", headers=key(row["key"].replace("\x1f", " ")))).code == 201
        assert len(await client.runtime.session.storage.select(select(REQUEST))) == 2
        assert "good" not in str(row["key"])


async def test_on_a_guarded_route_the_account_is_the_caller_whatever_else_it_sends(serving: Serving) -> None:
    async with serving(CHECKING.replace("AUTH ==", "'axis' ==").replace("AUTH", "axis")) as client:
        storage = client.runtime.session.storage
        seen = []
        for more in ({}, {"Cookie": "a"}, {"Cookie": "b"}, {"X-Customer": "alice"}):
            headers = {**key("k"), "X-Auth-Token": await tokens.issue(storage), **more}
            seen.append((await client.post("/secret", b"{}", headers=headers)).body)
        assert seen[0] == seen[1] == seen[2] != seen[3]
        stranger = await client.post("/secret", b"{}", headers={**headers, "X-Customer": "bob"})
        assert stranger.code == 403


async def test_what_an_older_version_stored_is_still_replayed_to_who_sends_no_credentials(
    serving: Serving,
) -> None:
    async with serving(CHECKING.replace("AUTH ==", "'none' ==").replace("AUTH", "none")) as client:
        first = await client.post("/secret", b"{}", headers=key("k"))
        [row] = await client.runtime.session.storage.select(select(REQUEST))
        assert (row["account"], row["method"], row["path"], row["key"]) == ("", "POST", "/secret", "k")
        assert (await client.post("/secret", b"{}", headers=key("k"))).body == first.body
