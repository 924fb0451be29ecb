"""How items in work end: acknowledgements and releases that are owed to the storage.

The one rule: **a settlement is tried until it is written.** An item whose block has ended must not stay
in work because the disk was full for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from framework.errors import ClaimLost
from framework.storage.operations import Acknowledge, Bury, Claim, Release
from framework.transactions.block import Beside, Block
from framework.transactions.session import Session

logger = logging.getLogger("framework.fifo")

RETRY_FIRST = 0.1  # seconds
RETRY_LAST = 5.0

_TOLD_AGAIN = 8  # tries, about 7 s; then after twice as many each time

_PROMPT = 1.0  # seconds that cancelled tasks have until the log names them

Settlement = Acknowledge | Release | Bury


class Settlements:
    """The settlements that one process owes. There is at most one per FIFO, since one item of it is in work."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owed: dict[str, Settlement] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    def hand_in(self, settlement: Settlement) -> None:
        """Owe a settlement. It is written as soon as the event loop turns, unless ``take`` comes first."""
        fifo = settlement.claim.fifo
        if other := self._owed.get(fifo):
            self._start(fifo, other)  # of an item that was acknowledged before its block ended
        self._owed[fifo] = settlement
        asyncio.get_running_loop().call_soon(self._start, fifo, settlement)

    def hand_in_after(self, block: Block, settlement: Settlement) -> None:
        """Owe it when all has ended that the block has begun: what still calls the back end must not meet the
        next attempt. Tasks are cancelled; threads cannot be.
        """
        running = block.left_running
        if not running or settlement.settled:
            self.hand_in(settlement)
            return
        threads: dict[Beside, str | None] = {
            work: place for work, place in running.items() if not isinstance(work, asyncio.Task)
        }
        if threads:
            _warn(settlement.claim, threads)
        task = asyncio.create_task(
            self._after(block, settlement), name=f"wait for the rest of a block of {settlement.claim.fifo}"
        )
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _after(self, block: Block, settlement: Settlement) -> None:
        while running := block.left_running:  # what is ended may begin something in its `finally`
            tasks = [work for work in running if isinstance(work, asyncio.Task)]
            for task in tasks:
                if not task.cancelling():
                    task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_PROMPT)
                if any(not task.done() for task in tasks):
                    _warn(settlement.claim, {task: running[task] for task in tasks if not task.done()})
                    await asyncio.wait(tasks)
            for work in running:
                if not isinstance(work, asyncio.Task):
                    await _end_of(work)
        self.hand_in(settlement)

    async def join(self, timeout: float | None) -> bool:
        """Wait about this many seconds for the work that blocks have left running. Return whether all has ended."""
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=None if timeout is None else max(timeout, _PROMPT))
        return not self._waiting

    def take(self, fifo: str) -> Settlement | None:
        """The settlement that is owed to this FIFO. The caller must write it or hand it in again."""
        return self._owed.pop(fifo, None)

    async def settle(self) -> None:
        """Wait until no settlement is owed."""
        while self._owed or self._tasks:
            for fifo, settlement in list(self._owed.items()):
                self._start(fifo, settlement)
            if self._tasks:
                await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # a task that is done leaves the set by a callback, which needs its turn

    async def abandon(self) -> None:
        """Give up the settlements that could not be written. Their items are offered again at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, fifo: str, settlement: Settlement) -> None:
        if self._owed.get(fifo) is settlement:
            del self._owed[fifo]
            task = asyncio.create_task(self._write(settlement), name=f"settle {fifo}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, settlement: Settlement) -> None:
        delay = RETRY_FIRST
        retries = _Retries(settlement.claim)
        try:
            while not await self._written(settlement, retries):
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_LAST)
        except asyncio.CancelledError:
            retries.given_up()
            raise

    async def _written(self, settlement: Settlement, retries: _Retries) -> bool:
        """Try once. Return False if it must be tried again."""
        claim = settlement.claim
        try:
            await self._session.storage.write([settlement])
        except ClaimLost as error:
            logger.error("%s", error, extra={"action": "claim_lost", "fifo": claim.fifo})
        except Exception as error:
            retries.failed(error)
            return False
        else:
            retries.ended()
        return True


class _Retries:
    """Logs a settlement that cannot be written: at once, then less and less often, and at last how it ended."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._count = 0

    def failed(self, error: Exception) -> None:
        self._count += 1
        if self._count == 1:
            self._log(
                logging.WARNING,
                "settle_retry",
                f"cannot be written yet: {error}; it is tried again, every {RETRY_LAST:g} s at the longest, until it "
                "is written or the server stops",
            )
        elif self._count >= _TOLD_AGAIN and self._count.bit_count() == 1:
            self._log(
                logging.WARNING, "settle_retry", f"still cannot be written after {self._count} tries: {error}"
            )

    def ended(self) -> None:
        if self._count:
            self._log(logging.INFO, "settle_done", f"is written now, after {self._count} failed tries")

    def given_up(self) -> None:
        if self._count:
            self._log(
                logging.WARNING,
                "settle_given_up",
                f"was not written in {self._count} tries, and the server stops: the next start offers it again",
            )

    def _log(self, level: int, action: str, text: str) -> None:
        logger.log(
            level,
            "FIFO %s: the end of item %d %s",
            self._claim.fifo,
            self._claim.item_id,
            text,
            extra={"action": action, "fifo": self._claim.fifo},
        )


def _warn(claim: Claim, running: Mapping[Beside, str | None]) -> None:
    places = [place for place in running.values() if place]
    logger.warning(
        "FIFO %s: the block of item %d has ended, but not %s%s; the item stays in work until then",
        claim.fifo,
        claim.item_id,
        "a task of it"
        if isinstance(next(iter(running)), asyncio.Task)
        else "what it runs in a thread or a process",
        f", begun at {places[0]}" if places else "",
        extra={"action": "left_running", "fifo": claim.fifo},
    )


async def _end_of(work: Future[Any]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    work.add_done_callback(partial(_tell, loop, ended))
    await ended.wait()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event, _: object) -> None:
    with suppress(RuntimeError):  # the loop has ended meanwhile, and the process does
        loop.call_soon_threadsafe(ended.set)
