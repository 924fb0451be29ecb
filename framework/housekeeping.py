"""What grows for ever is pruned by age, once an hour: dead letters and expired tokens.

Keys of items go by their ``key_window`` and stored responses after a day, whenever new ones come.
"""

from __future__ import annotations

import logging
import time

from framework.session import Session
from framework.storage.operations import Prune

logger = logging.getLogger("framework.housekeeping")

INTERVAL = 3600.0  # seconds
DEAD_LETTERS_KEPT = 90 * 86400.0  # seconds
EXPIRED_TOKENS_KEPT = 30 * 86400.0  # seconds
EXPIRED_LOGONS_KEPT = 86400.0  # seconds: a program may log on for each of its calls


async def keep_house(session: Session) -> None:
    """Prune now and every hour, until the session stops. A database that cannot be written waits an hour."""
    while session.running:
        now = time.time()
        try:
            [pruned] = await session.storage.write(
                [Prune(now - DEAD_LETTERS_KEPT, now - EXPIRED_TOKENS_KEPT, now - EXPIRED_LOGONS_KEPT)]
            )
        except Exception as error:
            logger.warning("nothing was pruned: %s", error)
        else:
            if pruned:
                logger.info("%d old dead letters and tokens were pruned", pruned, extra={"action": "pruned"})
        await session.sleep(INTERVAL)
