"""The database's own clock in SQLite, and what is deleted because of its age.

All of it runs inside a transaction that the writer began, but for :func:`read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from framework.storage import age
from framework.storage.age import Age, Reading
from framework.storage.operations import Prune

Connection = sqlite3.Connection

READ = """
    SELECT boot, base, began, first, lived, wall, owed, owed_since FROM _framework_clock WHERE id = 1"""
_WRITE = """
    INSERT INTO _framework_clock (id, boot, base, began, first, lived, wall, owed, owed_since)
    VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        boot = excluded.boot, base = excluded.base, began = excluded.began, lived = excluded.lived,
        wall = excluded.wall, owed = excluded.owed, owed_since = excluded.owed_since"""

# A row without a mark is of an older version: it is as old as the first look, and as its own time says.
_DEAD = """
    DELETE FROM _framework_dead WHERE id IN (SELECT id FROM _framework_dead ORDER BY id LIMIT :limit)
    AND coalesce(lived_at, :first) < :lived - :kept
    AND (lived_at IS NOT NULL OR NOT died_at BETWEEN :wall - :kept AND :wall)"""
_AUDIT = """
    DELETE FROM _framework_audit WHERE id IN (SELECT id FROM _framework_audit ORDER BY id LIMIT :limit)
    AND coalesce(lived_at, :first) < :lived - :kept"""
_TOKENS = """
    DELETE FROM _framework_token WHERE id IN (
        SELECT id FROM _framework_token
        WHERE account IS {account} NULL
        AND coalesce(lived_at, :first) + max(expires_at - created_at, 0) < :lived - :kept
        AND (lived_at IS NOT NULL OR expires_at < :wall - :kept) LIMIT :limit)"""
_REQUESTS = """
    DELETE FROM _framework_request WHERE rowid IN (
        SELECT rowid FROM _framework_request WHERE lived_at < :lived - :kept LIMIT :limit)"""
_OLD_REQUESTS = """
    DELETE FROM _framework_request WHERE rowid IN (
        SELECT rowid FROM _framework_request
        WHERE lived_at IS NULL AND :first < :lived - :kept AND created_at < :wall - :kept LIMIT :limit)"""
_KEYS = """
    DELETE FROM _framework_key WHERE (fifo, key) IN (
        SELECT k.fifo, k.key FROM _framework_key k JOIN _framework_fifo f ON f.id = k.fifo
        WHERE f.policy IS NULL AND coalesce(k.lived_at, :first) < :lived - :kept LIMIT :limit)"""

# A FIFO of which nobody would miss anything: no item, no dead letter, no policy, not paused.
_MARK_IDLE = """
    UPDATE _framework_fifo SET idle_since = ?
    WHERE length = 0 AND item IS NULL AND policy IS NULL AND NOT paused AND idle_since IS NULL
    AND NOT EXISTS (SELECT 1 FROM _framework_dead WHERE fifo = _framework_fifo.id)"""
_IDLE_FIFOS = """
    SELECT id FROM _framework_fifo
    WHERE length = 0 AND item IS NULL AND policy IS NULL AND NOT paused AND idle_since < ?
    AND NOT EXISTS (SELECT 1 FROM _framework_dead WHERE fifo = _framework_fifo.id) LIMIT ?"""
_FORGET_KEYS = """
    DELETE FROM _framework_key WHERE (fifo, key) IN
        (SELECT fifo, key FROM _framework_key WHERE fifo = ? LIMIT ?)"""
_KEEP_EPOCH = """
    UPDATE _framework_clock SET epoch = max(epoch, (SELECT epoch FROM _framework_fifo WHERE id = ?))"""
_FORGET = "DELETE FROM _framework_fifo WHERE id = ?"

_RULES: Mapping[str, tuple[str, ...]] = {
    "dead letters": (_DEAD,),
    "tokens": (_TOKENS.format(account=""),),
    "logons": (_TOKENS.format(account="NOT"),),
    "responses": (_REQUESTS, _OLD_REQUESTS),
    "keys": (_KEYS,),
    "audit": (_AUDIT,),
}


def read(connection: Connection) -> Age | None:
    """What was remembered at the last look."""
    row = connection.execute(READ).fetchone()
    return Age(*row) if row else None


def keep(connection: Connection, now: Reading | None = None) -> Age:
    """Look at the clocks, and remember it."""
    after = age.look(read(connection), now or age.reading())
    values = (after.boot, after.base, after.began, after.first, after.lived, after.wall)
    connection.execute(_WRITE, (*values, after.owed, after.owed_since))
    return after


def lived(connection: Connection) -> float:
    """The time lived, now. The first to ask after a restart of the machine has the look written."""
    row = connection.execute("SELECT base FROM _framework_clock WHERE id = 1 AND boot = ?", (age.boot(),))
    found = row.fetchone()
    return float(found[0]) + age.steady() if found else keep(connection).lived


def prune(connection: Connection, op: Prune) -> int:
    """One portion of what has exceeded its age."""
    known = keep(connection)
    if op.what == "fifos":
        return _prune_fifos(connection, known.lived, op)
    values = {
        "lived": known.lived,
        "first": known.first,
        "wall": known.wall,
        "kept": op.kept,
        "limit": op.limit,
    }
    return sum(connection.execute(rule, values).rowcount for rule in _RULES[op.what])


def _prune_fifos(connection: Connection, now: float, op: Prune) -> int:
    connection.execute(_MARK_IDLE, (now,))
    old = connection.execute(_IDLE_FIFOS, (now - op.kept, op.limit)).fetchall()
    return sum(forget(connection, fifo, op.limit) for (fifo,) in old)


def forget(connection: Connection, fifo: int, limit: int) -> int:
    """Delete a FIFO without items and dead letters, with its keys; 0 while there are keys left to delete.

    Its epoch is kept: the next FIFO begins above it, since it may be of the same name.
    """
    if connection.execute(_FORGET_KEYS, (fifo, limit)).rowcount >= limit:
        return 0
    keep(connection)
    connection.execute(_KEEP_EPOCH, (fifo,))
    connection.execute(_FORGET, (fifo,))
    return 1
