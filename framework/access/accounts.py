"""Accounts: their keys, their roles, and the tokens that clients get for a key.

The rule: **a key is shown once and stored as its SHA-256, and a token never has more rights than its account.**
Disabling, removing and a new key revoke all tokens of the account in the same transaction. A change of roles
applies in every process within a second.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, select, update

from framework.access import audit
from framework.access.roles import recorded
from framework.access.tokens import hashed, insert_token
from framework.definitions import RoleDefinition, nearest
from framework.errors import AccountError, Duplicate, Gone
from framework.storage.contract import Storage
from framework.storage.operations import Delete, Execute, Insert, Operation, Update
from framework.storage.tables import ACCOUNT, REQUEST, ROLE, TOKEN

LONGEST_NAME = 100

# It stands in logs and lists, and beside the callers that are no account, such as ``(operator)``.
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)

_ALL = select(ACCOUNT).order_by(ACCOUNT.c.name)
_ROLES = select(ROLE).order_by(ROLE.c.name)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it can be shown: never its key. Times in seconds since 1970."""

    id: int
    name: str
    roles: tuple[str, ...]
    disabled: bool
    created_at: float
    key_made_at: float
    logged_on_at: float | None


@dataclass(frozen=True, slots=True)
class LoggedOn:
    """A token that a client got for a key: its secret, shown only once, and its expiry."""

    account: str
    token: str
    expires_at: float


async def record_roles(
    storage: Storage, roles: Iterable[RoleDefinition], others: Mapping[str, Any] | None = None
) -> None:
    """Record the roles in force: these, and those of ``others``, the rights of other servers' roles by name.

    They replace the recorded roles, so only one start at a time may do this (``Storage.alone``).
    """
    rows = {**(others or {}), **{role.name: recorded(role) for role in roles}}
    inserts = [Insert(ROLE, {"name": name, "rights": rights}) for name, rights in rows.items()]
    await storage.write([Execute(delete(ROLE)), *inserts])


async def roles_in_force(storage: Storage) -> dict[str, list[dict[str, Any]]]:
    """The roles that the last start recorded, by name: their rights, each ``{"regex", "methods"}``."""
    return {row["name"]: row["rights"] for row in await storage.select(_ROLES)}


async def add(storage: Storage, name: str, roles: Collection[str]) -> str:
    """Make an account and return its key, shown only once. ``AccountError``: invalid name or unknown role."""
    if not _NAME.fullmatch(name):
        raise AccountError(
            f"{name!r} is not a valid name for an account: letters, digits and . _ @ + - only, "
            f"a letter or digit first, {LONGEST_NAME} characters at most"
        )
    await _require_roles(storage, roles)
    key, now = secrets.token_urlsafe(32), time.time()
    row = {"name": name, "key_hash": hashed(key), "roles": _unique(roles), "created_at": now}
    try:
        noted = audit.entry("account add", name, roles=_unique(roles))
        await storage.write([Insert(ACCOUNT, {**row, "key_made_at": now}), noted])
    except Duplicate:
        raise AccountError(
            f"there is an account {name} already; `framework account rotate {name}` gives it a new key"
        ) from None
    return key


async def listed(storage: Storage) -> list[Account]:
    """All accounts, by name."""
    return [_account(row) for row in await storage.select(_ALL)]


async def find(storage: Storage, name: str) -> Account:
    """The account of this name. Raises ``AccountError`` with the nearest match."""
    row = await storage.load(ACCOUNT, "name", name)
    if row is None:
        raise AccountError(f"there is no account {name!r}{_hint(name, await _names(storage))}")
    return _account(row)


async def disable(storage: Storage, name: str) -> bool:
    """Refuse its key and revoke its tokens. Return False if it was disabled already."""
    account = await find(storage, name)
    aside = {"kept_hash": ACCOUNT.c.key_hash, "key_hash": None}
    put_aside = update(ACCOUNT).where(ACCOUNT.c.name == name, ACCOUNT.c.key_hash.is_not(None)).values(aside)
    await _change(storage, name, Execute(put_aside), _void_tokens(name), audit.entry("account disable", name))
    return not account.disabled


async def enable(storage: Storage, name: str) -> bool:
    """Accept its key again. Return False if it was not disabled. Old tokens stay revoked."""
    account = await find(storage, name)
    back = {"key_hash": ACCOUNT.c.kept_hash, "kept_hash": None}
    put_back = update(ACCOUNT).where(ACCOUNT.c.name == name, ACCOUNT.c.key_hash.is_(None)).values(back)
    await _change(storage, name, Execute(put_back), audit.entry("account enable", name))
    return account.disabled


