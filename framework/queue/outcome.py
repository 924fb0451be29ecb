"""What happens to an item whose block has failed: it is offered again, held, or becomes a dead letter.

The one rule: **only the item's own failures count as its attempts.** If a stop of the server, the loss of the
claim or an error of the database ends a block, the item goes back unchanged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import BrokenExecutor

from framework.definitions import FifoPolicy
from framework.errors import Reject, Retry, Stopping, Unavailable
from framework.observing import trace
from framework.queue.policies import backoff
from framework.queue.settlements import Settlement
from framework.storage.operations import Bury, Failure, Release
from framework.transactions.block import Block

logger = logging.getLogger("framework.fifo")

# What a stop does to a block. The children of a pool may be told of it before the server is.
_OF_A_STOP = (asyncio.CancelledError, Stopping, BrokenExecutor)


def settlement(policy: FifoPolicy, block: Block, error: BaseException, *, stopping: bool) -> Settlement:
    """What to do with the item of a block that ended with an exception."""
    if block.disowned or (stopping and isinstance(error, _OF_A_STOP)):
        # Of a claim that was lost: it is written only if nobody has taken the item over.
        return Release(block.claim, settled=block.acknowledged)
    if isinstance(error, Unavailable) and not block.acknowledged:
        # The database's fault, not the item's: a full disk must not send the orders to the dead letters.
        return Release(block.claim, delay=backoff(policy, 1))
    failure = Failure(_reason(error), trace.text(error), time.time())
    if block.acknowledged:
        # Done already, whatever came after; unless its transaction was rolled back: then this attempt counts.
        return Release(block.claim, failure, settled=True)
    if isinstance(error, Reject):
        return _give_up(block, failure, hold=False)
    if block.delivery.attempt >= policy.max_attempts:
        return _give_up(block, failure, hold=policy.on_exhausted == "hold")
    delay = backoff(policy, block.delivery.attempt)
    if isinstance(error, Retry) and error.after is not None:
        delay = error.after
    return Release(block.claim, failure, delay)


def fate(settlement: Settlement) -> str:
    """What a settlement does to the item, for the log."""
    if settlement.settled:
        return "its item may have been acknowledged before; if it was, it does not come again"
    if isinstance(settlement, Bury):
        return "its item went to the dead letters"
    if isinstance(settlement, Release) and settlement.hold:
        return "its item is held, and nothing behind it moves"
    if isinstance(settlement, Release) and settlement.delay:
        return f"its item is offered again in {settlement.delay:g} s"
    return "its item is offered again"


def _give_up(block: Block, failure: Failure, *, hold: bool) -> Settlement:
    attempts = block.delivery.attempt
    logger.error(
        "FIFO %s: item %d %s after %d attempt%s: %s",
        block.claim.fifo,
        block.claim.item_id,
        "is held" if hold else "went to the dead letters",
        attempts,
        "" if attempts == 1 else "s",
        failure.reason,
        extra={
            "action": "held" if hold else "dead_letter",
            "fifo": block.claim.fifo,
            "request_id": block.delivery.request_id,
        },
    )
    if hold:
        return Release(block.claim, failure, hold=True)
    return Bury(block.claim, failure)


def _reason(error: BaseException) -> str:
    text = trace.message(error).strip().partition("\n")[0]
    if isinstance(error, Reject):
        return text or "rejected"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
