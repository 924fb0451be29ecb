"""The statements that decisions ask for, in SQLite's SQL. A step's parameters are ``?1``, ``?2`` and so on.

There is one writer at a time, so nothing has to be locked, and the order of ids is the order of commits.
"""

from __future__ import annotations

from collections.abc import Mapping

from framework.storage.decisions import steps
from framework.storage.decisions.steps import Step
from framework.storage.sqlite import earlier

_PRUNE_TOKENS = """
    DELETE FROM _framework_token WHERE id IN (
        SELECT id FROM _framework_token
        WHERE account IS {account} NULL
        AND coalesce(lived_at, ?2) + max(expires_at - created_at, 0) < ?1 - ?4
        AND (lived_at IS NOT NULL OR expires_at < ?3 - ?4) LIMIT ?5)"""

# A FIFO of which nobody would miss anything.
_OF_NO_USE = """
    length = 0 AND item IS NULL AND policy IS NULL AND NOT paused
    AND NOT EXISTS (SELECT 1 FROM _framework_dead WHERE fifo = _framework_fifo.id)"""

TEXTS: Mapping[Step, str] = {
    # ---- FIFOs ------------------------------------------------------------------------------
    steps.FIFO: """
        SELECT id, epoch, owner, item, paused, (SELECT max(id) FROM _framework_drain)
        FROM _framework_fifo WHERE name = ?1""",
    steps.NEW_FIFO: """
        INSERT INTO _framework_fifo (name, epoch)
        VALUES (?1, coalesce((SELECT epoch FROM _framework_clock), 0)) ON CONFLICT (name) DO NOTHING""",
    steps.LENGTH: "SELECT length FROM _framework_fifo WHERE name = ?1",
    steps.HELD: """
        SELECT length, (SELECT count(*) FROM _framework_dead WHERE fifo = f.id)
        FROM _framework_fifo f WHERE f.id = ?1""",
    steps.TAKE: """
        UPDATE _framework_fifo SET epoch = ?2, owner = ?3, item = ?4, worker = ?5, since = ?6 WHERE id = ?1""",
    steps.LET_GO: "UPDATE _framework_fifo SET item = NULL WHERE name = ?1 AND item = ?2 AND epoch = ?3",
    steps.LET_GO_FENCED: """
        UPDATE _framework_fifo SET item = NULL, epoch = epoch + 1
        WHERE name = ?1 AND item = ?2 AND epoch = ?3""",
    steps.CLAIM: "SELECT 1 FROM _framework_fifo WHERE name = ?1 AND item = ?2 AND epoch = ?3",
    steps.PAUSE: "UPDATE _framework_fifo SET paused = ?2, idle_since = NULL WHERE name = ?1",
    steps.POLICY: "UPDATE _framework_fifo SET policy = ?2, idle_since = NULL WHERE name = ?1",
    steps.DRAIN: "INSERT INTO _framework_drain (at) VALUES (?1)",
    steps.NO_DRAIN: "DELETE FROM _framework_drain",
    # ---- items ------------------------------------------------------------------------------
    steps.PUT: """
        INSERT INTO _framework_item (fifo, payload, key, put_at, request_id)
        SELECT id, ?2, ?3, ?4, ?5 FROM _framework_fifo WHERE name = ?1""",
    steps.HEAD: """
        SELECT id, payload, attempts, crashes, put_at, held, not_before, delay, request_id, suspicion
        FROM _framework_item WHERE fifo = ?1 ORDER BY id LIMIT 1""",
    steps.COUNT_ATTEMPT: """
        UPDATE _framework_item SET attempts = attempts + 1, first_at = coalesce(first_at, ?2), last_at = ?2
        WHERE id = ?1""",
    steps.TAKE_BACK: "UPDATE _framework_item SET attempts = attempts - 1 WHERE id = ?1",
    steps.CRASHES: "SELECT crashes FROM _framework_item WHERE id = ?1",
    steps.COUNT_CRASH: "UPDATE _framework_item SET attempts = attempts - 1, crashes = ?2 WHERE id = ?1",
    steps.SUSPECT: """
        UPDATE _framework_item SET attempts = attempts - 1, suspicion = suspicion + 1 WHERE id = ?1""",
    steps.GIVE_BACK: """
        UPDATE _framework_item SET attempts = attempts - 1, not_before = ?2, delay = ?3 WHERE id = ?1""",
    steps.HOLD_BACK: """
        UPDATE _framework_item
        SET held = ?2, not_before = ?3, delay = ?4, reason = ?5, traceback = ?6, suspicion = 0
        WHERE id = ?1""",
    steps.HOLD: "UPDATE _framework_item SET held = 1, reason = ?2 WHERE id = ?1",
    steps.DUE: "UPDATE _framework_item SET not_before = 0, delay = 0, held = 0 WHERE id = ?1",
    steps.DELETE_ITEM: "DELETE FROM _framework_item WHERE id = ?1",
    steps.DROP: "DELETE FROM _framework_item WHERE fifo = ?1 AND id = ?2",
    steps.PURGE: """
        DELETE FROM _framework_item WHERE id IN (
            SELECT id FROM _framework_item WHERE fifo = ?1 AND id IS NOT ?2 AND id <= ?3
            ORDER BY id LIMIT ?4)""",
    steps.KNOWN_KEY: """
        SELECT k.item FROM _framework_key k JOIN _framework_fifo f ON f.id = k.fifo
        WHERE f.name = ?1 AND k.key = ?2 AND coalesce(k.lived_at > ?3, 1)
        AND (coalesce(k.lived_at, 0) >= (SELECT began FROM _framework_clock) OR abs(?4 - k.at) < ?5)""",
    steps.KEEP_KEY: """
        INSERT OR REPLACE INTO _framework_key (fifo, key, item, at, lived_at)
        SELECT id, ?2, ?3, ?4, ?5 FROM _framework_fifo WHERE name = ?1""",
    steps.FORGET_KEYS: """
        DELETE FROM _framework_key
        WHERE fifo = (SELECT id FROM _framework_fifo WHERE name = ?1) AND lived_at <= ?2""",
    # ---- dead letters -----------------------------------------------------------------------
    steps.BURY: """
        INSERT INTO _framework_dead
            (fifo, item, payload, put_at, request_id, attempts, crashes, first_at, last_at, reason, traceback,
             died_at, lived_at)
        SELECT fifo, id, payload, put_at, request_id, attempts, crashes, first_at, last_at, ?2,
            coalesce(?3, traceback), ?4, ?5
        FROM _framework_item WHERE id = ?1""",
    steps.DEAD: """
        SELECT id FROM _framework_dead
        WHERE fifo = ?1 AND (?2 IS NULL OR id = ?2) AND id <= ?3 ORDER BY id LIMIT ?4""",
    steps.REDRIVE: """
        INSERT INTO _framework_item (fifo, payload, put_at, request_id, first_at, last_at)
        SELECT fifo, payload, put_at, request_id, first_at, last_at FROM _framework_dead WHERE id = ?1""",
    steps.DELETE_DEAD: "DELETE FROM _framework_dead WHERE id = ?1",
    steps.PURGE_DEAD: """
        DELETE FROM _framework_dead WHERE id IN (
            SELECT id FROM _framework_dead
            WHERE fifo = ?1 AND (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR died_at < ?3)
            AND (?4 IS NULL OR lived_at IS NULL OR lived_at < ?4) AND id <= ?5
            ORDER BY id LIMIT ?6)""",
    # ---- a FIFO that is of no use -----------------------------------------------------------
    steps.MARK_IDLE: f"UPDATE _framework_fifo SET idle_since = ?1 WHERE idle_since IS NULL AND {_OF_NO_USE}",
    steps.IDLE_FIFOS: f"SELECT id FROM _framework_fifo WHERE idle_since < ?1 AND {_OF_NO_USE} LIMIT ?2",
    steps.FORGET_SOME_KEYS: """
        DELETE FROM _framework_key WHERE (fifo, key) IN
            (SELECT fifo, key FROM _framework_key WHERE fifo = ?1 LIMIT ?2)""",
    steps.KEEP_EPOCH: """
        UPDATE _framework_clock
        SET epoch = max(epoch, (SELECT epoch FROM _framework_fifo WHERE id = ?1))""",
    steps.FORGET: "DELETE FROM _framework_fifo WHERE id = ?1",
    # ---- processes --------------------------------------------------------------------------
    steps.REGISTER: f"""
        INSERT INTO _framework_process (host, pid, started_at, locks) VALUES (?1, ?2, ?3, {earlier.LOCKS})""",
    steps.IDLE_PROCESSES: """
        SELECT id FROM _framework_process WHERE started_at < ?1 AND id NOT IN
            (SELECT owner FROM _framework_fifo WHERE item IS NOT NULL)""",
    steps.FORGET_PROCESS: "DELETE FROM _framework_process WHERE id = ?1",
    steps.FORGET_PROBLEMS: "DELETE FROM _framework_problem WHERE process = ?1",
    steps.BEGIN_STOP: """
        UPDATE _framework_process SET stopping = 1
        WHERE id = ?1 AND EXISTS (SELECT 1 FROM _framework_fifo WHERE owner = ?1 AND item IS NOT NULL)""",
    steps.STOPPING: "SELECT 1 FROM _framework_process WHERE id = ?1 AND stopping",
    steps.BUSY: "SELECT 1 FROM _framework_fifo WHERE owner = ?1 AND item IS NOT NULL LIMIT 1",
    steps.IN_WORK: "SELECT 1 FROM _framework_fifo WHERE name = ?1 AND owner = ?2 AND item = ?3",
    steps.ORPHANS: "SELECT id, item FROM _framework_fifo WHERE owner = ?1 AND item IS NOT NULL",
    steps.ORPHAN: "UPDATE _framework_fifo SET item = NULL, epoch = epoch + 1 WHERE id = ?1",
    steps.PROBLEM: """
        INSERT OR REPLACE INTO _framework_problem (process, worker, problem, since) VALUES (?1, ?2, ?3, ?4)""",
    steps.NO_PROBLEM: "DELETE FROM _framework_problem WHERE process = ?1 AND worker = ?2",
    # ---- requests that may come twice -------------------------------------------------------
    steps.REQUEST: """
        SELECT fingerprint, process, status, headers, body FROM _framework_request
        WHERE account = ?1 AND method = ?2 AND path = ?3 AND key = ?4 AND (lived_at IS NULL OR lived_at >= ?5)""",
    steps.BEGIN_REQUEST: """
        INSERT OR REPLACE INTO _framework_request
            (account, method, path, key, fingerprint, process, created_at, lived_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)""",
    steps.ANSWER_REQUEST: """
        UPDATE _framework_request SET process = NULL, status = ?6, headers = ?7, body = ?8
        WHERE account = ?1 AND method = ?2 AND path = ?3 AND key = ?4 AND process = ?5""",
    steps.UNMARK_REQUEST: """
        DELETE FROM _framework_request
        WHERE account = ?1 AND method = ?2 AND path = ?3 AND key = ?4 AND process = ?5""",
    # ---- records and ages -------------------------------------------------------------------
    steps.AUDIT: """
        INSERT INTO _framework_audit (at, user, host, pid, action, target, arguments, affected, lived_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)""",
    steps.AUDIT_MORE: "UPDATE _framework_audit SET affected = coalesce(affected, 0) + ?2 WHERE id = ?1",
    # A row without a mark comes from an older version. It is as old as the first reading, and as its own time says.
    steps.PRUNE_DEAD: """
        DELETE FROM _framework_dead WHERE id IN (SELECT id FROM _framework_dead ORDER BY id LIMIT ?5)
        AND coalesce(lived_at, ?2) < ?1 - ?4
        AND (lived_at IS NOT NULL OR NOT died_at BETWEEN ?3 - ?4 AND ?3)""",
    steps.PRUNE_AUDIT: """
        DELETE FROM _framework_audit WHERE id IN (SELECT id FROM _framework_audit ORDER BY id LIMIT ?5)
        AND coalesce(lived_at, ?2) < ?1 - ?4""",
    steps.PRUNE_TOKENS: _PRUNE_TOKENS.format(account=""),
    steps.PRUNE_LOGONS: _PRUNE_TOKENS.format(account="NOT"),
    steps.PRUNE_REQUESTS: """
        DELETE FROM _framework_request WHERE rowid IN (
            SELECT rowid FROM _framework_request WHERE lived_at < ?1 - ?4 LIMIT ?5)""",
    steps.PRUNE_UNMARKED_REQUESTS: """
        DELETE FROM _framework_request WHERE rowid IN (
            SELECT rowid FROM _framework_request
            WHERE lived_at IS NULL AND ?2 < ?1 - ?4 AND created_at < ?3 - ?4 LIMIT ?5)""",
    steps.PRUNE_KEYS: """
        DELETE FROM _framework_key WHERE (fifo, key) IN (
            SELECT k.fifo, k.key FROM _framework_key k JOIN _framework_fifo f ON f.id = k.fifo
            WHERE f.policy IS NULL AND coalesce(k.lived_at, ?2) < ?1 - ?4 LIMIT ?5)""",
}
