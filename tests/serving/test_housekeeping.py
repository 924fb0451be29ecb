"""What grows for ever goes by its age, in portions, and what is younger stays; no wrong clock deletes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from framework.access import audit, tokens
from framework.errors import CannotOpen, Unavailable
from framework.serving import housekeeping
from framework.serving.retention import DEFAULTS, Retention, from_environ
from framework.storage import Storage, age
from framework.storage.operations import (
    BeginRequest,
    Bury,
    Deliver,
    Delivery,
    EndRequest,
    Failure,
    Pause,
    Put,
    RecordPolicy,
    RequestKey,
    StoredResponse,
)
from framework.transactions.session import Session
from tests.conftest import Recorder

pytestmark = pytest.mark.anyio

DAY = 86400.0
Pass = Callable[[float], None]


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets time go by on the machine's steady clock; the wall clock stays where it is."""
    real, passed = age.steady, [0.0]
    monkeypatch.setattr(age, "steady", lambda: real() + passed[0])

    def go(seconds: float) -> None:
        passed[0] += seconds

    return go


async def _keep_house(storage: Storage, retention: Retention = DEFAULTS) -> None:
    """One round."""
    session = Session()
    session.bind(storage)
    keeping = asyncio.create_task(housekeeping.keep_house(session, retention))
    rounds = asyncio.get_running_loop().create_future()
    slept = session.sleep

    async def sleep(seconds: float) -> None:
        rounds.set_result(None)
        await slept(seconds)

    session.sleep = sleep  # type: ignore[method-assign]
    await asyncio.wait_for(rounds, 20)
    session.stop()
    await asyncio.wait_for(keeping, 5)


async def _die(storage: Storage, payload: str = "1") -> None:
    at = time.time()
    answers = await storage.write([Put("q", payload, at), Deliver("q", at)])
    assert isinstance(answers[1], Delivery)
    await storage.write([Bury(answers[1].claim, Failure("why", None, at))])


async def _request(storage: Storage, key: str) -> StoredResponse | None:
    request = RequestKey("alice", "POST", "/x", key)
    [stored] = await storage.write([BeginRequest(request, b"f", time.time(), DAY)])
    if stored is None:
        await storage.write([EndRequest(request, StoredResponse(200, "{}", b""))])
    assert stored is None or isinstance(stored, StoredResponse)
    return stored


async def _fill(storage: Storage, mark: str) -> None:
    """One of each that grows."""
    await _die(storage, f'"{mark}"')
    await tokens.issue(storage, expires_in=3600)
    await tokens.issue(storage, account="alice", expires_in=3600)
    assert await _request(storage, mark) is None
    await audit.note(storage, "drain", mark)


async def _left(storage: Storage) -> dict[str, int]:
    found = await tokens.listed(storage)
    return {
        "dead": len(await storage.dead_letters("q", 10)),
        "tokens": sum(token.account is None for token in found),
        "logons": sum(token.account is not None for token in found),
        "audit": len(await audit.listed(storage)),
    }


async def test_each_goes_when_it_has_lived_longer_than_it_is_kept_and_the_younger_stay(
    storage: Storage, lived: Pass
) -> None:
    await _fill(storage, "old")
    lived(2 * DAY)
    await _keep_house(storage)
    assert await _left(storage) == {"dead": 1, "tokens": 1, "logons": 0, "audit": 1}
    assert await _request(storage, "old") is None, "its answer was replayed for a day"
    lived(30 * DAY)
    await _fill(storage, "new")
    await _keep_house(storage)
    assert await _left(storage) == {"dead": 2, "tokens": 1, "logons": 1, "audit": 2}
    lived(59 * DAY)
    await _keep_house(storage)
    [letter] = await storage.dead_letters("q", 10)
    assert letter.payload == '"new"'
    lived(300 * DAY)
    await _keep_house(storage)
    assert await _left(storage) == {"dead": 0, "tokens": 0, "logons": 0, "audit": 1}