async def rotate(storage: Storage, name: str) -> str:
    """Make a new key, shown only once, and revoke the old one and all tokens. A disabled account stays disabled."""
    await find(storage, name)
    key = secrets.token_urlsafe(32)
    disabled = ACCOUNT.c.key_hash.is_(None)
    values = {
        "key_hash": case((disabled, None), else_=hashed(key)),
        "kept_hash": case((disabled, hashed(key)), else_=None),
        "key_made_at": time.time(),
    }
    await _change(
        storage,
        name,
        Execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(values)),
        _void_tokens(name),
        audit.entry("account rotate", name),
    )
    return key


async def remove(storage: Storage, name: str) -> None:
    """Delete the account, its tokens, and the answers that are stored for its repeated requests."""
    await find(storage, name)
    answers = Execute(delete(REQUEST).where(REQUEST.c.account == name))
    gone = Delete(ACCOUNT, "name", name)
    # The account first, as in a logon: of the two at once one waits for the other, and no token stays behind.
    await _change(storage, name, gone, _void_tokens(name), answers, audit.entry("account remove", name))


async def set_roles(
    storage: Storage,
    name: str,
    *,
    to: Collection[str] | None = None,
    add: Collection[str] = (),
    remove: Collection[str] = (),
) -> tuple[str, ...]:
    """Give it exactly the roles ``to``, or add some and remove some. Return its new roles.

    Raises ``AccountError`` for a new role that is not in force, and for a role to remove that it does not have.
    """
    await _require_roles(storage, [*(to or ()), *add])
    async with storage.transaction(hold=10, expired=lambda: "the roles were not changed") as transaction:
        row = await transaction.load(ACCOUNT, "name", name, for_update=True)
        if row is None:
            raise AccountError(f"there is no account {name!r}{_hint(name, await _names(storage))}")
        before = row["roles"] if to is None else list(to)
        missing = next((role for role in remove if role not in before), None)
        if missing is not None:
            raise AccountError(
                f"the account {name} does not have the role {missing!r}{_hint(missing, before)}"
            )
        after = _unique(role for role in [*before, *add] if role not in remove)
        noted = audit.entry("account roles", name, roles=after)
        await transaction.write([Update(ACCOUNT, "name", name, {"roles": after}), noted])
    return tuple(after)


async def log_on(storage: Storage, key: bytes | str, *, expires_in: float) -> LoggedOn | None:
    """A token for a key, or None if no enabled account has this key. ``expires_in`` is in seconds."""
    digest = hashed(key)
    row = await storage.load(ACCOUNT, "key_hash", digest)
    if row is None or not secrets.compare_digest(row["key_hash"], digest):
        return None
    secret, now = secrets.token_urlsafe(32), await storage.age()
    token = insert_token(secret, account=row["name"], made=now, expires_in=expires_in)
    try:
        # By the key: disabled, removed or given another one in between, it is no key any more.
        await storage.write([Update(ACCOUNT, "key_hash", digest, {"logged_on_at": now.wall}), token])
    except Gone:
        return None
    return LoggedOn(row["name"], secret, now.wall + expires_in)


async def _change(storage: Storage, name: str, *operations: Operation) -> None:
    try:
        await storage.write(operations)
    except Gone:
        raise AccountError(f"there is no account {name!r} any more") from None


def _void_tokens(name: str) -> Execute:
    return Execute(delete(TOKEN).where(TOKEN.c.account == name))


async def _require_roles(storage: Storage, roles: Iterable[str]) -> None:
    """Raise ``AccountError`` for a role that is not in force: it is misspelt, or no server has started with it."""
    known = await roles_in_force(storage)
    for role in roles:
        if role not in known:
            there = (
                f"; the roles are {', '.join(known)}"
                if known
                else "; the last start of a server recorded no roles"
            )
            raise AccountError(
                f"there is no role {role!r}{_similar(role, known) or there}. "
                "The definitions have the roles, and `framework serve` records them when it starts"
            )


async def _names(storage: Storage) -> list[str]:
    return [account.name for account in await listed(storage)]


def _hint(name: str, there: Collection[str]) -> str:
    if not there:
        return "; there are none"
    return _similar(name, there) or f"; there are {', '.join(sorted(there)[:10])}"


def _similar(name: str, there: Collection[str]) -> str:
    close = nearest(name, there)
    return f"; did you mean {close}?" if close else ""


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _account(row: Any) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        roles=tuple(row["roles"]),
        disabled=row["key_hash"] is None,
        created_at=row["created_at"],
        key_made_at=row["key_made_at"],
        logged_on_at=row["logged_on_at"],
    )
