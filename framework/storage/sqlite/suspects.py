"""Which item may have killed its process: those that a dead process had in work together are suspects.

The rule: **an item is charged with a crash only if it was alone in its process.** Of several, any one may have been
the cause, so none is charged. Each is delivered again alone: this process has nothing else in work as it begins, and
takes nothing else while its solitude lasts. The solitude doubles with each crash that an item shares with others,
so that one which kills late is alone at its crash some time, however long the others take.

What is kept in memory here is about this process alone, and only puts off deliveries: it may be lost, or be of a
unit that was rolled back.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

Connection = sqlite3.Connection

SOLITUDE = 10.0  # seconds that a suspect waits for this process to be free, and keeps it for itself, at first
LOOK_AGAIN = 0.1  # seconds until one that was put off is to ask again
_ASKS = 1.0  # seconds for which a suspect that waits is believed to be still asked for

_ORPHANS = "SELECT id, item FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL"
_STOPPING = "SELECT 1 FROM _framework_process WHERE id = ? AND stopping"
_ORPHAN = "UPDATE _framework_fifo SET item = NULL, epoch = epoch + 1 WHERE id = ?"
_TAKE_BACK = "UPDATE _framework_item SET attempts = attempts - 1 WHERE id = ?"
_SUSPECT = "UPDATE _framework_item SET attempts = attempts - 1, suspicion = suspicion + 1 WHERE id = ?"
_BUSY = "SELECT 1 FROM _framework_fifo WHERE owner = ? AND item IS NOT NULL LIMIT 1"
_IN_WORK = "SELECT 1 FROM _framework_fifo WHERE name = ? AND owner = ? AND item = ?"


def orphan(connection: Connection, owner: int) -> bool:
    """Take from a dead process all that it had in work; was the only item of it alone, and is to be charged?

    A process that was stopping has been ended by somebody, not by its items.
    """
    orphans = connection.execute(_ORPHANS, (owner,)).fetchall()
    stopping = connection.execute(_STOPPING, (owner,)).fetchone() is not None
    alone = len(orphans) == 1 and not stopping
    for fifo_id, item_id in orphans:
        connection.execute(_ORPHAN, (fifo_id,))
        if not alone:
            connection.execute(_TAKE_BACK if stopping else _SUSPECT, (item_id,))
    return alone


@dataclass(slots=True)
class _Waiting:
    """A suspect at the head of a FIFO, since it was first asked for."""

    item_id: int
    until: float
    asked: float
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class _Alone:
    """The suspect that this process works on, and nothing else, until then."""

    fifo: str
    item_id: int
    until: float


class Suspects:
    """What one process puts off for the sake of suspects. All times on the machine's steady clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._alone: _Alone | None = None

    @property
    def any(self) -> bool:
        """May anything have to be put off?"""
        return bool(self._waiting) or self._alone is not None

    def put_off(self, connection: Connection, process: int, fifo: str, item_id: int, suspicion: int) -> bool:
        """Must the head of this FIFO not be delivered to this process now?"""
        now = time.monotonic()
        if suspicion:
            return self._must_wait(connection, process, fifo, item_id, suspicion, now)
        self._waiting.pop(fifo, None)
        if any(not one.delivered and one.asked > now - _ASKS for one in self._waiting.values()):
            return True  # a suspect waits until this process has nothing in work
        return self._is_kept(connection, process, now)

    def _must_wait(
        self, connection: Connection, process: int, fifo: str, item_id: int, suspicion: int, now: float
    ) -> bool:
        solitude = SOLITUDE * 2 ** min(suspicion - 1, 30)
        waiting = self._waiting.get(fifo)
        if waiting is None or waiting.item_id != item_id:
            waiting = self._waiting[fifo] = _Waiting(item_id, now + solitude, now)
        waiting.asked = now
        busy = connection.execute(_BUSY, (process,)).fetchone() is not None
        waiting.delivered = not busy or (now >= waiting.until and not self._is_kept(connection, process, now))
        if not busy:
            self._alone = _Alone(fifo, item_id, now + solitude)
        return not waiting.delivered

    def _is_kept(self, connection: Connection, process: int, now: float) -> bool:
        alone = self._alone
        if alone is None:
            return False
        held = connection.execute(_IN_WORK, (alone.fifo, process, alone.item_id)).fetchone() is not None
        if held and now < alone.until:
            return True
        self._alone = None
        return False
