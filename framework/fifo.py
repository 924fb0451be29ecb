"""FIFO: a durable, named queue that is strictly first in, first out, and delivers at least once.

    await FIFO("orders").put({"id": 1})

    async with FIFO("orders") as order:    # the head, or None when there is nothing to deliver
        ...                                # leaving normally: done; by an exception: offered again

The one rule: **at most one item of a FIFO is in work at any moment, in the whole installation.** Leaving
a block hands in its acknowledgement; if the same FIFO is entered again before the task next suspends,
acknowledging and delivering the next are one transaction, else the acknowledgement is written at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from framework import jsontext
from framework.errors import ClaimLost, ItemRefused, Nested, NotInBlock, Stopping, StorageError
from framework.mu import wrap
from framework.session import CLAIMS, RUN, Session
from framework.storage.contract import (
    Acknowledge,
    Deliver,
    Delivery,
    Operation,
    Put,
    Release,
    Undelivered,
)
from framework.transaction import Place

logger = logging.getLogger("framework.fifo")

FIFO_WAIT = 1.0  # seconds that entering a block waits for an item before it gives None
MAX_ITEM_BYTES = 1024 * 1024
MAX_ITEM_DEPTH = 200  # as deep as the JSON of a field; what is much deeper could not be delivered
MAX_NAME_LENGTH = 200

# After a failed attempt the head is held back: this long at first, doubling, never longer than the last.
BACKOFF_INITIAL = 0.5
BACKOFF_FACTOR = 2.0
BACKOFF_MAX = 60.0

# While the database cannot be written, an acknowledgement that is owed is tried again this often.
SETTLE_RETRY_FIRST = 0.1
SETTLE_RETRY_LAST = 5.0


class Settlements:
    """Acknowledgements and releases that are owed to the storage, one at most a FIFO.

    They are written until it succeeds: an item whose block ended must not stay in work because the disk
    was full for a moment.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owed: dict[str, Acknowledge | Release] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hand_in(self, settlement: Acknowledge | Release) -> None:
        """Owe it; it is written as soon as the event loop turns, unless ``take`` comes first."""
        fifo = settlement.claim.fifo
        self._owed[fifo] = settlement
        asyncio.get_running_loop().call_soon(self._start, fifo, settlement)

    def take(self, fifo: str) -> Acknowledge | Release | None:
        """What is owed to this FIFO, now the caller's to write or to hand in again."""
        return self._owed.pop(fifo, None)

    async def settle(self) -> None:
        """Wait until nothing is owed any more."""
        while self._owed or self._tasks:
            for fifo, settlement in list(self._owed.items()):
                self._start(fifo, settlement)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def abandon(self) -> None:
        """Give up what could not be written; it is offered again at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, fifo: str, settlement: Acknowledge | Release) -> None:
        if self._owed.get(fifo) is settlement:
            del self._owed[fifo]
            task = asyncio.create_task(self._write(settlement), name=f"settle {fifo}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, settlement: Acknowledge | Release) -> None:
        delay = SETTLE_RETRY_FIRST
        while True:
            try:
                await self._session.storage.write([settlement])
                return
            except ClaimLost as error:
                logger.error("%s", error, extra={"action": "claim_lost", "fifo": settlement.claim.fifo})
                return
            except StorageError as error:
                logger.warning(
                    "FIFO %s: the end of item %d cannot be written yet: %s",
                    settlement.claim.fifo,
                    settlement.claim.item_id,
                    error,
                    extra={"action": "settle_retry", "fifo": settlement.claim.fifo},
                )
            await asyncio.sleep(delay)
            delay = min(delay * 2, SETTLE_RETRY_LAST)


class Fifo:
    """One FIFO by its name; what scripts make by ``FIFO(name)``. Cheap: it holds nothing open."""

    def __init__(self, name: str, *, session: Session, settlements: Settlements) -> None:
        self.name = _checked_name(name)
        self._session = session
        self._settlements = settlements
        self._delivery: Delivery | None = None
        self._entered = False
        self._token: Any = None

    def __repr__(self) -> str:
        return f"FIFO({self.name!r})"

    # ---- filling ----------------------------------------------------------------------------

    async def put(self, item: Any, conn: Place | None = None) -> int | None:
        """Put any JSON value but ``None`` to the tail; its id. Durable when this returns.

        In a ``transaction: true`` script it is stored with the script's other writes, and its id is not
        known before (``None``). ``ItemRefused`` for what is no JSON value or larger than 1 MiB.
        """
        put = Put(self.name, _payload(self.name, item), time.time())
        [item_id] = await self._session.write([put], conn)
        return None if item_id is None else int(item_id)

    async def length(self) -> int:
        """How many items there are, the one in work included."""
        return (await self._session.storage.fifo_state(self.name)).length

    # ---- working off ------------------------------------------------------------------------

    async def __aenter__(self) -> Any:
        if self._entered or any(claim.fifo == self.name for claim in CLAIMS.get()):
            raise Nested(
                f"FIFO {self.name!r} is entered inside a block of itself: at most one of its items is in "
                "work at a time, so the inner block could never get one"
            )
        self._entered = True
        try:
            delivery = await self._next()
        except BaseException:
            self._entered = False
            raise
        run = RUN.get()
        if run:
            run.fifos.add(self.name)
            run.served = delivery is not None
        if delivery is None:
            return None
        self._delivery = delivery
        self._token = CLAIMS.set((*CLAIMS.get(), delivery.claim))
        return wrap(jsontext.decode(delivery.payload))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        delivery, self._delivery = self._delivery, None
        if delivery is None:
            return
        CLAIMS.reset(self._token)
        run = RUN.get()
        if error is None:
            self._settlements.hand_in(Acknowledge(delivery.claim))
            if run:
                run.finished = True
            return
        if run:
            run.charged = error
        self._settlements.hand_in(self._release(delivery, error))

    def _release(self, delivery: Delivery, error: BaseException) -> Release:
        if not self._session.running and isinstance(error, asyncio.CancelledError | Stopping):
            return Release(delivery.claim, failed=False)
        backoff = min(BACKOFF_INITIAL * BACKOFF_FACTOR ** (delivery.attempt - 1), BACKOFF_MAX)
        return Release(delivery.claim, failed=True, not_before=time.time() + backoff)

    async def _next(self) -> Delivery | None:
        """The head, claimed; None after ``FIFO_WAIT`` without one, at once when the runtime stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FIFO_WAIT
        with self._session.storage.watch([self.name]) as signal:
            while self._session.running:
                answer = await self._deliver()
                if isinstance(answer, Delivery):
                    return answer
                wait = deadline - loop.time()
                if wait <= 0:
                    return None
                if answer.retry_at is not None:
                    wait = min(wait, max(answer.retry_at - time.time(), 0.001))
                await signal.changed(wait)
        return None

    async def _deliver(self) -> Delivery | Undelivered:
        owed = self._settlements.take(self.name)
        run = RUN.get()
        deliver = Deliver(self.name, time.time(), run.worker if run else None)
        operations: list[Operation] = [deliver] if owed is None else [owed, deliver]

        def orphaned(answers: list[Any] | None, error: BaseException | None) -> None:
            """The task was cancelled while the writer worked: nobody would ever end what it got."""
            if answers and isinstance(answers[-1], Delivery):
                self._settlements.hand_in(Release(answers[-1].claim, failed=False))
            elif error is not None and owed is not None:
                self._settlements.hand_in(owed)

        try:
            answers = await self._session.deliver(operations, orphaned)
        except Exception as error:
            if owed is not None:
                self._settlements.hand_in(owed)  # alone it fails for its own reason, and says so
                if isinstance(error, ClaimLost) and not CLAIMS.get():
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
        """The fencing number of this delivery: larger for every owner that came later."""
        return self._in_block().claim.epoch

    @property
    def attempt(self) -> int:
        """The how-manieth attempt at this item this is, from 1."""
        return self._in_block().attempt

    @property
    def put_at(self) -> float:
        """When the item was put, in seconds since 1970."""
        return self._in_block().put_at

    def _in_block(self) -> Delivery:
        if self._delivery is None:
            raise NotInBlock(f"FIFO {self.name!r}: only inside its block is there an item")
        return self._delivery


