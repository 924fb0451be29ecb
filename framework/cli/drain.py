"""``framework drain``: stop deliveries in the whole installation, and wait until nothing is in work."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from framework.cli import options, verbs
from framework.cli.fifo import records

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import FifoState

_LOOK = 0.2  # seconds
_PAGE = 500


@click.command(short_help="Stop new deliveries and wait until nothing is in work, before a restart.")
@options.database
@click.option(
    "--timeout",
    type=options.Duration(),
    help="Stop waiting after this time. The drain stays in force. Default: as long as it takes.",
)
@click.option("--off", is_flag=True, help="End the drain, so that running servers deliver again.")
@options.output_format("For people, or one JSON object at the end.")
def drain(database: str, timeout: float | None, off: bool, format_: str) -> None:
    """Stop new deliveries in all servers on the database, and wait until nothing is in work.

    \b
    framework drain --timeout 10m && systemctl restart orders

    Servers still answer requests, and new items wait. The command says on standard
    error what it waits for. A server that starts later delivers as usual, so a
    restart ends the drain, and so does --off. Paused FIFOs stay paused. The command
    does not wait for requests outside of FIFO blocks. A stop gives them its time.

    Exit code 0: nothing is in work; 1: work was left after --timeout, or Ctrl-C
    came, and the drain stays in force; 2: it could not run.
    """
    if off and timeout is not None:
        raise click.UsageError("--timeout is for the wait of a drain, --off ends one")
    if off:
        _end(database, format_)
        return
    began = time.monotonic()
    over = None if timeout is None else began + timeout
    left: list[dict[str, Any]] = []

    async def work(storage: Storage) -> bool:
        await _begin(storage, on=True)
        return await _wait(storage, over, left)

    try:
        drained = verbs.run(database, work)
    except KeyboardInterrupt:
        drained = False
    took = time.monotonic() - began
    if format_ == "json":
        options.print_json({"drained": drained, "seconds": round(took, 3), "in_work": left})
    elif drained:
        click.echo("drained: nothing is in work, and nothing new begins until a restart or `--off`")
    if not drained:
        _not_drained(len(left))


def _not_drained(count: int) -> NoReturn:
    what = f"{count} item{' is' if count == 1 else 's are'} still in work"
    click.echo(f"framework: {what}; nothing new begins until a restart or `framework drain --off`", err=True)
    raise SystemExit(1)


def _end(database: str, format_: str) -> None:
    async def work(storage: Storage) -> bool:
        return await _begin(storage, on=False)

    was = verbs.run(database, work)
    if format_ == "json":
        options.print_json({"drained": False, "was_drained": was})
    else:
        click.echo("deliveries go on" if was else "no drain was in force")


async def _begin(storage: Storage, *, on: bool) -> bool:
    from framework.access import audit
    from framework.storage.operations import Drain

    line = audit.entry("drain" if on else "drain --off")
    was = await storage.drained_at() is not None
    await storage.write([Drain(on, time.time()), line])
    return was


async def _wait(storage: Storage, over: float | None, left: list[dict[str, Any]]) -> bool:
    """Wait until nothing is in work. ``left`` is what was in work at the last check."""
    told: set[tuple[str, int]] = set()
    while True:
        working = await _in_work(storage)
        left[:] = [_record(state) for state in working]
        for state in working:
            assert state.in_work is not None
            key = (state.name, state.in_work.item_id)
            if key not in told:
                told.add(key)
                why = records.standing(state, records.policy_of(state), time.time()).why
                click.echo(f"waiting for FIFO {state.name}: {why}", err=True)
        if not working:
            return True
        if over is not None and time.monotonic() >= over:
            return False
        await asyncio.sleep(_LOOK)


async def _in_work(storage: Storage) -> list[FifoState]:
    """The FIFOs with an item in work by a live process. Waiting does not end the work of a dead one."""
    found = []
    after = ""
    while states := await storage.fifo_states(after, _PAGE):
        found += [state for state in states if state.in_work is not None and state.in_work.alive]
        after = states[-1].name
    return found


def _record(state: FifoState) -> dict[str, Any]:
    record = records.fifo_record(state)
    in_work: dict[str, Any] = record["in_work"]
    return {"fifo": state.name, **in_work}
