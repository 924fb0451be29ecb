"""Tokens: who may call the gateway. They are 256 random bits, stored as SHA-256 and never logged.

A token without an account is an operator's and may call everything. A token of an account has the account's
present rights, and none if the account is gone or disabled.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from framework.access.caller import OPERATOR, Caller
from framework.access.roles import NO_RIGHTS, Rights, Roles
from framework.errors import Gone
from framework.storage.age import Age
from framework.storage.contract import Storage
from framework.storage.operations import Delete, Insert, Operation
from framework.storage.tables import ACCOUNT, TOKEN

DEFAULT_EXPIRY = 12 * 3600.0  # seconds

# How long a token that was found valid is believed without asking the database again (seconds), its
# account's roles included. A new token is always asked for, so it works at once; a revoked one works this
# much longer at most.
BELIEVED_FOR = 1.0
_MOST_BELIEVED = 4096

_ALL = select(TOKEN).order_by(TOKEN.c.id)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it can be shown: never the secret itself. Times in seconds since 1970.

    ``caller`` and ``rights`` are those of its account at the moment, if it was found by its secret.
    """

    id: int
    account: str | None
    created_at: float
    expires_at: float
    caller: Caller = OPERATOR
    rights: Rights = NO_RIGHTS
    lived_at: float | None = None  # when it was made, on the database's own clock

    def valid(self, now: float) -> bool:
        return now < self.expires_at


async def issue(
    storage: Storage,
    *,
    account: str | None = None,
    expires_in: float = DEFAULT_EXPIRY,
    also: Sequence[Operation] = (),
) -> str:
    """A new token's secret, shown only once. It is valid in every process of the installation at once.

    ``also`` is written in the same transaction.
    """
    secret = secrets.token_urlsafe(32)
    token = insert_token(secret, account=account, made=await storage.age(), expires_in=expires_in)
    await storage.write([token, *also])
    return secret


def insert_token(secret: str, *, account: str | None, made: Age, expires_in: float) -> Insert:
    """The operation that makes a token valid, for callers that write more in the same transaction.

    ``made`` is the time now by the database's clocks.
    """
    times = {"created_at": made.wall, "expires_at": made.wall + expires_in, "lived_at": made.lived}
    return Insert(TOKEN, {"hash": hashed(secret), "account": account, **times})


async def listed(storage: Storage) -> list[Token]:
    """All tokens, expired ones too, oldest first."""
    return [_token(row) for row in await storage.select(_ALL)]


async def revoke(storage: Storage, number: int, *, also: Sequence[Operation] = ()) -> bool:
    """Revoke a token. Return False if there is none of this number. ``also`` is as in ``issue``."""
    try:
        await storage.write([Delete(TOKEN, "id", number), *also])
    except Gone:
        return False
    return True


@asynccontextmanager
async def temporary(storage: Storage, *, expires_in: float = DEFAULT_EXPIRY) -> AsyncIterator[str]:
    """An operator's token for a block. It is revoked at the end, and expires soon if the process dies."""
    secret = await issue(storage, expires_in=expires_in)
    try:
        yield secret
    finally:
        await withdraw(storage, secret)


async def withdraw(storage: Storage, secret: str) -> None:
    """Revoke a token by its secret, if it exists."""
    row = await storage.load(TOKEN, "hash", hashed(secret))
    if row is not None:
        await revoke(storage, row["id"])


class Tokens:
    """Checks the tokens of requests for one process, which has these roles."""

    def __init__(self, storage: Storage, roles: Roles | None = None) -> None:
        self._storage = storage
        self._roles = roles or Roles()
        self._believed: dict[bytes, tuple[Token, float]] = {}

    async def check(self, secret: bytes) -> Token | None:
        """The token, or None if it does not exist or has expired."""
        token = self.known(secret)
        if token is not None:
            return token
        token, name = await self._find(hashed(secret)), _name(secret)
        left = 0.0 if token is None else await self._left(token)
        if token is None or left <= 0:
            self._believed.pop(name, None)
            return None
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        self._believed[name] = (token, time.monotonic() + min(left, BELIEVED_FOR))
        return token

    def known(self, secret: bytes) -> Token | None:
        """The token if it was valid a moment ago. None means nothing, and ``check`` asks the database."""
        believed = self._believed.get(_name(secret))
        return believed[0] if believed is not None and time.monotonic() < believed[1] else None

    async def is_ours(self, secret: bytes) -> bool:
        """Whether this is a valid token, or the key of an account."""
        if await self.check(secret) is not None:
            return True
        return await self._storage.load(ACCOUNT, "key_hash", hashed(secret)) is not None

    async def _left(self, token: Token) -> float:
        """For how many seconds a token is still valid, at most its whole time even if the clock was set back."""
        now = await self._storage.age()
        left = token.expires_at - now.wall
        if left <= 0 or token.lived_at is None:
            return left
        return min(left, token.expires_at - token.created_at - (now.lived - token.lived_at))

    async def _find(self, digest: bytes) -> Token | None:
        row = await self._storage.load(TOKEN, "hash", digest)
        if row is None or not hmac.compare_digest(row["hash"], digest):
            return None
        if row["account"] is None:
            return _token(row)
        account = await self._storage.load(ACCOUNT, "name", row["account"])
        if account is None or account["key_hash"] is None:
            return None
        roles = self._roles.there(account["roles"])
        return _token(row, Caller(account["name"], roles), self._roles.rights(roles))


def hashed(secret: bytes | str) -> bytes:
    """The stored hash of a secret. 256 random bits need no salt and no slow hash."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(secret).digest()


def _name(secret: bytes) -> bytes:
    """The name of a secret in memory: a hash that costs a quarter of OpenSSL's SHA-256 for so few bytes."""
    return hashlib.blake2s(secret).digest()


def _token(row: Any, caller: Caller = OPERATOR, rights: Rights = NO_RIGHTS) -> Token:
    times = row["created_at"], row["expires_at"]
    return Token(row["id"], row["account"], *times, caller, rights, row["lived_at"])
