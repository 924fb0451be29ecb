"""Look-ups in place: a slow one sends the next ones away, and the longer, the more of them are slow."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from framework.storage.sqlite import lookups as sqlite_lookups
from framework.storage.sqlite.lookups import AWAY, LONGEST_AWAY, Lookups

pytestmark = pytest.mark.anyio

QUICK = "SELECT 1"
SLOW = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT max(n) FROM c"


async def test_the_way_back_is_the_longer_the_more_look_ups_were_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = Lookups(str(tmp_path / "a.db"))
    await lookups.start()
    try:
        waits = []
        for _ in range(4):
            assert lookups.in_place(SLOW, ()) == [(300_000,)], "it is answered all the same"
            assert lookups.in_place(QUICK, ()) is None
            assert await lookups.elsewhere(QUICK, ()) == [(1,)]
            waits.append(lookups._away)
            time.sleep(max(0.0, lookups._away_until - time.monotonic()))
        assert waits == [AWAY * 2**n for n in (1, 2, 3, 4)]
        monkeypatch.setattr(sqlite_lookups, "SLOW", 60)  # whatever else this machine has to do
        assert lookups.in_place(QUICK, ()) == [(1,)]
        assert lookups._away == AWAY, "one that was quick makes up for those before"
        for _ in range(20):
            lookups._stay_away()
        assert lookups._away == LONGEST_AWAY
    finally:
        await lookups.close()
