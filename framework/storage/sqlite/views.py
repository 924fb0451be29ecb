"""What an operator sees of the FIFOs, read beside the writer: states, waiting items, dead letters."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from framework.storage.operations import DeadLetter, FifoState, InWorkState, ItemState

Read = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]

_NAMES = "SELECT name FROM _framework_fifo ORDER BY name"
_STATE = """
    SELECT f.length, (SELECT count(*) FROM _framework_dead WHERE fifo = f.id), f.paused, f.item,
           f.owner, p.host, p.pid, f.worker, f.since, f.policy
    FROM _framework_fifo f LEFT JOIN _framework_process p ON p.id = f.owner WHERE f.name = ?"""
_ITEMS = """
    SELECT i.id, i.payload, i.key, i.put_at, i.attempts, i.crashes, i.held, i.not_before, i.delay,
           i.first_at, i.last_at, i.reason, i.traceback, i.request_id
    FROM _framework_item i JOIN _framework_fifo f ON f.id = i.fifo WHERE f.name = ? ORDER BY i.id LIMIT ?"""
_DEAD = """
    SELECT d.id, f.name, d.item, d.payload, d.attempts, d.crashes, d.reason, d.put_at, d.first_at,
           d.last_at, d.died_at, d.traceback, d.request_id
    FROM _framework_dead d JOIN _framework_fifo f ON f.id = d.fifo
    WHERE (? IS NULL OR f.name = ?) AND (? IS NULL OR d.id = ?) ORDER BY d.id LIMIT ?"""


async def fifo_names(read: Read) -> list[str]:
    """See the contract."""
    return [name for (name,) in await read(_NAMES, ())]


async def fifo_state(read: Read, fifo: str, alive: Callable[[int], bool]) -> FifoState | None:
    """See the contract."""
    rows = await read(_STATE, (fifo,))
    if not rows:
        return None
    length, dead, paused, item, owner, host, pid, worker, since, policy = rows[0]
    in_work = None if item is None else InWorkState(item, host, pid, worker, since, alive(owner))
    head = await items(read, fifo, 1)
    return FifoState(fifo, length, dead, bool(paused), in_work, head[0] if head else None, policy)


async def items(read: Read, fifo: str, limit: int) -> list[ItemState]:
    """See ``peek`` of the contract."""
    return [_item(*row) for row in await read(_ITEMS, (fifo, limit))]


async def dead_letters(read: Read, fifo: str | None, limit: int, dead_id: int | None) -> list[DeadLetter]:
    """See the contract."""
    return [DeadLetter(*row) for row in await read(_DEAD, (fifo, fifo, dead_id, dead_id, limit))]


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
    wait = not_before - time.monotonic()
    retry_in = wait if 0 < wait <= delay else 0.0
    return ItemState(id_, payload, key, put_at, attempts, crashes, bool(held), retry_in, *rest)
