"""What grows for ever goes by its age, and what is younger stays."""

from __future__ import annotations

import asyncio
import time

import pytest

from framework import housekeeping, tokens
from framework.errors import Unavailable
from framework.session import Session
from framework.storage import Storage
from framework.storage.operations import Bury, Deliver, Delivery, Failure, Put

from .conftest import Recorder

pytestmark = pytest.mark.anyio


async def _dead_since(storage: Storage, at: float) -> None:
    answers = await storage.write([Put("q", "1", at), Deliver("q", at)])
    assert isinstance(answers[1], Delivery)
    await storage.write([Bury(answers[1].claim, Failure("why", None, at))])


async def test_old_dead_letters_and_tokens_go_and_younger_ones_stay(storage: Storage) -> None:
    now = time.time()
    for age in (housekeeping.DEAD_LETTERS_KEPT + 60, housekeeping.DEAD_LETTERS_KEPT - 60):
        await _dead_since(storage, now - age)
    for expired in (housekeeping.EXPIRED_TOKENS_KEPT + 60, housekeeping.EXPIRED_TOKENS_KEPT - 60):
        await tokens.issue(storage, expires_in=-expired)
    for expired in (housekeeping.EXPIRED_LOGONS_KEPT + 60, housekeeping.EXPIRED_LOGONS_KEPT - 60):
        await tokens.issue(storage, account="alice", expires_in=-expired)
    session = Session()
    session.bind(storage)
    keeping = asyncio.create_task(housekeeping.keep_house(session))
    await asyncio.sleep(0.1)
    session.stop()
    await asyncio.wait_for(keeping, 1)
    [letter] = await storage.dead_letters("q", 10)
    assert letter.died_at > now - housekeeping.DEAD_LETTERS_KEPT
    token, logon = await tokens.listed(storage)
    assert token.expires_at > now - housekeeping.EXPIRED_TOKENS_KEPT
    assert logon.account == "alice"
    assert logon.expires_at > now - housekeeping.EXPIRED_LOGONS_KEPT


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
    await asyncio.wait_for(keeping, 1)
    assert len(recorder.units) > 2
