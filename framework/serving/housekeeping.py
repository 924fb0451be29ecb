"""Data that grows forever is pruned by age, once an hour and in portions.

The database's own clock measures ages (``framework.storage.age``). A wrong wall clock cannot change it.
"""

from __future__ import annotations

import logging

from framework.serving.retention import DEFAULTS, Retention
from framework.storage.operations import Prune
from framework.storage.portions import in_portions
from framework.transactions.session import Session

logger = logging.getLogger("framework.housekeeping")

INTERVAL = 3600.0  # seconds
KEYS_KEPT = (
    86400.0  # seconds; a put deletes older keys of its FIFO, and nothing else deletes those of a policy
)


async def keep_house(session: Session, retention: Retention = DEFAULTS) -> None:
    """Prune now and every hour, until the session stops. If the database cannot be written, try again in an hour."""
    rules = [
        Prune("dead letters", retention.dead_letters, 0),
        Prune("tokens", retention.tokens, 0),
        Prune("logons", retention.logons, 0),
        Prune("responses", retention.responses, 0),
        Prune("keys", KEYS_KEPT, 0),
        Prune("audit", retention.audit, 0),
        Prune("fifos", retention.unused_fifos, 0),
    ]
    owed = 0.0
    while session.running:
        try:
            owed = await _tell_owed(session, owed)
            for rule in rules:
                await _prune(session, rule)
        except Exception as error:
            logger.warning("nothing was pruned: %s", error)
        await session.sleep(INTERVAL)


async def _prune(session: Session, rule: Prune) -> None:
    async def portion(limit: int) -> int:
        if not session.running:
            return 0
        [pruned] = await session.storage.write([Prune(rule.what, rule.kept, limit)])
        return int(pruned)

    pruned = await in_portions(portion)
    if pruned:
        extra = {"action": "pruned", "what": rule.what, "pruned": pruned}
        logger.info("%d old %s were pruned", pruned, _NAMES.get(rule.what, rule.what), extra=extra)


_NAMES = {
    "logons": "tokens from /-/logon",
    "responses": "stored responses",
    "keys": "keys of puts",
    "audit": "records of operators",
    "fifos": "unused FIFOs",
}


async def _tell_owed(session: Session, before: float) -> float:
    """Log once that the wall clock claims more time than was measured."""
    owed = (await session.storage.age()).owed
    if owed and not before:
        logger.warning(
            "the clock says that %.1f days more have gone by than this database has seen: the machine was off, or "
            "the clock is wrong. Nothing is pruned for it until the clock has stood so for a day",
            owed / 86400,
            extra={"action": "clock"},
        )
    return owed
