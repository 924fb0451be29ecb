"""Accounts: a key that is shown once, tokens that are worth what the account is, nothing half done."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from framework.access import accounts, tokens
from framework.access.roles import Roles
from framework.access.tokens import Tokens
from framework.definitions import Location, RoleDefinition
from framework.errors import AccountError
from framework.storage import Storage, open_storage
from framework.storage.operations import Insert
from framework.storage.tables import REQUEST
from tests.locking import Locking

pytestmark = pytest.mark.anyio

PLACE = Location("roles.yaml", 1, 1)
ROLES = [RoleDefinition(name, PLACE, ()) for name in ("reader", "writer")]


@pytest.fixture
async def storage(url: str) -> AsyncIterator[Storage]:
    """A database whose last start had the roles ``reader`` and ``writer``."""
    async with open_storage(url) as opened:
        await accounts.record_roles(opened, ROLES)
        yield opened


async def logged_on(storage: Storage, key: str) -> str:
    found = await accounts.log_on(storage, key, expires_in=100)
    assert found is not None
    return found.token


async def valid(storage: Storage, secret: str) -> bool:
    """As a process that has not asked before sees it."""
    return await Tokens(storage).check(secret.encode()) is not None


async def test_a_key_is_exchanged_for_tokens_that_carry_the_accounts_roles(storage: Storage) -> None:
    key = await accounts.add(storage, "alice", ["reader", "writer", "reader"])
    secrets = {await logged_on(storage, key) for _ in range(3)}
    assert len(secrets) == 3
    for secret in secrets:
        token = await Tokens(storage, Roles(ROLES)).check(secret.encode())
        assert token is not None
        assert (token.account, token.caller.roles) == ("alice", ("reader", "writer"))
    assert (await accounts.find(storage, "alice")).logged_on_at is not None


async def test_a_key_is_256_random_bits_and_never_shown_again(storage: Storage, tmp_path: Path) -> None:
    key = await accounts.add(storage, "marker-account", ["reader"])
    raw = base64.urlsafe_b64decode(key + "=")
    assert len(raw) == 32
    secret = await logged_on(storage, key)
    shown = repr(await accounts.listed(storage)) + repr(await Tokens(storage).check(secret.encode()))
    assert "marker-account" in shown
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert hashlib.sha256(key.encode()).digest() in written, "the files that were looked at are the database"
    for hidden in (key, key[:12], secret, secret[:12]):
        assert hidden not in shown
        assert hidden.encode() not in written
    assert raw not in written


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a/b", "ü", "(operator)", "x" * 101, "a\n", "a,b"])
async def test_a_name_that_could_be_mistaken_for_something_else_is_refused(
    storage: Storage, name: str
) -> None:
    with pytest.raises(AccountError, match="not a valid name for an account"):
        await accounts.add(storage, name, ["reader"])
    assert await accounts.listed(storage) == []


async def test_a_second_account_of_a_name_is_refused_and_the_first_stays(storage: Storage) -> None:
    key = await accounts.add(storage, "alice", ["reader"])
    with pytest.raises(AccountError, match="rotate alice"):
        await accounts.add(storage, "alice", ["writer"])
    assert (await accounts.find(storage, "alice")).roles == ("reader",)
    await logged_on(storage, key)


@pytest.mark.parametrize(
    ("role", "said"), [("readr", "did you mean reader"), ("xyz", "the roles are reader, writer")]
)
async def test_a_role_that_no_start_has_recorded_is_refused(storage: Storage, role: str, said: str) -> None:
    with pytest.raises(AccountError, match=said):
        await accounts.add(storage, "alice", ["reader", role])
    await accounts.add(storage, "bob", ["reader"])
    with pytest.raises(AccountError, match=said):
        await accounts.set_roles(storage, "bob", add=[role])
    assert [account.name for account in await accounts.listed(storage)] == ["bob"]


async def test_without_any_recorded_role_it_is_said_how_to_go_on(storage: Storage) -> None:
    await accounts.record_roles(storage, [])
    with pytest.raises(AccountError, match=r"recorded no roles.*`framework serve` records them"):
        await accounts.add(storage, "alice", ["reader"])


async def test_a_disabled_account_is_as_if_it_had_never_been(storage: Storage) -> None:
    key = await accounts.add(storage, "alice", ["reader"])
    secret = await logged_on(storage, key)
    assert await accounts.disable(storage, "alice")
    assert not await accounts.disable(storage, "alice")
    assert not await valid(storage, secret)
    assert await accounts.log_on(storage, key, expires_in=100) is None
    assert (await accounts.find(storage, "alice")).disabled


async def test_an_enabled_account_logs_on_with_its_key_and_its_old_tokens_stay_void(storage: Storage) -> None:
    key = await accounts.add(storage, "alice", ["reader"])
    secret = await logged_on(storage, key)
    await accounts.disable(storage, "alice")
    assert await accounts.enable(storage, "alice")
    assert not await accounts.enable(storage, "alice")
    assert not await valid(storage, secret)
    assert await valid(storage, await logged_on(storage, key))


async def test_a_new_key_makes_the_old_one_and_all_tokens_void(storage: Storage) -> None:
    old = await accounts.add(storage, "alice", ["reader"])
    other = await logged_on(storage, await accounts.add(storage, "bob", ["reader"]))
    secret = await logged_on(storage, old)
    new = await accounts.rotate(storage, "alice")
    assert not await valid(storage, secret)
    assert await accounts.log_on(storage, old, expires_in=100) is None
    assert await valid(storage, await logged_on(storage, new))
    assert await valid(storage, other)


async def test_a_new_key_of_a_disabled_account_waits_for_enable(storage: Storage) -> None:
    old = await accounts.add(storage, "alice", ["reader"])
    await accounts.disable(storage, "alice")
    new = await accounts.rotate(storage, "alice")
    assert (await accounts.find(storage, "alice")).disabled
    assert await accounts.log_on(storage, new, expires_in=100) is None
    await accounts.enable(storage, "alice")
    assert await accounts.log_on(storage, old, expires_in=100) is None
    await logged_on(storage, new)


async def test_of_a_removed_account_nothing_is_left_for_the_next_of_its_name(storage: Storage) -> None:
    key = await accounts.add(storage, "alice", ["reader"])
    secret = await logged_on(storage, key)
    answer = {"account": "alice", "method": "POST", "path": "/", "key": "k", "fingerprint": b"f"}
    await storage.write([Insert(REQUEST, {**answer, "created_at": 1.0})])
    await accounts.remove(storage, "alice")
    again = await accounts.add(storage, "alice", ["writer"])
    assert not await valid(storage, secret)
    assert await accounts.log_on(storage, key, expires_in=100) is None
    assert await storage.load(REQUEST, "account", "alice") is None
    await logged_on(storage, again)


async def test_roles_are_set_added_and_taken_away(storage: Storage) -> None:
    secret = await logged_on(storage, await accounts.add(storage, "alice", ["reader"]))
    for change, after in (
        ({"add": ["writer"]}, ("reader", "writer")),
        ({"remove": ["reader"]}, ("writer",)),
        ({"to": ["reader"]}, ("reader",)),
        ({"add": ["writer"], "remove": ["reader"]}, ("writer",)),
        ({"remove": ["writer"]}, ()),
    ):
        assert await accounts.set_roles(storage, "alice", **change) == after
        token = await Tokens(storage, Roles(ROLES)).check(secret.encode())
        assert token is not None
        assert token.caller.roles == after
    with pytest.raises(AccountError, match="does not have the role 'writer'"):
        await accounts.set_roles(storage, "alice", remove=["writer"])


async def test_roles_depend_on_those_before_which_nobody_else_changes_meanwhile(storage: Storage) -> None:
    await accounts.add(storage, "alice", ["reader"])
    locking = Locking(storage)
    assert await accounts.set_roles(locking, "alice", add=["writer"]) == ("reader", "writer")  # type: ignore[arg-type]
    assert locking.reads == [("load", True)]


async def test_whatever_changes_an_account_and_its_tokens_begins_with_the_account(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several write at once, the first statement decides who waits: a logon of meanwhile leaves no token."""
    key = await accounts.add(storage, "alice", ["reader"])
    units: list[list[Any]] = []
    write = storage.write

    async def noted(operations: Any, **options: Any) -> Any:
        units.append([_table(operation) for operation in operations])
        return await write(operations, **options)

    monkeypatch.setattr(storage, "write", noted)
    await logged_on(storage, key)
    for verb in (accounts.disable, accounts.enable, accounts.rotate, accounts.remove):
        await verb(storage, "alice")
    assert [unit[0] for unit in units] == ["_framework_account"] * 5
    assert sum("_framework_token" in unit for unit in units) == 4


