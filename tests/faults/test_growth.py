"""Growth: what waits costs nothing. The rates, the memory and the idle server with a long queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.queue.fifo import Fifos
from framework.transactions.session import Session
from tests.acceptance.server import run

from .app import app
from .conftest import Serve
from .program import Program

pytestmark = pytest.mark.anyio
Start = Callable[..., Program]

CHUNK = 5000


async def fill(fifos: Fifos, name: str, count: int) -> None:
    for first in range(0, count, CHUNK):
        await fifos(name).put_many([{"n": n} for n in range(first, min(first + CHUNK, count))])


async def put_rate(fifos: Fifos, name: str, count: int) -> float:
    """Items per second of the processor: the other work of the machine does not count."""
    began = time.process_time()
    for n in range(count):
        await fifos(name).put({"n": n})
    return count / (time.process_time() - began)


async def deliver_rate(fifos: Fifos, name: str, count: int) -> float:
    """As ``put_rate``."""
    began = time.process_time()
    for _ in range(count):
        async with fifos(name) as item:
            assert item is not None
    return count / (time.process_time() - began)


@pytest.mark.parametrize(
    ("waiting", "count"),
    [(100_000, 300), pytest.param(1_000_000, 3000, marks=pytest.mark.long, id="long")],
)
@pytest.mark.timeout(3600)
async def test_the_rates_do_not_depend_on_how_much_waits(session: Session, waiting: int, count: int) -> None:
    fifos = Fifos(session)
    began = time.perf_counter()
    await fill(fifos, "long", waiting)
    print(f"{waiting} items put in {time.perf_counter() - began:.1f} s")
    await fill(fifos, "short", 1000)
    best: dict[tuple[str, str], float] = {}
    for _ in range(3):  # in turn, so that whatever else the machine does meets both
        for name in ("short", "long"):
            for what, measure in (("put", put_rate), ("deliver", deliver_rate)):
                rate = await measure(fifos, name, count)
                best[what, name] = max(best.get((what, name), 0.0), rate)
    await fifos.settlements.settle()
    for what in ("put", "deliver"):
        ratio = best[what, "long"] / best[what, "short"]
        print(
            f"{what}: {best[what, 'long']:.0f}/s with {waiting} waiting, {best[what, 'short']:.0f}/s with 1000: "
            f"ratio {ratio:.2f} (the target is 0.8)"
        )
        assert ratio >= 0.5
    assert await fifos("long").length() == waiting


DRAIN = """
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
worked = 0
for goal in map(int, sys.argv[2:]):
    while worked < goal:
        async with FIFO("q") as item:
            worked += item is not None
    say(memory())
"""


@pytest.mark.parametrize(
    ("waiting", "drained"),
    [(30_000, 3_000), pytest.param(300_000, 100_000, marks=pytest.mark.long, id="long")],
)
@pytest.mark.timeout(3600)
async def test_the_memory_stays_flat_while_a_long_queue_is_worked_off(
    session: Session, start: Start, waiting: int, drained: int
) -> None:
    await fill(Fifos(session), "q", waiting)
    program = start(DRAIN, drained // 6, drained // 2, drained)
    sizes = [int(program.line(1800)) for _ in range(3)]
    print(f"{sizes} KiB after a sixth, half and all of {drained} items")
    assert sizes[-1] - sizes[0] < 8 * 1024
    program.end()


@pytest.mark.parametrize(
    ("waiting", "seconds"), [(60_000, 3), pytest.param(1_000_000, 30, marks=pytest.mark.long, id="long")]
)
@pytest.mark.timeout(3600)
async def test_an_idle_server_with_a_long_paused_queue_uses_no_measurable_cpu(
    session: Session, serve: Serve, tmp_path: Path, waiting: int, seconds: int
) -> None:
    await fill(Fifos(session), "orders", waiting)
    await Fifos(session)("orders").pause()
    server = serve(app(tmp_path))
    time.sleep(1)
    before, began = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    used = (server.cpu_seconds() - before) / (time.monotonic() - began)
    print(f"{used:.2%} of a core with {waiting} items in a paused FIFO")
    assert used < 0.01
    shown = run("fifo", "show", "orders", "--database", "sqlite:///test.db", cwd=tmp_path)
    assert str(waiting) in shown.out.replace(",", ""), shown.out
