"""What is remembered for those who look from outside: operators' actions, workers' problems, processes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from framework.storage import Storage
from framework.storage.operations import (
    Audit,
    AuditMore,
    BeginStop,
    Deliver,
    Execute,
    Prune,
    Put,
    RecordProblem,
)
from framework.storage.tables import AUDIT, PROBLEM, PROCESS

from .processes import Child

pytestmark = pytest.mark.anyio

LINE = Audit("fifo purge", "orders", '{"upto": 5}', 3, "alice", "here", 42, 1000.0)


async def rows(storage: Storage, table: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await storage.select(select(table))]


async def test_an_action_is_recorded_with_who_did_it_and_what_it_changed(storage: Storage) -> None:
    [first, second] = await storage.write([LINE, Audit("drain", None, "{}", None, "bob", "there", 7, 2.0)])
    assert first < second
    recorded = await rows(storage, AUDIT)
    assert all(row.pop("lived_at") is not None for row in recorded)
    assert recorded == [
        {
            "id": first,
            "at": 1000.0,
            "user": "alice",
            "host": "here",
            "pid": 42,
            "action": "fifo purge",
            "target": "orders",
            "arguments": {"upto": 5},
            "affected": 3,
        },
        {
            "id": second,
            "at": 2.0,
            "user": "bob",
            "host": "there",
            "pid": 7,
            "action": "drain",
            "target": None,
            "arguments": {},
            "affected": None,
        },
    ]


async def test_an_action_in_portions_counts_all_of_them(storage: Storage) -> None:
    unknown = Audit("fifo purge", "q", "{}", None, "bob", "there", 7, 2.0)
    [first, second] = await storage.write([LINE, unknown])
    answers = await storage.write([AuditMore(first, 4), AuditMore(second, 5), AuditMore(second, 1)])
    assert answers == [None] * 3
    assert [row["affected"] for row in await rows(storage, AUDIT)] == [7, 6]


async def test_old_lines_of_the_record_are_deleted_in_portions(storage: Storage) -> None:
    await storage.write([LINE] * 3)
    assert await storage.write([Prune("audit", 60.0, 10)]) == [0]
    assert await storage.write([Prune("audit", -1.0, 2)]) == [2]
    assert len(await rows(storage, AUDIT)) == 1


async def test_the_problem_of_a_worker_is_known_until_it_is_over(
    storage: Storage, another: Callable[[], Awaitable[Storage]]
) -> None:
    other = await another()
    numbers = [await one.register() for one in (storage, other)]
    assert await storage.write([RecordProblem("w", "no such module", 5.0)]) == [None]
    await storage.write([RecordProblem("v", "another", 6.0)])
    await other.write([RecordProblem("w", "as well", 7.0)])
    await storage.write([RecordProblem("w", "no such name", 8.0)])

    async def known() -> set[tuple[Any, ...]]:
        return {tuple(row.values()) for row in await rows(storage, PROBLEM)}

    assert await known() == {
        (numbers[0], "w", "no such name", 8.0),
        (numbers[0], "v", "another", 6.0),
        (numbers[1], "w", "as well", 7.0),
    }
    assert await storage.write([RecordProblem("w", None, 9.0)]) == [None]
    assert await known() == {(numbers[0], "v", "another", 6.0), (numbers[1], "w", "as well", 7.0)}


async def test_a_process_that_owns_something_is_known_by_machine_number_and_time(storage: Storage) -> None:
    before = time.time()
    number = await storage.register()
    [row] = await rows(storage, PROCESS)
    assert (row["id"], row["host"], row["pid"]) == (number, socket.gethostname(), os.getpid())
    assert before <= row["started_at"] <= time.time()
    assert await storage.register() == number
    assert await storage.alive(number)


async def test_a_stop_is_known_of_a_process_that_has_something_in_work(
    storage: Storage, another: Callable[[], Awaitable[Storage]]
) -> None:
    """Where nothing is in work there is nothing to remember."""
    other = await another()
    numbers = [await one.register() for one in (storage, other)]
    await storage.write([Put("q", "1", 1.0)])

    async def stopping() -> dict[int, bool]:
        return {row["id"]: row["stopping"] for row in await rows(storage, PROCESS)}

    assert await storage.write([BeginStop()]) == [None]
    assert await stopping() == dict.fromkeys(numbers, False)
    await storage.write([Deliver("q", 10.0)])
    await other.write([BeginStop()])
    assert await stopping() == dict.fromkeys(numbers, False)
    await storage.write([BeginStop()])
    assert await stopping() == {numbers[0]: True, numbers[1]: False}


async def test_dead_processes_are_forgotten_unless_an_item_waits_for_its_owner(
    storage: Storage, another: Callable[[], Awaitable[Storage]], url: str
) -> None:
    """And with them the problems of their workers. One that is hardly born may not have its lock yet."""
    main = """
        await db.write([RecordProblem("w", "broken", 1.0)])
        if sys.argv[2] == "works":
            await db.write([Deliver("q", 10.0)])
        say(await db.register())
        await hear()
    """
    await storage.write([Put("q", "1", 1.0)])
    alive = await storage.register()
    numbers = []
    for what in ("works", "idle", "idle"):
        child = await Child.start(main, url, what)
        numbers.append(int(await child.line()))
        await child.kill()
    working, _, newborn = numbers
    old = update(PROCESS).where(PROCESS.c.id != newborn)
    await storage.write([Execute(old.values(started_at=PROCESS.c.started_at - 3600))])
    new = await (await another()).register()
    assert [row["id"] for row in await rows(storage, PROCESS)] == [alive, working, newborn, new]
    assert {row["process"] for row in await rows(storage, PROBLEM)} == {working, newborn}
    [answer] = await storage.write([Deliver("q", 10.0)])
    assert answer.payload == "1", "the item of the dead one is taken over"
