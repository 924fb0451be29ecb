"""The FIFO against a plain list as its model: whatever is done to it, in whatever order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from framework.definitions import Backoff, FifoPolicy, Location
from framework.errors import InWork
from framework.queue import fifo as fifo_module
from framework.queue.fifo import Fifo, Fifos
from framework.queue.policies import Policies
from framework.storage import Storage, open_storage
from framework.storage.operations import Drop, Purge, Redrive, Skip
from framework.transactions.session import Session

from .engines import Engine

T = TypeVar("T")

POLICY = FifoPolicy(
    name="q",
    location=Location("test", 1, 1),
    max_attempts=3,
    max_crashes=2,
    backoff=Backoff(initial=0.0, factor=1.0, max=0.0),
)


@dataclass
class Item:
    """What the model knows of an item."""

    payload: int
    attempts: int = 0
    crashes: int = 0


@dataclass
class Node:
    """One process of the installation: its storage, and the block it is in."""

    storage: Storage
    fifos: Fifos
    closing: AsyncExitStack
    block: Fifo | None = field(default=None)


class FifoMachine(RuleBasedStateMachine):
    """One FIFO, one node that lives on and others that die with an item in work."""

    dead_ids = Bundle("dead_ids")

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.wait, fifo_module.FIFO_WAIT = fifo_module.FIFO_WAIT, 0.0
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.node = self.run(self.open())
        self.waiting: list[Item] = []
        self.keys: dict[str, int] = {}
        self.ids: dict[int, int] = {}  # payload by item id
        self.dead: dict[int, Item] = {}
        self.paused = False
        self.working: Item | None = None
        self.crashed = False
        self.count = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> Node:
        closing = AsyncExitStack()
        url = self.engine.url(Path(self.folder.name))
        storage = await closing.enter_async_context(open_storage(url))
        session = Session()
        session.bind(storage)
        return Node(storage, Fifos(session, Policies([POLICY])), closing)

    def teardown(self) -> None:
        self.run(self.node.closing.aclose())
        self.runner.close()
        self.folder.cleanup()
        fifo_module.FIFO_WAIT = self.wait

    # ---- filling ----------------------------------------------------------------------------

    @rule()
    def put(self) -> None:
        self.count += 1
        item_id = self.run(self.node.fifos("q").put(self.count))
        assert item_id is not None
        assert item_id not in self.ids
        self.ids[item_id] = self.count
        self.waiting.append(Item(self.count))

    @rule(key=st.sampled_from("abc"))
    def put_with_key(self, key: str) -> None:
        item_id = self.run(self.node.fifos("q").put(self.count + 1, key=key))
        assert item_id is not None
        if key in self.keys:
            assert item_id == self.keys[key], "a key that is known gives the first item's id"
            return
        self.count += 1
        self.keys[key] = item_id
        self.ids[item_id] = self.count
        self.waiting.append(Item(self.count))

    @rule(n=st.integers(0, 3))
    def put_many(self, n: int) -> None:
        payloads = [self.count + 1 + i for i in range(n)]
        ids = self.run(self.node.fifos("q").put_many(payloads))
        self.count += n
        for item_id, payload in zip(ids, payloads, strict=True):
            assert item_id is not None
            self.ids[item_id] = payload
            self.waiting.append(Item(payload))

    # ---- working off ------------------------------------------------------------------------

    def bury_crashed(self) -> None:
        """What the next look at the FIFO does with an item whose process died."""
        if self.crashed:
            self.crashed = False
            head = self.waiting[0]
            head.crashes += 1
            if head.crashes >= POLICY.max_crashes:
                self.waiting.pop(0)

    @precondition(lambda self: self.working is None)
    @rule()
    def deliver(self) -> None:
        block = self.node.fifos("q")

        async def enter() -> tuple[Any, int]:
            given = await block.__aenter__()
            return given, 0 if given is None else block.attempt

        given, attempt = self.run(enter())
        self.bury_crashed()
        if self.paused or not self.waiting:
            assert given is None
            self.run(block.__aexit__(None, None, None))
            return
        head = self.waiting[0]
        assert given == head.payload, "the head is delivered, and nothing else"
        assert attempt == head.attempts + 1
        self.working, self.node.block = head, block

    @precondition(lambda self: self.working is not None)
    @rule()
    def second_delivery_gives_nothing(self) -> None:
        async def enter() -> Any:
            other = await self.open()
            async with other.closing, other.fifos("q") as given:
                return given

        assert self.runner.run(enter(), context=Context()) is None

    @precondition(lambda self: self.working is not None)
    @rule()
    def acknowledge(self) -> None:
        self.leave(None)
        self.waiting.pop(0)

    @precondition(lambda self: self.working is not None)
    @rule()
    def fail(self) -> None:
        head = self.waiting[0]
        self.leave(ValueError("no"))
        head.attempts += 1
        if head.attempts >= POLICY.max_attempts:
            self.waiting.pop(0)

    def leave(self, error: Exception | None) -> None:
        async def leave() -> None:
            assert self.node.block is not None
            await self.node.block.__aexit__(type(error) if error else None, error, None)
            await self.node.fifos.settlements.settle()

        self.run(leave())
        self.working = self.node.block = None

    @precondition(lambda self: self.working is None and not self.paused)
    @rule()
    def crash(self) -> None:
        """Another process takes the head and dies with it: its lock is freed, nothing else happens."""

        async def die() -> Any:
            other = await self.open()
            given = await other.fifos("q").__aenter__()
            await other.closing.aclose()
            return given

        # A context of its own: this claim is not one that our node's later writes are made under.
        given = self.runner.run(die(), context=copy_context())
        self.bury_crashed()
        if self.waiting:
            assert given == self.waiting[0].payload
            self.crashed = True
        else:
            assert given is None

    # ---- the operator -----------------------------------------------------------------------

    @rule()
    def pause(self) -> None:
        self.run(self.node.fifos("q").pause())
        self.paused = True

    @rule()
    def resume(self) -> None:
        self.run(self.node.fifos("q").resume())
        self.paused = False

    @rule()
    def skip(self) -> None:
        if self.working is not None:
            try:
                self.run(self.node.storage.write([Skip("q", 0.0)]))
            except InWork:
                return
            raise AssertionError("the item in work was skipped")
        [skipped] = self.run(self.node.storage.write([Skip("q", 0.0)]))
        if not self.waiting:
            assert skipped is None
            return
        assert self.ids[skipped] == self.waiting.pop(0).payload
        self.crashed = False

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.waiting) - 1))
        if position == 0 and self.working is not None:
            return
        payload = self.waiting.pop(position).payload
        item_id = next(number for number, value in self.ids.items() if value == payload)
        assert self.run(self.node.storage.write([Drop("q", item_id)])) == [True]
        if position == 0:
            self.crashed = False

    @precondition(lambda self: not self.crashed)
    @rule()
    def purge(self) -> None:
        kept = self.waiting[:1] if self.working else []
        assert self.run(self.node.storage.write([Purge("q")])) == [len(self.waiting) - len(kept)]
        self.waiting = kept

    @rule(target=dead_ids)
    def look_at_the_dead(self) -> Any:
        letters = self.run(self.node.storage.dead_letters("q", 1000))
        return multiple(*(letter.id for letter in letters))

    @rule(dead_id=consumes(dead_ids))
    def redrive(self, dead_id: int) -> None:
        letters = {letter.id: letter for letter in self.run(self.node.storage.dead_letters("q", 1000))}
        [new_ids] = self.run(self.node.storage.write([Redrive("q", dead_id)]))
        if dead_id not in letters:
            assert new_ids == [], "a dead letter is redriven once"
            return
        payload = int(letters[dead_id].payload)
        [new_id] = new_ids
        assert new_id not in self.ids
        self.ids = {number: value for number, value in self.ids.items() if value != payload} | {
            new_id: payload
        }
        self.waiting.append(Item(payload))

    # ---- always -----------------------------------------------------------------------------

    @invariant()
    def the_list_is_the_same(self) -> None:
        fifo = self.node.fifos("q")
        assert self.run(fifo.peek(1000)) == [item.payload for item in self.waiting]
        assert self.run(fifo.length()) == len(self.waiting)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each payload is waiting, dead, or was acknowledged or deleted; never two of these."""
        letters = self.run(self.node.storage.dead_letters("q", 1000))
        dead = [int(letter.payload) for letter in letters]
        waiting = [item.payload for item in self.waiting]
        assert len(dead) == len(set(dead))
        assert not set(dead) & set(waiting)


MODEL = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_the_fifo_does_what_a_list_does(engine: Engine) -> None:
    run_state_machine_as_test(partial(FifoMachine, engine), settings=MODEL)
