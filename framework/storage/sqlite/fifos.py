"""The FIFO's operations as SQL on the writing connection of the SQLite engine.

All of it runs in the writer's thread, inside a transaction that the writer began and ends. How long a
head is held back is measured by the machine's steady clock, which every process shares and nobody can
set; it begins anew with the machine, which shows by a wait longer than the delay itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from framework.errors import ClaimLost, FifoFull, InWork, NotEmpty
from framework.storage.operations import (
    ALL,
    Acknowledge,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Drain,
    Drop,
    Failure,
    Forget,
    Pause,
    Purge,
    PurgeDead,
    Put,
    RecordPolicy,
    Redrive,
    Release,
    RetryNow,
    Skip,
    Undelivered,
)
from framework.storage.sqlite import ages, earlier
from framework.storage.sqlite.locks import Locks
from framework.storage.sqlite.suspects import LOOK_AGAIN, Suspects, orphan

Connection = sqlite3.Connection

# The length is kept by the database itself, so that no operation can forget it.
_TRIGGERS = {
    "_framework_item_put": """CREATE TRIGGER _framework_item_put AFTER INSERT ON _framework_item BEGIN
        UPDATE _framework_fifo SET length = length + 1, idle_since = NULL WHERE id = new.fifo; END""",
    "_framework_item_gone": """CREATE TRIGGER _framework_item_gone AFTER DELETE ON _framework_item BEGIN
        UPDATE _framework_fifo SET length = length - 1 WHERE id = old.fifo; END""",
    "_framework_process_locks": earlier.TRIGGER,
}

_PUT = """
    INSERT INTO _framework_item (fifo, payload, key, put_at, request_id)
    SELECT id, ?, ?, ?, ? FROM _framework_fifo WHERE name = ?"""
_NEW_FIFO = """
    INSERT INTO _framework_fifo (name, epoch)
    VALUES (?, coalesce((SELECT epoch FROM _framework_clock), 0)) ON CONFLICT (name) DO NOTHING"""
_LENGTH = "SELECT length FROM _framework_fifo WHERE name = ?"
# A key is as old as the steady clock says. Since the machine was off its wall clock has a say as well.
_KNOWN_KEY = """
    SELECT k.item FROM _framework_key k JOIN _framework_fifo f ON f.id = k.fifo
    WHERE f.name = ? AND k.key = ? AND coalesce(k.lived_at > ?, 1)
    AND (coalesce(k.lived_at, 0) >= (SELECT began FROM _framework_clock) OR abs(? - k.at) < ?)"""
_KEEP_KEY = """
    INSERT OR REPLACE INTO _framework_key (fifo, key, item, at, lived_at)
    SELECT id, ?, ?, ?, ? FROM _framework_fifo WHERE name = ?"""
_FORGET_KEYS = """
    DELETE FROM _framework_key
    WHERE fifo = (SELECT id FROM _framework_fifo WHERE name = ?) AND lived_at <= ?"""

_FIFO = """
    SELECT id, epoch, owner, item, paused, (SELECT max(id) FROM _framework_drain)
    FROM _framework_fifo WHERE name = ?"""
_HEAD = """
    SELECT id, payload, attempts, crashes, put_at, held, not_before, delay, request_id, suspicion
    FROM _framework_item WHERE fifo = ? ORDER BY id LIMIT 1"""
_COUNT_ATTEMPT = """
    UPDATE _framework_item SET attempts = attempts + 1, first_at = coalesce(first_at, ?), last_at = ?
    WHERE id = ?"""
_COUNT_CRASH = "UPDATE _framework_item SET attempts = attempts - 1, crashes = ? WHERE id = ?"
_TAKE = "UPDATE _framework_fifo SET epoch = ?, owner = ?, item = ?, worker = ?, since = ? WHERE id = ?"
_LET_GO = "UPDATE _framework_fifo SET item = NULL WHERE name = ? AND item = ? AND epoch = ?"
_LET_GO_FENCED = (
    "UPDATE _framework_fifo SET item = NULL, epoch = epoch + 1 WHERE name = ? AND item = ? AND epoch = ?"
)
_FENCE = "SELECT 1 FROM _framework_fifo WHERE name = ? AND epoch = ? AND item = ?"

_DELETE = "DELETE FROM _framework_item WHERE id = ?"
_GIVE_BACK = """
    UPDATE _framework_item SET attempts = attempts - 1, not_before = ?, delay = ? WHERE id = ?"""
_HOLD_BACK = """
    UPDATE _framework_item SET held = ?, not_before = ?, delay = ?, reason = ?, traceback = ?, suspicion = 0
    WHERE id = ?"""
_HOLD = "UPDATE _framework_item SET held = 1, reason = ?, traceback = coalesce(?, traceback) WHERE id = ?"
_DUE = "UPDATE _framework_item SET not_before = 0, delay = 0, held = 0 WHERE id = ?"
_BURY = """
    INSERT INTO _framework_dead
        (fifo, item, payload, put_at, request_id, attempts, crashes, first_at, last_at, reason, traceback, died_at,
         lived_at)
    SELECT fifo, id, payload, put_at, request_id, attempts, crashes, first_at, last_at, ?, coalesce(?, traceback), ?,
        ?
    FROM _framework_item WHERE id = ?"""

_PAUSE = "UPDATE _framework_fifo SET paused = ?, idle_since = NULL WHERE name = ?"
_POLICY = "UPDATE _framework_fifo SET policy = ?, idle_since = NULL WHERE name = ?"
_DROP = "DELETE FROM _framework_item WHERE id = ? AND fifo = ?"
_PURGE = """
    DELETE FROM _framework_item WHERE id IN (
        SELECT id FROM _framework_item WHERE fifo = ? AND id IS NOT ? AND id <= ? ORDER BY id LIMIT ?)"""
_DEAD = """
    SELECT id FROM _framework_dead
    WHERE fifo = ? AND (? IS NULL OR id = ?) AND id <= ? ORDER BY id LIMIT ?"""
_HELD = """
    SELECT length, (SELECT count(*) FROM _framework_dead WHERE fifo = f.id) FROM _framework_fifo f WHERE f.id = ?"""
_REDRIVE = """
    INSERT INTO _framework_item (fifo, payload, put_at, request_id, first_at, last_at)
    SELECT fifo, payload, put_at, request_id, first_at, last_at FROM _framework_dead WHERE id = ?"""
_DELETE_DEAD = "DELETE FROM _framework_dead WHERE id = ?"
_PURGE_DEAD = """
    DELETE FROM _framework_dead WHERE id IN (
        SELECT id FROM _framework_dead
        WHERE fifo = ? AND (? IS NULL OR id = ?) AND (? IS NULL OR died_at < ?) AND id <= ?
        AND (? IS NULL OR lived_at IS NULL OR lived_at < ?)
        ORDER BY id LIMIT ?)"""


def missing_triggers(connection: Connection) -> dict[str, str]:
    """Those that are not there as they should be, by name: the SQL that makes them."""
    there = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    return {name: sql for name, sql in _TRIGGERS.items() if there.get(name) != sql}


def make_triggers(connection: Connection) -> None:
    """Make what is missing; one of an older version is made anew."""
    for name, sql in missing_triggers(connection).items():
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        connection.execute(sql)


class FifoOperations:
    """Runs the FIFO operations of one process."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._suspects = Suspects()
        self.process: int | None = None  # the number that deliveries are claimed by
        self.drains_before = 0  # the last drain when the database was opened
        self.runners: Mapping[type, Callable[[Connection, Any], Any]] = {
            Put: self._put,
            Deliver: self._deliver,
            Acknowledge: self._acknowledge,
            Release: self._release,
            Bury: self._bury,
            Pause: self._pause,
            Drain: self._drain,
            RetryNow: self._retry_now,
            Skip: self._skip,
            Drop: self._drop,
            Purge: self._purge,
            Redrive: self._redrive,
            PurgeDead: self._purge_dead,
            Forget: self._forget,
            RecordPolicy: self._record_policy,
        }

    def check(self, connection: Connection, claim: Claim) -> None:
        """``ClaimLost`` if the claim does not hold any more."""
        if not connection.execute(_FENCE, (claim.fifo, claim.epoch, claim.item_id)).fetchone():
            raise _lost(claim)

    # ---- filling ----------------------------------------------------------------------------

    def _put(self, connection: Connection, op: Put) -> int:
        if op.key is not None:
            lived = ages.lived(connection)
            sought = (op.fifo, op.key, lived - op.key_window, op.put_at, op.key_window)
            known = connection.execute(_KNOWN_KEY, sought).fetchone()
            if known:
                return int(known[0])
        if op.max_length is not None:
            length = connection.execute(_LENGTH, (op.fifo,)).fetchone()
            if length and length[0] >= op.max_length:
                raise FifoFull(f"FIFO {op.fifo!r} holds {length[0]} items, as many as its max_length allows")
        values = (op.payload, op.key, op.put_at, op.request_id, op.fifo)
        cursor = connection.execute(_PUT, values)
        if cursor.rowcount == 0:
            connection.execute(_NEW_FIFO, (op.fifo,))
            cursor = connection.execute(_PUT, values)
        assert cursor.lastrowid is not None
        item_id = cursor.lastrowid
        if op.key is not None:
            connection.execute(_FORGET_KEYS, (op.fifo, lived - op.key_window))
            connection.execute(_KEEP_KEY, (op.key, item_id, op.put_at, lived, op.fifo))
        return item_id

    # ---- working off ------------------------------------------------------------------------

    def _deliver(self, connection: Connection, op: Deliver) -> Delivery | Undelivered:
        assert self.process is not None, "the storage registers a process before its first delivery"
        fifo = connection.execute(_FIFO, (op.fifo,)).fetchone()
        if fifo is None:
            return Undelivered("empty")
        fifo_id, epoch, owner, in_work, paused, drain = fifo
        if in_work is not None:
            if self._locks.alive(owner):
                return Undelivered("busy")
            if orphan(connection, owner):
                self._count_crash(connection, op, in_work)
            epoch += 1
        if paused or (drain is not None and drain > self.drains_before):
            return Undelivered("paused")
        head = connection.execute(_HEAD, (fifo_id,)).fetchone()
        if head is None:
            return Undelivered("empty")
        item_id, payload, attempts, crashes, put_at, held, not_before, delay, request_id, suspicion = head
        if held:
            return Undelivered("held")
        if delay:
            wait = _remaining(not_before, delay)
            if wait > 0:
                return Undelivered("waiting", wait)
        if (suspicion or self._suspects.any) and self._suspects.put_off(
            connection, self.process, op.fifo, item_id, suspicion
        ):
            return Undelivered("suspect" if suspicion else "kept", LOOK_AGAIN)
        if owner != self.process:
            epoch += 1
        connection.execute(_COUNT_ATTEMPT, (op.now, op.now, item_id))
        connection.execute(_TAKE, (epoch, self.process, item_id, op.worker, op.now, fifo_id))
        claim = Claim(op.fifo, item_id, epoch)
        return Delivery(claim, payload, attempts + 1, crashes, put_at, request_id, suspicion)

    def _count_crash(self, connection: Connection, op: Deliver, item_id: int) -> None:
        """Its process died with this item alone in work: nobody waits out a back-off for that."""
        [crashes] = connection.execute(
            "SELECT crashes + 1 FROM _framework_item WHERE id = ?", (item_id,)
        ).fetchone() or (0,)
        connection.execute(_COUNT_CRASH, (crashes, item_id))
        if crashes >= op.max_crashes:
            reason = f"its process died {crashes} times while it was in work"
            if op.hold:
                connection.execute(_HOLD, (reason, None, item_id))
            else:
                _move_to_dead(connection, item_id, Failure(reason, None, op.now))

    def _acknowledge(self, connection: Connection, op: Acknowledge) -> None:
        if self._let_go(connection, _LET_GO, op):
            connection.execute(_DELETE, (op.claim.item_id,))

    def _release(self, connection: Connection, op: Release) -> None:
        # The epoch rises: what a block that failed left running must not write any more.
        if not self._let_go(connection, _LET_GO_FENCED, op):
            return
        item_id, failure = op.claim.item_id, op.failure
        if failure is None:
            connection.execute(_GIVE_BACK, (time.monotonic() + op.delay, op.delay, item_id))
            return
        until = time.monotonic() + op.delay
        values = (op.hold, until, op.delay, failure.reason, failure.traceback, item_id)
        connection.execute(_HOLD_BACK, values)

    def _bury(self, connection: Connection, op: Bury) -> None:
        if self._let_go(connection, _LET_GO_FENCED, op):
            _move_to_dead(connection, op.claim.item_id, op.failure)

    def _let_go(self, connection: Connection, sql: str, op: Acknowledge | Release | Bury) -> bool:
        claim = op.claim
        if connection.execute(sql, (claim.fifo, claim.item_id, claim.epoch)).rowcount == 0:
            if op.settled:
                return False
            raise _lost(claim)
        return True

    # ---- the operator's verbs ---------------------------------------------------------------

    def _pause(self, connection: Connection, op: Pause) -> None:
        connection.execute(_NEW_FIFO, (op.fifo,))
        connection.execute(_PAUSE, (op.paused, op.fifo))

    def _drain(self, connection: Connection, op: Drain) -> bool:
        before = connection.execute("DELETE FROM _framework_drain").rowcount > 0
        if op.on:
            connection.execute("INSERT INTO _framework_drain (at) VALUES (?)", (op.at,))
        return before

    def _retry_now(self, connection: Connection, op: RetryNow) -> bool:
        fifo_id, _ = self._idle_head(connection, op.fifo)
        head = connection.execute(_HEAD, (fifo_id,)).fetchone()
        if head is None:
            return False
        item_id, held, not_before, delay = head[0], head[5], head[6], head[7]
        connection.execute(_DUE, (item_id,))
        return bool(held) or _remaining(not_before, delay) > 0

    def _skip(self, connection: Connection, op: Skip) -> int | None:
        fifo_id, in_work = self._idle_head(connection, op.fifo)
        head = connection.execute(_HEAD, (fifo_id,)).fetchone()
        if head is None:
            return None
        item_id: int = head[0]
        self._require_idle(connection, op.fifo, in_work, item_id)
        _move_to_dead(connection, item_id, Failure("skipped", None, op.now))
        return item_id

    def _drop(self, connection: Connection, op: Drop) -> bool:
        fifo_id, in_work = self._idle_head(connection, op.fifo)
        self._require_idle(connection, op.fifo, in_work, op.item_id)
        return connection.execute(_DROP, (op.item_id, fifo_id)).rowcount > 0

    def _purge(self, connection: Connection, op: Purge) -> int:
        fifo_id, in_work = self._idle_head(connection, op.fifo)
        return connection.execute(_PURGE, (fifo_id, in_work, _upto(op), op.limit)).rowcount

    def _redrive(self, connection: Connection, op: Redrive) -> list[int]:
        fifo_id, _ = self._idle_head(connection, op.fifo)
        new_ids = []
        sought = (fifo_id, op.dead_id, op.dead_id, _upto(op), op.limit)
        for (dead_id,) in connection.execute(_DEAD, sought).fetchall():
            new_ids.append(connection.execute(_REDRIVE, (dead_id,)).lastrowid or 0)
            connection.execute(_DELETE_DEAD, (dead_id,))
        return new_ids

    def _purge_dead(self, connection: Connection, op: PurgeDead) -> int:
        fifo_id, _ = self._idle_head(connection, op.fifo)
        which = (fifo_id, op.dead_id, op.dead_id, op.before, op.before, _upto(op))
        values = (*which, op.lived_before, op.lived_before, op.limit)
        return connection.execute(_PURGE_DEAD, values).rowcount

    def _forget(self, connection: Connection, op: Forget) -> bool:
        fifo_id, _ = self._idle_head(connection, op.fifo)
        if fifo_id is None:
            return True
        length, dead = connection.execute(_HELD, (fifo_id,)).fetchone()
        held = [
            f"{number:,} {what}" for number, what in ((length, "item(s)"), (dead, "dead letter(s)")) if number
        ]
        if held:
            raise NotEmpty(f"FIFO {op.fifo!r} holds {' and '.join(held)}; it was not forgotten")
        return bool(ages.forget(connection, fifo_id, op.limit))

    def _record_policy(self, connection: Connection, op: RecordPolicy) -> None:
        if op.policy is not None:
            connection.execute(_NEW_FIFO, (op.fifo,))
        connection.execute(_POLICY, (op.policy, op.fifo))

    def _idle_head(self, connection: Connection, fifo: str) -> tuple[int | None, int | None]:
        """The FIFO's row number and the item that is in work, by a live process or a dead one."""
        row = connection.execute(_FIFO, (fifo,)).fetchone()
        return (row[0], row[3]) if row else (None, None)

    def _require_idle(self, connection: Connection, fifo: str, in_work: int | None, item_id: int) -> None:
        """``InWork`` while a live process works on the item; a dead one's claim is taken away."""
        if in_work != item_id:
            return
        row = connection.execute(_FIFO, (fifo,)).fetchone()
        if self._locks.alive(row[2]):
            raise InWork(
                f"item {item_id} of FIFO {fifo!r} is in work; nothing was changed. Pause the FIFO and wait"
            )
        orphan(connection, row[2])


def _move_to_dead(connection: Connection, item_id: int, failure: Failure) -> None:
    values = (failure.reason, failure.traceback, failure.at, ages.lived(connection), item_id)
    connection.execute(_BURY, values)
    connection.execute(_DELETE, (item_id,))


def _upto(op: Purge | Redrive | PurgeDead) -> int:
    return ALL if op.upto is None else op.upto


def _remaining(not_before: float, delay: float) -> float:
    """Seconds that a head still has to wait. More than its delay: the machine was restarted meanwhile."""
    wait = not_before - time.monotonic()
    return wait if wait <= delay else 0.0


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"item {claim.item_id} of FIFO {claim.fifo!r} is no longer ours to work on; nothing was changed"
    )
