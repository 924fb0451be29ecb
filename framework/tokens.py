"""Tokens: who may call the gateway. 256 random bits, kept as their SHA-256, never logged.

A token without an account is an operator's and may call everything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import LargeBinary, bindparam, select

from framework.errors import Gone
from framework.storage.contract import Storage
from framework.storage.operations import Delete, Insert
from framework.storage.tables import TOKEN

DEFAULT_EXPIRY = 12 * 3600.0  # seconds

# How long a token that was found valid is believed without asking the database again (seconds). A new
# token is always asked for, so it works at once; a revoked one works this much longer at most.
BELIEVED_FOR = 1.0
_MOST_BELIEVED = 4096

_BY_HASH = select(TOKEN).where(TOKEN.c.hash == bindparam("hash", type_=LargeBinary, required=True))
_ALL = select(TOKEN).order_by(TOKEN.c.id)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it can be shown: never the secret itself. Times in seconds since 1970."""

    id: int
    account: str | None
    created_at: float
    expires_at: float

    def valid(self, now: float) -> bool:
        return now < self.expires_at


async def issue(storage: Storage, *, account: str | None = None, expires_in: float = DEFAULT_EXPIRY) -> str:
    """A new token's secret, shown this once; valid in every process of the installation at once."""
    now = time.time()
    secret = secrets.token_urlsafe(32)
    row = {"hash": _hash(secret), "account": account, "created_at": now, "expires_at": now + expires_in}
    await storage.write([Insert(TOKEN, row)])
    return secret


async def listed(storage: Storage) -> list[Token]:
    """All tokens, expired ones too, oldest first."""
    return [_token(row) for row in await storage.select(_ALL)]


async def revoke(storage: Storage, number: int) -> bool:
    """Make a token void; False when there is none of this number."""
    try:
        await storage.write([Delete(TOKEN, "id", number)])
    except Gone:
        return False
    return True


@asynccontextmanager
async def temporary(storage: Storage, *, expires_in: float = DEFAULT_EXPIRY) -> AsyncIterator[str]:
    """An operator's token for the block: withdrawn at its end, void by itself where the process dies."""
    secret = await issue(storage, expires_in=expires_in)
    try:
        yield secret
    finally:
        await withdraw(storage, secret)


async def withdraw(storage: Storage, secret: str) -> None:
    """Make a token void by its secret, if there is one."""
    for row in await storage.select(_BY_HASH, {"hash": _hash(secret)}):
        await revoke(storage, row["id"])


class Tokens:
    """Checks the tokens of requests for one process."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._believed: dict[bytes, tuple[Token, float]] = {}

    async def check(self, secret: str) -> Token | None:
        """The token, or None when there is none such or it has expired."""
        digest = _hash(secret)
        believed = self._believed.get(digest)
        if believed is None or time.monotonic() > believed[1]:
            token = await self._find(digest)
            if token is None:
                self._believed.pop(digest, None)
                return None
            if len(self._believed) >= _MOST_BELIEVED:
                self._believed.clear()
            self._believed[digest] = (token, time.monotonic() + BELIEVED_FOR)
        else:
            token = believed[0]
        return token if token.valid(time.time()) else None

    async def _find(self, digest: bytes) -> Token | None:
        rows = await self._storage.select(_BY_HASH, {"hash": digest})
        return next((_token(row) for row in rows if hmac.compare_digest(row["hash"], digest)), None)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _token(row: object) -> Token:
    return Token(row["id"], row["account"], row["created_at"], row["expires_at"])  # type: ignore[index]
