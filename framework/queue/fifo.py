"""FIFO: a durable, named queue that is strictly first in, first out, and delivers at least once.

    await FIFO("orders").put({"id": 1})

    async with FIFO("orders") as order:    # the head, or None when there is nothing to deliver
        ...                                # leaving normally: done; by an exception: offered again

The one rule: **at most one item of a FIFO is in work at any moment, in the whole installation.** Leaving
a block hands in its acknowledgement; if the same FIFO is entered again before the task next suspends,
acknowledging and delivering the next are one transaction, and otherwise the acknowledgement is written at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from framework.definitions import FifoPolicy
from framework.errors import ClaimLost, ItemRefused, Nested, NotInBlock
from framework.observing.request_id import REQUEST_ID
from framework.queue import outcome
from framework.queue.items import checked_key, checked_name, payload
from framework.queue.policies import Policies
from framework.queue.settlements import Settlements
from framework.storage.operations import (
    Acknowledge,
    Bury,
    Deliver,
    Delivery,
    Failure,
    Operation,
    Pause,
    Put,
    Release,
    Undelivered,
)
from framework.transactions import context
from framework.transactions.block import Block
from framework.transactions.run import Charge
from framework.transactions.session import Session
from framework.transactions.transaction import Place
from framework.values import jsontext
from framework.values.mu import wrap

logger = logging.getLogger("framework.fifo")

FIFO_WAIT = 1.0  # seconds that entering a block waits for an item before it gives None


class Fifo:
    """One FIFO by its name. Scripts make it with ``FIFO(name)``. It is cheap, since it holds nothing open."""

    def __init__(self, name: str, *, session: Session, settlements: Settlements, policies: Policies) -> None:
        self.name = checked_name(name)
        self._session = session
        self._settlements = settlements
        self._policy: FifoPolicy = policies.of(name)
        # Who has entered and not left, with the block or without an item: several tasks may share the object.
        self._entered: list[tuple[asyncio.Task[Any] | None, Block | None]] = []

    def __repr__(self) -> str:
        return f"FIFO({self.name!r})"

    # ---- filling ----------------------------------------------------------------------------

    async def put(self, item: Any, key: str | None = None, conn: Place | None = None) -> int | None:
        """Put any JSON value except ``None`` at the tail, and return its id. It is durable when this returns.

        A ``key`` seen in the last ``key_window`` seconds gives the first item's id and queues nothing.
        With ``conn``, or in a ``transaction: true`` script, it is stored with the other writes; there its
        id may not be known before the end (``None``). Raises ``ItemRefused`` for what is not a JSON value or
        too large, ``FifoFull`` beyond ``max_length``.
        """
        [item_id] = await self._session.write([self._put(item, key)], conn)
        return None if item_id is None else int(item_id)

    async def put_many(self, items: Iterable[Any], conn: Place | None = None) -> list[int | None]:
        """Put several items in order, all of them or none, and return their ids."""
        puts = [self._put(item, None) for item in items]
        return list(await self._session.write(puts, conn)) if puts else []

    def _put(self, item: Any, key: str | None) -> Put:
        policy = self._policy
        return Put(
            self.name,
            payload(self.name, item, policy.max_item_bytes),
            time.time(),
            checked_key(key),
            policy.key_window,
            policy.max_length,
            REQUEST_ID.get(),
        )

    # ---- looking and steering ---------------------------------------------------------------

    async def length(self) -> int:
        """The number of items, with the one in work."""
        state = await self._session.storage.fifo_state(self.name)
        return state.length if state else 0

    async def peek(self, n: int = 1) -> list[Any]:
        """The first ``n`` items in order, with the one in work. They stay in the queue."""
        items = await self._session.storage.peek(self.name, max(n, 0))
        return [wrap(jsontext.decode(item.payload)) for item in items]

    async def pause(self) -> None:
        """Stop deliveries, even across a restart. An item in work ends normally."""
        await self._session.write([Pause(self.name, True)])

    async def resume(self) -> None:
        """Start deliveries again."""
        await self._session.write([Pause(self.name, False)])

    # ---- working off ------------------------------------------------------------------------

    async def __aenter__(self) -> Any:
        if any(block.claim.fifo == self.name for block in context.current().blocks):
            raise Nested(
                f"FIFO {self.name!r} is entered inside a block of itself: at most one of its items is in "
                "work at a time, so the inner block could never get one"
            )
        delivery = await self._next()
        run = context.current().run
        if run:
            run.fifos.add(self.name)
        if delivery is None:
            self._entered.append((asyncio.current_task(), None))
            return None
        item = self._decoded(delivery)
        policy, disowned = self._policy, self._session.storage.disowned
        block = Block(delivery, disowned, slow_after=policy.slow_after, timeout=policy.timeout)
        context.enter_block(block)
        self._entered.append((asyncio.current_task(), block))
        return item

    def _decoded(self, delivery: Delivery) -> Any:
        """Decode the item. An item that cannot be decoded must neither stay in work nor come again."""
        try:
            return wrap(jsontext.decode(delivery.payload))
        except (ValueError, RecursionError) as error:
            failure = Failure(f"the item cannot be read: {error}", None, time.time())
            self._settlements.hand_in(Bury(delivery.claim, failure))
            raise ItemRefused(f"FIFO {self.name!r}: item {delivery.claim.item_id} cannot be read") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        block = self._leave()
        if block is None:
            return
        context.leave_block(block)
        ended = block.leave(error)
        failed = ended or error
        run = context.current().run
        if failed is None:
            self._settlements.hand_in(Acknowledge(block.claim, settled=block.acknowledged))
            if run:
                run.finished = True
            return
        settlement = outcome.settlement(self._policy, block, failed, stopping=not self._session.running)
        self._settlements.hand_in_after(block, settlement)
        if run:
            run.charges.append(Charge(failed, outcome.fate(settlement), block.delivery.request_id))
        if ended is not None:
            raise ended from error

    async def _next(self) -> Delivery | None:
        """Claim the head. Return None after ``FIFO_WAIT`` without one, or at once when the runtime stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FIFO_WAIT
        run = context.current().run
        poll = run.polls.begin(self.name) if run else None
        others = poll.others if poll else ()
        with self._session.storage.watch([self.name, *others]) as signal:
            while self._session.running:
                answer = await self._deliver()
                now = loop.time()
                if isinstance(answer, Delivery):
                    if poll:
                        poll.found()
                    if answer.suspicion:
                        self._tell_suspect(answer)
                    return answer
                wait = deadline - now
                if answer.retry_in is not None:
                    wait = min(wait, max(answer.retry_in, 0.001))
                if poll:
                    due = None if answer.retry_in is None else now + answer.retry_in
                    wait = min(wait, poll.empty(due) - now)
                if wait <= 0:
                    return None
                if await signal.changed(wait) and poll:
                    poll.rung()
        return None

    def _tell_suspect(self, delivery: Delivery) -> None:
        logger.warning(
            "FIFO %s: item %d was in work beside others when its process died; it is worked on alone for now",
            self.name,
            delivery.claim.item_id,
            extra={"action": "suspect", "fifo": self.name, "request_id": delivery.request_id},
        )

    async def _deliver(self) -> Delivery | Undelivered:
        policy = self._policy
        owed = self._settlements.take(self.name)
        run = context.current().run
        deliver = Deliver(
            self.name,
            time.time(),
            run.worker if run else None,
            policy.max_crashes,
            policy.on_exhausted == "hold",
        )
        operations: list[Operation] = [deliver] if owed is None else [owed, deliver]

        def orphaned(answers: list[Any] | None, error: BaseException | None) -> None:
            """Give the delivery back if the task was cancelled while the writer worked. Nobody else would."""
            if answers and isinstance(answers[-1], Delivery):
                self._settlements.hand_in(Release(answers[-1].claim))
            elif error is not None and owed is not None:
                self._settlements.hand_in(owed)

        try:
            answers = await self._session.deliver(operations, orphaned)
        except Exception as error:
            if owed is not None:
                self._settlements.hand_in(owed)  # alone it fails for its own reason, and says so
                if isinstance(error, ClaimLost) and not context.claims():
                    return Undelivered("busy")
            raise
        answer: Delivery | Undelivered = answers[-1]
        return answer

    # ---- in the block -----------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The id of the item in this block."""
        return self._in_block().claim.item_id

    @property
    def epoch(self) -> int:
        """The fencing token of this delivery. It is larger for every later owner."""
        return self._in_block().claim.epoch

    @property
    def attempt(self) -> int:
        """Which attempt at this item this is, from 1."""
        return self._in_block().delivery.attempt

    @property
    def put_at(self) -> float:
        """When the item was put, in seconds since 1970."""
        return self._in_block().delivery.put_at

    @property
    def request_id(self) -> str | None:
        """The id of the request that put the item, or that put the item whose block put this one."""
        return self._in_block().delivery.request_id

    async def ack(self, conn: Place | None = None) -> None:
        """Acknowledge now. In the transaction of ``conn`` this happens together with its rows, exactly once.

        This claim no longer fences what the block writes after that.
        """
        block = self._in_block()
        await self._session.write([Acknowledge(block.claim)], conn)
        block.acknowledged = True

    def _in_block(self) -> Block:
        own = [block for _, block in self._entered]
        block = next((block for block in reversed(context.current().blocks) if block in own), None)
        if block is None:
            raise NotInBlock(f"FIFO {self.name!r}: only inside its block is there an item")
        return block

    def _leave(self) -> Block | None:
        """The block that the caller leaves, if it got an item.

        Another task may close an async generator. Then it is the last block that was entered.
        """
        if not self._entered:
            return None
        position = -1
        if len(self._entered) > 1:
            task = asyncio.current_task()
            tasks = [entered for entered, _ in self._entered]
            position = len(tasks) - 1 - tasks[::-1].index(task) if task in tasks else -1
        return self._entered.pop(position)[1]


class Fifos:
    """What scripts call as ``FIFO(name)``."""

    def __init__(self, session: Session, policies: Policies | None = None) -> None:
        self._session = session
        self._policies = policies or Policies()
        self.settlements = Settlements(session)

    def __call__(self, name: str) -> Fifo:
        return Fifo(name, session=self._session, settlements=self.settlements, policies=self._policies)

    def __repr__(self) -> str:
        return "FIFO"