@pytest.mark.parametrize("ahead", [91 * DAY, 10 * 365 * DAY, -91 * DAY])
async def test_a_wrong_clock_deletes_nothing_and_what_it_stamped_is_not_old_afterwards(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    await _fill(storage, "before")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    await _keep_house(storage)
    await _fill(storage, "under the wrong clock")
    monkeypatch.setattr(time, "time", real)
    await _keep_house(storage)
    assert await _left(storage) == {"dead": 2, "tokens": 2, "logons": 2, "audit": 2}
    assert await _request(storage, "before") is not None
    assert await _request(storage, "under the wrong clock") is not None


@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_a_key_is_known_for_its_window_whatever_the_wall_clock_does(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, lived: Pass, ahead: float
) -> None:
    async def put(payload: str) -> int:
        [item] = await storage.write([Put("q", payload, time.time(), "k", 300.0)])
        return int(item)

    first = await put("1")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    await storage.write([Put("q", "0", time.time(), "another", 300.0)])  # which forgets old ones
    lived(200)
    assert await put("2") == first
    lived(101)
    assert await put("3") != first


async def test_a_token_is_not_valid_for_longer_than_it_was_made_for_when_the_clock_went_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, lived: Pass
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 365 * DAY)
    secret = (await tokens.issue(storage, expires_in=3600)).encode()
    monkeypatch.setattr(time, "time", real)
    assert await tokens.Tokens(storage).check(secret) is not None
    lived(3601)
    assert await tokens.Tokens(storage).check(secret) is None


async def test_unused_fifos_vanish_and_no_other_and_the_next_of_that_name_has_a_higher_epoch(
    storage: Storage, lived: Pass
) -> None:
    now = time.time()
    for name in ("unused", "filled", "used", "paused", "governed"):
        await storage.write([Put(name, "1", now)])
        if name != "filled":
            await _work_off(storage, name)
    await storage.write([Pause("paused", True), RecordPolicy("governed", "{}")])
    await _die(storage)
    first = await _work_off(storage, "unused", put=True)
    await _keep_house(storage)
    lived(60 * DAY)
    await _work_off(storage, "used", put=True)
    await _keep_house(storage)
    assert len(await storage.fifo_names()) == 6
    lived(31 * DAY)
    await _keep_house(storage, Retention(dead_letters=1000 * DAY))
    assert await storage.fifo_names() == ["filled", "governed", "paused", "q", "used"]
    assert await _work_off(storage, "unused", put=True) > first


async def _work_off(storage: Storage, name: str, *, put: bool = False) -> int:
    from framework.storage.operations import Acknowledge

    if put:
        await storage.write([Put(name, "1", time.time())])
    [delivery] = await storage.write([Deliver(name, time.time())])
    assert isinstance(delivery, Delivery)
    await storage.write([Acknowledge(delivery.claim)])
    return delivery.claim.epoch


async def test_a_database_that_cannot_be_written_ends_nothing(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "INTERVAL", 0.01)
    recorder.failures = [Unavailable("full"), Unavailable("full")]
    session = Session()
    session.bind(recorder)  # type: ignore[arg-type]
    keeping = asyncio.create_task(housekeeping.keep_house(session))
    await asyncio.sleep(0.2)
    session.stop()
    await asyncio.wait_for(keeping, 5)
    assert len(recorder.units) > 2


def test_how_long_things_are_kept_is_set_by_the_environment() -> None:
    assert from_environ({}) == DEFAULTS
    assert from_environ({"FRAMEWORK_KEEP_DEAD_LETTERS": "7d"}).dead_letters == 7 * DAY
    for wrong in ("", "90 days", "-1d", "0", "59m", "11000d", "٣d"):
        with pytest.raises(CannotOpen, match="FRAMEWORK_KEEP_AUDIT"):
            from_environ({"FRAMEWORK_KEEP_AUDIT": wrong})
