"""Which item may have killed its process: those that a dead process had in work together are suspects.

The rule: **an item is charged with a crash only if it was alone in its process.** Of several, any one may have been
the cause, so none is charged. Each is delivered again alone: this process has nothing else in work as it begins, and
takes nothing else while its solitude lasts. The solitude doubles with each crash that an item shares with others,
so that one which kills late is alone at its crash some time, however long the others take.

What is kept in memory here is about this process alone, and only puts off deliveries: it may be lost, or be of a
unit that was rolled back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from framework.storage.decisions import steps
from framework.storage.decisions.steps import Decision

SOLITUDE = 10.0  # seconds that a suspect waits for this process to be free, and keeps it for itself, at first
LOOK_AGAIN = 0.1  # seconds until one that was put off is to ask again
_ASKS = 1.0  # seconds for which a suspect that waits is believed to be still asked for


def orphan(owner: int) -> Decision[bool]:
    """Take from a dead process all that it had in work; was the only item of it alone, and is to be charged?

    A process that was stopping has been ended by somebody, not by its items.
    """
    orphans = yield steps.ORPHANS, (owner,)
    stopping = (yield steps.STOPPING, (owner,)) is not None
    alone = len(orphans) == 1 and not stopping
    for fifo_id, item_id in orphans:
        yield steps.ORPHAN, (fifo_id,)
        if not alone:
            yield steps.TAKE_BACK if stopping else steps.SUSPECT, (item_id,)
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
    """What one process puts off for the sake of suspects. All times on the process's own steady clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._alone: _Alone | None = None

    @property
    def any(self) -> bool:
        """May anything have to be put off?"""
        return bool(self._waiting) or self._alone is not None

    def put_off(self, process: int, fifo: str, item_id: int, suspicion: int) -> Decision[bool]:
        """Must the head of this FIFO not be delivered to this process now?"""
        now = time.monotonic()
        if suspicion:
            return (yield from self._must_wait(process, fifo, item_id, suspicion, now))
        self._waiting.pop(fifo, None)
        if any(not one.delivered and one.asked > now - _ASKS for one in self._waiting.values()):
            return True  # a suspect waits until this process has nothing in work
        return (yield from self._is_kept(process, now))

    def _must_wait(self, process: int, fifo: str, item_id: int, suspicion: int, now: float) -> Decision[bool]:
        solitude = SOLITUDE * 2 ** min(suspicion - 1, 30)
        waiting = self._waiting.get(fifo)
        if waiting is None or waiting.item_id != item_id:
            waiting = self._waiting[fifo] = _Waiting(item_id, now + solitude, now)
        waiting.asked = now
        busy = (yield steps.BUSY, (process,)) is not None
        waiting.delivered = not busy or (
            now >= waiting.until and not (yield from self._is_kept(process, now))
        )
        if not busy:
            self._alone = _Alone(fifo, item_id, now + solitude)
        return not waiting.delivered

    def _is_kept(self, process: int, now: float) -> Decision[bool]:
        alone = self._alone
        if alone is None:
            return False
        held = (yield steps.IN_WORK, (alone.fifo, process, alone.item_id)) is not None
        if held and now < alone.until:
            return True
        self._alone = None
        return False
