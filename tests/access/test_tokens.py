"""Tokens: valid at once and until they expire or are revoked; the secret is nowhere in the database."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.access import accounts, tokens
from framework.access.caller import Caller
from framework.access.roles import Roles
from framework.access.tokens import Tokens
from framework.definitions import Location, RoleDefinition
from framework.storage import Storage

pytestmark = pytest.mark.anyio


async def _account(storage: Storage, name: str) -> None:
    await accounts.record_roles(storage, [RoleDefinition("any", Location("roles.yaml", 1, 1), ())])
    await accounts.add(storage, name, ["any"])


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.started = 1_800_000_000.0
        monkeypatch.setattr("framework.access.tokens.time.time", lambda: self.now)
        monkeypatch.setattr("framework.access.tokens.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_a_new_token_is_valid_at_once_in_every_process(storage: Storage) -> None:
    checks = [Tokens(storage), Tokens(storage)]
    await _account(storage, "alice")
    for account in (None, "alice"):
        secret = await tokens.issue(storage, account=account)
        for check in checks:
            token = await check.check(secret.encode("utf-8", "surrogatepass"))
            assert token is not None
            assert token.account == account


async def test_a_secret_is_256_random_bits(storage: Storage) -> None:
    secrets = {await tokens.issue(storage) for _ in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32
        assert len({*secret}) > 15


async def test_it_expires(storage: Storage, clock: Clock) -> None:
    check = Tokens(storage)
    secret = await tokens.issue(storage, expires_in=100)
    for passed, valid in ((0.0, True), (99.5, True), (0.4, True), (0.2, False), (1e9, False)):
        clock.now += passed
        assert (await check.check(secret.encode("utf-8", "surrogatepass")) is not None) is valid, passed
        assert (await Tokens(storage).check(secret.encode()) is not None) is valid, passed


async def test_it_expires_after_twelve_hours_where_nothing_is_said(storage: Storage, clock: Clock) -> None:
    await tokens.issue(storage)
    [token] = await tokens.listed(storage)
    assert token.created_at == clock.now
    assert token.expires_at == clock.now + 12 * 3600
    assert token.valid(token.expires_at - 1)
    assert not token.valid(token.expires_at)


async def test_a_revoked_token_is_void_within_a_second(storage: Storage, clock: Clock) -> None:
    check = Tokens(storage)
    secret, kept = await tokens.issue(storage), await tokens.issue(storage)
    assert await check.check(secret.encode("utf-8", "surrogatepass")) is not None
    first, second = await tokens.listed(storage)
    assert await tokens.revoke(storage, first.id)
    assert await Tokens(storage).check(secret.encode()) is None
    clock.now += 1.01
    assert await check.check(secret.encode("utf-8", "surrogatepass")) is None
    assert await check.check(kept.encode("utf-8", "surrogatepass")) is not None
    assert [token.id for token in await tokens.listed(storage)] == [second.id]
    assert not await tokens.revoke(storage, first.id)


async def test_the_list_is_in_order_and_shows_no_secret(storage: Storage, clock: Clock) -> None:
    secrets = [await tokens.issue(storage, account=name) for name in ("c", "a", "b")]
    clock.now += 1e6
    listed = await tokens.listed(storage)
    assert [token.account for token in listed] == ["c", "a", "b"]
    assert not any(secret in repr(listed) for secret in secrets)


async def test_nothing_of_a_secret_is_in_the_database(storage: Storage, tmp_path: Path) -> None:
    secret = await tokens.issue(storage, account="marker-account")
    await Tokens(storage).check(secret.encode())
    raw = base64.urlsafe_b64decode(secret + "=")
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert b"marker-account" in written, "the files that were looked at are the database"
    assert hashlib.sha256(secret.encode()).digest() in written
    for part in (
        secret.encode(),
        secret[:12].encode(),
        secret[-12:].encode(),
        raw,
        raw[:8],
        raw.hex().encode(),
    ):
        assert part not in written


@pytest.mark.parametrize(
    "garbage", ["", " ", "x", "ü" * 43, "\ud800", "\x00", "a" * 1_000_000, "'; DROP TABLE x; --", "Bearer x"]
)
async def test_garbage_is_no_token(storage: Storage, garbage: str) -> None:
    secret = await tokens.issue(storage)
    check = Tokens(storage)
    for _ in range(2):
        assert await check.check(garbage.encode("utf-8", "surrogatepass")) is None
    for near in (secret[:-1], secret + "x", secret.swapcase(), secret + "\n", f" {secret}"):
        assert await check.check(near.encode("utf-8", "surrogatepass")) is None
    assert await check.check(secret.encode("utf-8", "surrogatepass")) is not None


async def test_a_temporary_token_is_good_for_its_block(storage: Storage) -> None:
    async with tokens.temporary(storage, expires_in=60) as secret:
        assert await Tokens(storage).check(secret.encode())
    assert await Tokens(storage).check(secret.encode()) is None
    assert await tokens.listed(storage) == []


async def test_a_token_is_believed_for_a_second_without_a_look_at_the_database(
    storage: Storage, clock: Clock
) -> None:
    secret = (await tokens.issue(storage)).encode()
    check = Tokens(storage)
    assert check.known(secret) is None
    found = await check.check(secret)
    assert found is not None
    await tokens.withdraw(storage, secret.decode())
    clock.now += 0.99
    assert check.known(secret) is found
    assert await check.check(secret) is found
    assert check.known(b"another") is None
    clock.now = clock.started + 1.0
    assert check.known(secret) is None
    assert await check.check(secret) is None


async def test_at_the_moment_at_which_it_expires_a_token_is_void(storage: Storage, clock: Clock) -> None:
    secret = (await tokens.issue(storage, expires_in=64)).encode()
    clock.now += 64
    check = Tokens(storage)
    assert await check.check(secret) is None
    assert check.known(secret) is None


@pytest.mark.parametrize("wall", [-1000.0, 0.0, 63.5])
async def test_a_clock_that_was_set_back_makes_no_token_live_longer(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch, wall: float
) -> None:
    """The database's own clock has counted on."""
    secret = (await tokens.issue(storage, expires_in=64)).encode()
    began = (await storage.age()).lived
    lived = began
    monkeypatch.setattr(storage, "age", lambda: _later(SimpleNamespace(wall=clock.now, lived=lived)))
    clock.now += wall
    for passed, valid in ((63.0, True), (64.5, False), (1000.0, False)):
        lived = began + passed
        assert (await Tokens(storage).check(secret) is not None) is valid, passed


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_a_process_whose_own_clock_is_wrong_reads_tokens_by_that_of_the_database(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Where the database is on another machine, its clock is what all processes share."""
    began = now = await storage.age()
    monkeypatch.setattr(storage, "age", lambda: _later(now))
    clock.now += ahead
    secret = (await tokens.issue(storage, expires_in=64)).encode()
    await _account(storage, "alice")
    logged_on = await accounts.log_on(storage, await accounts.rotate(storage, "alice"), expires_in=64)
    assert logged_on is not None
    assert logged_on.expires_at == began.wall + 64
    for passed, valid in ((0.0, True), (63.0, True), (64.5, False)):
        now = replace(began, wall=began.wall + passed, lived=began.lived + passed)
        for one in (secret, logged_on.token.encode()):
            assert (await Tokens(storage).check(one) is not None) is valid


async def _later(value: Any) -> Any:
    return value


async def test_a_check_remembers_no_more_tokens_than_it_is_allowed_to(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_MOST_BELIEVED", 3)
    check = Tokens(storage)
    for _ in range(9):
        assert await check.check((await tokens.issue(storage)).encode())
        assert 1 <= len(check._believed) <= 3


async def test_a_token_has_the_roles_of_its_account_that_the_definitions_have(storage: Storage) -> None:
    await _account(storage, "alice")
    secret = (await tokens.issue(storage, account="alice")).encode()
    role = RoleDefinition("any", Location("roles.yaml", 1, 1), ())
    for roles, names in ((Roles([role]), ("any",)), (Roles(), ()), (None, ())):
        found = await Tokens(storage, roles).check(secret)
        assert found is not None
        assert found.caller == Caller("alice", names)


async def test_a_token_of_an_account_that_is_not_there_is_void(storage: Storage) -> None:
    await _account(storage, "alice")
    for name in ("alice", "nobody"):
        secret = (await tokens.issue(storage, account=name)).encode()
        assert (await Tokens(storage).check(secret) is None) is (name == "nobody")


def test_text_and_its_bytes_have_one_hash() -> None:
    for text in ("a", "é", "\ud800"):
        assert tokens.hashed(text) == tokens.hashed(text.encode("utf-8", "surrogatepass"))