class Fifos:
    """What scripts call as ``FIFO(name)``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.settlements = Settlements(session)

    def __call__(self, name: str) -> Fifo:
        return Fifo(name, session=self._session, settlements=self.settlements)

    def __repr__(self) -> str:
        return "FIFO"


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ItemRefused(f"a FIFO's name is a text that is not empty, not {name!r:.60}")
    if len(name) > MAX_NAME_LENGTH:
        raise ItemRefused(f"a FIFO's name has at most {MAX_NAME_LENGTH} characters, not {len(name)}")
    if not name.isprintable():
        raise ItemRefused(f"a FIFO's name has printable characters only: {name!r}")
    return name


def _payload(fifo: str, item: object) -> str:
    if item is None:
        raise ItemRefused(f"FIFO {fifo!r}: None cannot be put; it is what an empty FIFO gives")
    try:
        _require_text_keys(item, MAX_ITEM_DEPTH)
        text = jsontext.encode(item)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemRefused(f"FIFO {fifo!r}: the item is no JSON value: {error}") from None
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_ITEM_BYTES:
        raise ItemRefused(
            f"FIFO {fifo!r}: the item has {size} bytes of JSON, {MAX_ITEM_BYTES} are allowed; "
            "store the data in an ATOM and put its id"
        )
    return text


def _require_text_keys(value: object, depth: int) -> None:
    """JSON would turn the key 1 into "1": what goes in would not come back as it was."""
    if isinstance(value, str | int | float) or value is None:
        return
    if depth == 0:
        raise ValueError(f"it is nested deeper than {MAX_ITEM_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, element in dict.items(value) if isinstance(value, dict) else value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
            _require_text_keys(element, depth - 1)
    elif isinstance(value, list | tuple):
        for element in value:
            _require_text_keys(element, depth - 1)
