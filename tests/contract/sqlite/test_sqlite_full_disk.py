"""SQLite on a disk that is really full: each unit gets its own outcome, and work goes on afterwards."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import pytest

from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

# The disk is filled, then several hundred units at once want to be written: items of many sizes, some
# with a row that exists already. Then space is freed, and everything is read back.
RUN = """
    from collections import Counter
    from sqlalchemy import Column, Integer, MetaData, Table, Text, select
    things = Table("Thing", MetaData(), Column("seq", Integer, primary_key=True), Column("key", Text, unique=True))
    await db.ensure_tables([things])
    await db.write([Insert(things, {"key": "there"})])
    outcomes, stored = Counter(), []

    async def put(name, size, *more):
        payload = json.dumps([name, "x" * size])
        try:
            answers = await db.write([Insert(things, {"key": name}), Put("q", payload, 1.0), *more])
        except Exception as error:
            assert str(error)
            outcomes[type(error).__name__] += 1
        else:
            outcomes["stored"] += 1
            stored.append((answers[1], name))

    await put("first", 10)
    fill()
    for wave in range(6):
        await asyncio.gather(*(
            put(f"{wave}-{n}", n % 7 * 20_000, *([Insert(things, {"key": "there"})] if n % 10 == 9 else []))
            for n in range(60)
        ))
    full = dict(outcomes)
    await put("alone", 400_000)
    alone = outcomes["Unavailable"] > full.get("Unavailable", 0)
    readable = len(await db.peek("q", 1000)) == len(stored)
    free()
    await asyncio.gather(*(put(f"after-{n}", 5000) for n in range(20)))
    answer = (await db.write([Deliver("q", 10.0)]))[0]
    delivered = []
    while isinstance(answer, Delivery):
        delivered.append((answer.claim.item_id, json.loads(answer.payload)[0]))
        answer = (await db.write([Acknowledge(answer.claim), Deliver("q", 10.0)]))[1]
    keys = {row["key"] for row in await db.select(select(things))}
    say(json.dumps({
        "full": full, "alone_was_refused": alone, "readable": readable,
        "after": outcomes["stored"] - full["stored"],
        "same": delivered == sorted(stored), "rows": keys == {"there", *(name for _, name in stored)},
    }))
"""

TMPFS = """
    import json, pathlib
    ballast = pathlib.Path(sys.argv[2], "ballast")
    def fill():
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == 28, error
        with open(ballast, "r+b") as file:
            file.truncate(ballast.stat().st_size - 150_000)
    def free():
        ballast.unlink()
"""

LIMIT = """
    import json, resource
    def fill():
        size = os.path.getsize(sys.argv[2] + "/full.db-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 150_000, resource.RLIM_INFINITY))
    def free():
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def check(printed: str) -> None:
    result = json.loads(printed)
    full = result.pop("full")
    assert set(full) <= {"stored", "Unavailable", "Duplicate"}, full
    assert full["stored"] > 1, "nothing was stored: the disk was full before the units came"
    assert full["Unavailable"] > 10, full
    assert sum(full.values()) == 361
    assert result == {"alone_was_refused": True, "readable": True, "after": 20, "same": True, "rows": True}


@functools.cache
def mounting() -> tuple[str, ...] | None:
    """The command under which a process may mount a disk of its own, gone with the process."""
    for flags in ("-m", "-rm"):
        command = ("unshare", flags)
        probe = ("sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt")
        try:
            if subprocess.run([*command, *probe], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            pass
    return None


@pytest.mark.skipif(mounting() is None, reason="this system lets the tests mount no disk of their own")
async def test_a_full_disk(tmp_path: Path) -> None:
    command = mounting()
    assert command is not None
    mount = 'mount -t tmpfs -o size=3m tmpfs "$0" && exec "$@"'
    child = await Child.start(
        TMPFS + RUN,
        f"sqlite:///{tmp_path}/full.db",
        str(tmp_path),
        before=[*command, "sh", "-c", mount, str(tmp_path)],
    )
    check(await child.end())


async def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    child = await Child.start(LIMIT + RUN, f"sqlite:///{tmp_path}/full.db", str(tmp_path))
    check(await child.end())
