"""``POST /-/logon``: a key for a token; who guesses waits, who knows does not."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time

import pytest

from framework.access import accounts
from framework.gateway import attempts
from framework.gateway.attempts import Attempts, network

from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio

ROLES = "- name: any\n  authorities: [{regex: /, methods: [GET]}]\n"
HELLO = route("/hello", "return 200, 'hello'", auth="axis")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(attempts, "LONGEST_WAIT", 0.02)


async def test_a_key_is_exchanged_for_a_token_that_calls(serving: Serving) -> None:
    async with serving(ROLES, HELLO) as client:
        key = await accounts.add(client.runtime.session.storage, "alice", ["any"])
        answer = await client.post("/-/logon", headers={"X-Xaas-Api-Key": key})
        assert answer.code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"token", "expires_at"}
        expires = datetime.datetime.fromisoformat(answer.json()["expires_at"])
        left = expires - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(hours=11) < left <= datetime.timedelta(hours=12)
        hello = await client.get("/hello", headers={"X-Auth-Token": answer.json()["token"]})
        assert (hello.code, hello.body) == (200, b"hello")
        assert (await client.get("/hello", headers={"X-Auth-Token": key})).code == 401
        assert (await client.post("/-/logon", headers={"X-Xaas-Api-Key": f" {key}\t"})).code == 200


@pytest.mark.usefixtures("quick")
async def test_wrong_old_and_disabled_keys_get_the_very_same_answer(serving: Serving) -> None:
    async with serving(ROLES, HELLO) as client:
        storage = client.runtime.session.storage
        old = await accounts.add(storage, "alice", ["any"])
        await accounts.rotate(storage, "alice")
        disabled = await accounts.add(storage, "bob", ["any"])
        await accounts.disable(storage, "bob")
        removed = await accounts.add(storage, "carol", ["any"])
        await accounts.remove(storage, "carol")
        answers = [
            await client.post("/-/logon", headers={"X-Xaas-Api-Key": key})
            for key in (old, disabled, removed, "never-one", "ü")
        ]
        assert answers[0].code == 401
        assert answers[0].headers["www-authenticate"]
        assert answers[0].headers["cache-control"] == "no-store"
        assert all(answer == answers[0] for answer in answers)


async def test_what_is_no_logon_is_told_apart(serving: Serving) -> None:
    async with serving(ROLES, HELLO) as client:
        for method in ("GET", "PUT", "HEAD", "OPTIONS", "DELETE"):
            answer = await client.request(method, "/-/logon")
            assert (answer.code, answer.headers["allow"]) == (405, "POST")
            assert answer.headers["cache-control"] == "no-store"
        missing = await client.post("/-/logon")
        assert missing.code == 401
        assert "X-Xaas-Api-Key" in missing.problem()["detail"]
        assert (await client.post("/-/logon/more")).code == 404


async def test_a_wrong_key_waits_for_its_answer_and_a_good_one_never(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(ROLES, HELLO) as client:
        began = time.monotonic()
        assert (await client.post("/-/logon", headers={"X-Xaas-Api-Key": "guess"})).code == 401
        assert time.monotonic() - began >= attempts.FIRST_WAIT

        # From now on for longer than this test takes, on however busy a machine.
        monkeypatch.setattr(attempts, "FIRST_WAIT", 600.0)
        monkeypatch.setattr(attempts, "LONGEST_WAIT", 600.0)
        key = await accounts.add(client.runtime.session.storage, "alice", ["any"])
        bad = [
            asyncio.create_task(client.post("/-/logon", headers={"X-Xaas-Api-Key": f"guess-{number}"}))
            for number in range(40)
        ]
        async with asyncio.timeout(20):
            while sum(task.done() for task in bad) < 40 - attempts.MOST_WAITING_PER_ADDRESS:
                await asyncio.sleep(0.01)
        for answer in (task.result() for task in bad if task.done()):
            assert answer.code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["connection"] == "close"
        for _ in range(20):  # from the same address, too
            assert (await client.post("/-/logon", headers={"X-Xaas-Api-Key": key})).code == 200
        assert sum(not task.done() for task in bad) == attempts.MOST_WAITING_PER_ADDRESS, "they still wait"
        for task in bad:
            task.cancel()


async def test_nobody_waits_beyond_a_stop(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_WAIT", 600.0)
    monkeypatch.setattr(attempts, "LONGEST_WAIT", 600.0)
    async with serving(ROLES, HELLO) as client:
        bad = [
            asyncio.create_task(client.post("/-/logon", headers={"X-Xaas-Api-Key": "guess"}))
            for _ in range(attempts.MOST_WAITING_PER_ADDRESS + 1)
        ]
        # The one that is turned away comes when all others wait.
        await asyncio.wait(bad, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        client.runtime.ask_to_stop()
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*bad)
        assert sorted(answer.code for answer in answers) == [401] * attempts.MOST_WAITING_PER_ADDRESS + [429]


@pytest.mark.usefixtures("quick")
async def test_failures_are_in_the_log_summed_up_and_without_the_key(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ROLES, HELLO) as client:
        with caplog.at_level(logging.DEBUG):
            for number in range(30):
                await client.post("/-/logon", headers={"X-Xaas-Api-Key": f"guess-{number}"})
    records = [record for record in caplog.records if getattr(record, "action", "") == "logon_failed"]
    assert [record.getMessage() for record in records] == ["1 failed logon from 127.0.0.1, 1 in a row"]
    assert "guess" not in caplog.text


async def test_the_failures_of_many_addresses_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await asleep.wait()

    one = Attempts(sleep)
    tasks = [
        asyncio.create_task(one.failed(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")) for n in range(6000)
    ]
    await asyncio.sleep(0.1)
    waiting = [task for task in tasks if not task.done()]
    assert len(waiting) == attempts.MOST_WAITING
    assert len(one._addresses) <= 4096
    asleep.set()
    await asyncio.gather(*waiting)
    assert one._waiting == 0
    assert await one.failed("10.0.0.1") is None, "who comes later may wait again"


def test_an_address_of_ipv6_is_counted_with_its_network() -> None:
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network("10.1.2.3") != network("10.1.2.4")
    assert network("::ffff:10.1.2.3") != network("::ffff:10.1.2.4")
    assert network("a-unix-socket") == "a-unix-socket"