def _table(operation: Any) -> str | None:
    table = getattr(operation, "table", None)
    if table is None:
        table = getattr(getattr(operation, "statement", None), "table", None)
    return None if table is None else str(table.name)


async def test_an_account_that_is_not_there_is_told_with_what_may_be_meant(storage: Storage) -> None:
    verbs = (accounts.disable, accounts.enable, accounts.rotate, accounts.remove, accounts.set_roles)
    for verb in verbs:
        with pytest.raises(AccountError, match="there are none"):
            await verb(storage, "alice")
    await accounts.add(storage, "alice", ["reader"])
    for verb in verbs:
        with pytest.raises(AccountError, match="did you mean alice"):
            await verb(storage, "alicia")


async def test_logons_beside_a_change_leave_no_valid_token_behind(storage: Storage, url: str) -> None:
    """Whichever comes first: after it no token of the old key is valid."""
    for verb in (accounts.disable, accounts.rotate, accounts.remove):
        name = verb.__name__
        key = await accounts.add(storage, name, ["reader"])
        secrets: list[str] = []

        async def log_on_until_refused(key: str = key, secrets: list[str] = secrets) -> None:
            while (found := await accounts.log_on(storage, key, expires_in=100)) is not None:
                secrets.append(found.token)

        async with open_storage(url) as other:
            clients = [asyncio.create_task(log_on_until_refused()) for _ in range(8)]
            while len(secrets) < 20:
                await asyncio.sleep(0.001)
            await verb(other, name)
            await asyncio.wait_for(asyncio.gather(*clients), 10)
        assert not any([await valid(storage, secret) for secret in secrets])
        assert not [token for token in await tokens.listed(storage) if token.account == name]


@pytest.mark.parametrize("garbage", ["", "x", "ü" * 43, "\ud800", "\x00", "a" * 100_000, "' OR 1=1 --"])
async def test_garbage_is_no_key(storage: Storage, garbage: str) -> None:
    await accounts.add(storage, "alice", ["reader"])
    assert await accounts.log_on(storage, garbage, expires_in=100) is None
