"""What an operator sees of the FIFOs, read beside the writer: states, waiting items, dead letters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from framework.storage import age
from framework.storage.operations import DeadLetter, FifoState, InWorkState, ItemState

_NAMES = "SELECT name FROM _framework_fifo ORDER BY name"
# With its head, if it has one.
_STATES = """
    SELECT f.name, f.length, (SELECT count(*) FROM _framework_dead WHERE fifo = f.id), f.paused, f.item,
           f.owner, p.host, p.pid, f.worker, f.since, f.policy,
           i.id, i.payload, i.key, i.put_at, i.attempts, i.crashes, i.held, i.not_before, i.delay,
           i.first_at, i.last_at, i.reason, i.traceback, i.request_id, i.suspicion
    FROM _framework_fifo f
    LEFT JOIN _framework_process p ON p.id = f.owner
    LEFT JOIN _framework_item i ON i.id = (SELECT min(id) FROM _framework_item WHERE fifo = f.id)
    WHERE {which}"""
_STATE = _STATES.format(which="f.name = ?")
_PAGE = _STATES.format(which="f.name > ? ORDER BY f.name LIMIT ?")
_ITEMS = """
    SELECT i.id, i.payload, i.key, i.put_at, i.attempts, i.crashes, i.held, i.not_before, i.delay,
           i.first_at, i.last_at, i.reason, i.traceback, i.request_id, i.suspicion
    FROM _framework_item i JOIN _framework_fifo f ON f.id = i.fifo
    WHERE f.name = ? AND i.id > ? ORDER BY i.id LIMIT ?"""
_ENDS = """
    SELECT (SELECT max(id) FROM _framework_item WHERE fifo = f.id),
           (SELECT max(id) FROM _framework_dead WHERE fifo = f.id)
    FROM _framework_fifo f WHERE f.name = ?"""
_DEAD_BEFORE = """
    SELECT count(*), coalesce(sum(d.lived_at IS NULL OR d.lived_at < ?), 0)
    FROM _framework_dead d JOIN _framework_fifo f ON f.id = d.fifo
    WHERE f.name = ? AND d.died_at < ?"""
_DEAD = """
    SELECT d.id, f.name, d.item, d.payload, d.attempts, d.crashes, d.reason, d.put_at, d.first_at,
           d.last_at, d.died_at, d.traceback, d.request_id
    FROM _framework_dead d JOIN _framework_fifo f ON f.id = d.fifo
    WHERE (? IS NULL OR f.name = ?) AND (? IS NULL OR d.id = ?) AND d.id > ? ORDER BY d.id LIMIT ?"""
_DEAD_OF = """
    SELECT d.id, f.name, d.item, d.payload, d.attempts, d.crashes, d.reason, d.put_at, d.first_at,
           d.last_at, d.died_at, d.traceback, d.request_id
    FROM _framework_fifo f JOIN _framework_dead d ON d.fifo = f.id
    WHERE f.name = ? AND d.id > ? ORDER BY d.id LIMIT ?"""


class Views(ABC):
    """The operator's side of the contract. The subclass has the readers."""

    @abstractmethod
    async def _read(self, sql: str, parameters: Sequence[Any]) -> Sequence[Any]:
        """All rows of a statement."""

    @abstractmethod
    async def alive(self, process: int) -> bool:
        """See the contract."""

    async def fifo_names(self) -> list[str]:
        """See the contract."""
        return [name for (name,) in await self._read(_NAMES, ())]

    async def fifo_state(self, fifo: str) -> FifoState | None:
        """See the contract."""
        states = await self._states(await self._read(_STATE, (fifo,)))
        return states[0] if states else None

    async def fifo_states(self, after: str, limit: int) -> list[FifoState]:
        """See the contract."""
        return await self._states(await self._read(_PAGE, (after, limit)))

    async def _states(self, rows: Sequence[Any]) -> list[FifoState]:
        alive: dict[int, bool] = {}  # many FIFOs may have one owner
        for row in rows:
            item, owner = row[4], row[5]
            if item is not None and owner not in alive:
                alive[owner] = await self.alive(owner)
        return [_state(alive, *row) for row in rows]

    async def peek(self, fifo: str, limit: int, after: int = 0) -> list[ItemState]:
        """See the contract."""
        return [_item(*row) for row in await self._read(_ITEMS, (fifo, after, limit))]

    async def dead_letters(
        self, fifo: str | None, limit: int, dead_id: int | None = None, after: int = 0
    ) -> list[DeadLetter]:
        """See the contract."""
        if fifo is not None and dead_id is None:
            rows = await self._read(_DEAD_OF, (fifo, after, limit))
        else:
            rows = await self._read(_DEAD, (fifo, fifo, dead_id, dead_id, after, limit))
        return [DeadLetter(*row) for row in rows]

    async def last_ids(self, fifo: str) -> tuple[int, int]:
        """See the contract."""
        rows = await self._read(_ENDS, (fifo,))
        return (rows[0][0] or 0, rows[0][1] or 0) if rows else (0, 0)

    async def count_dead(self, fifo: str, before: float, lived_before: float) -> tuple[int, int]:
        """See the contract."""
        [[of_wall, of_both]] = await self._read(_DEAD_BEFORE, (lived_before, fifo, before))
        return int(of_wall), int(of_both)


def _state(
    alive: Mapping[int, bool],
    name: str,
    length: int,
    dead: int,
    paused: int,
    item: int | None,
    owner: int,
    host: str | None,
    pid: int | None,
    worker: str | None,
    since: float | None,
    policy: str | None,
    *head: Any,
) -> FifoState:
    in_work = None if item is None else InWorkState(item, host, pid, worker, since, alive[owner])
    first = None if head[0] is None else _item(*head)
    return FifoState(name, length, dead, bool(paused), in_work, first, policy)


def _item(
    id_: int,
    payload: str,
    key: str | None,
    put_at: float,
    attempts: int,
    crashes: int,
    held: int,
    not_before: float,
    delay: float,
    *rest: Any,
) -> ItemState:
    wait = not_before - age.steady()
    retry_in = wait if 0 < wait <= delay else 0.0
    return ItemState(id_, payload, key, put_at, attempts, crashes, bool(held), retry_in, *rest)
