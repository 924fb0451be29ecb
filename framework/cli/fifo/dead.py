"""``framework fifo dead``: dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from framework.cli import lists, options, verbs
from framework.cli.fifo import access, large, records, text
from framework.values import durations

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import DeadLetter

number = click.argument("dead_id", metavar="[ID]", type=int, required=False)
every = click.option("--all", "name", metavar="NAME", help="All dead letters of this FIFO instead of one.")


@click.group()
@verbs.database
def dead() -> None:
    """Show dead letters, put them back into the queue, or delete them."""


@dead.command("list", short_help="List the dead letters of one FIFO or of all.")
@click.argument("name", metavar="[NAME]", required=False)
@lists.limit
@lists.after
@access.format_
@verbs.database
@click.pass_obj
def list_(url: str, name: str | None, limit: int | None, after: int, format_: str) -> None:
    """List the dead letters of one FIFO or of all, in the order of their death.

    It can print any number of them, since it prints them as it reads them.
    """

    async def work(storage: Storage) -> None:
        if name is not None:
            await access.known(storage, name)
        letters = lists.pages(
            lambda limit, after: storage.dead_letters(name, limit, after=after),
            lambda letter: letter.id,
            after=after,
            limit=limit,
        )
        found = (records.dead_record(letter) async for letter in letters)
        if format_ == "json":
            await lists.print_json(found)
        elif not await lists.print_lines(found, text.dead_line):
            click.echo("no dead letters" if not after else f"no dead letters behind {after}")

    verbs.read(url, work)


@dead.command()
@click.argument("dead_id", metavar="ID", type=int)
@access.format_
@verbs.database
@click.pass_obj
def show(url: str, dead_id: int, format_: str) -> None:
    """Show everything of one dead letter, with its traceback."""

    async def work(storage: Storage) -> dict[str, Any]:
        return records.dead_record(await _letter(storage, dead_id))

    record = verbs.read(url, work)
    if format_ == "json":
        options.print_json(record)
    else:
        click.echo("\n".join(text.dead_page(record)))


@dead.command(short_help="Put dead letters back at the tail.")
@number
@every
@verbs.database
@click.pass_obj
def redrive(url: str, dead_id: int | None, name: str | None) -> None:
    """Put one dead letter, or all of a FIFO, at the tail, with a new id, no attempts, and the original times.

    Many are moved in portions, in their order. Other items may come between two
    portions. The command does not redrive an item that dies again meanwhile.
    """
    _require_one(dead_id, name)
    progress = large.Progress("dead letters")
    ids: list[int] = []

    def count(new: list[int]) -> int:
        ids[1:] = [*ids[1:], *new][-1:] if ids else []
        if not ids and new:
            ids.extend((new[0], new[-1]))
        return len(new)

    async def work(storage: Storage) -> tuple[str, int]:
        from framework.storage.operations import Redrive

        fifo = await _fifo(storage, dead_id, name)
        _, last = await storage.last_ids(fifo)
        total = 1 if dead_id is not None else (await access.known(storage, fifo)).dead
        done = await large.change(
            storage,
            progress,
            total,
            lambda limit: Redrive(fifo, dead_id, last, limit),
            ("fifo dead redrive", fifo, {"letter": dead_id}),
            count=count,
        )
        if dead_id is not None and not done:
            raise _unknown(dead_id)  # another process was faster
        return fifo, done

    try:
        fifo, done = verbs.run(url, work)
    except KeyboardInterrupt:
        raise large.broken_off(progress) from None
    if not done:
        click.echo(f"FIFO {fifo} has no dead letters")
    elif dead_id is not None:
        click.echo(f"dead letter {dead_id} is item {ids[0]} of FIFO {fifo} now")
    else:
        click.echo(f"{done} dead letter(s) of FIFO {fifo} are items again, from {ids[0]} to {ids[-1]}")


@dead.command()
@number
@every
@click.option("--yes", is_flag=True, help="Really delete. Without it, only print the number.")
@click.option(
    "--older",
    type=options.Duration(),
    help="With --all, delete only those that died longer ago than this: 12h, 30d.",
)
@verbs.database
@click.pass_obj
def purge(url: str, dead_id: int | None, name: str | None, yes: bool, older: float | None) -> None:
    """Delete one dead letter, or all of a FIFO, for good. Many are deleted in portions.

    --older uses the machine's clock and the database's own, so a wrong clock deletes nothing.
    """
    _require_one(dead_id, name)
    if older is not None and name is None:
        raise click.UsageError("--older goes with --all NAME")
    progress = large.Progress("dead letters")

    async def count(storage: Storage) -> int:
        fifo = await _fifo(storage, dead_id, name)
        return 1 if dead_id is not None else (await _meant(storage, fifo, older))[0]

    async def delete(storage: Storage) -> int:
        from framework.storage.operations import PurgeDead

        fifo = await _fifo(storage, dead_id, name)
        _, last = await storage.last_ids(fifo)
        age = None if older is None else durations.shown(older)
        number, before, lived_before = (
            (1, None, None) if dead_id is not None else await _meant(storage, fifo, older)
        )
        return await large.change(
            storage,
            progress,
            number,
            lambda limit: PurgeDead(fifo, dead_id, before, last, limit, lived_before),
            ("fifo dead purge", fifo, {"letter": dead_id, "older": age}),
        )

    if not yes:
        options.cannot_run(
            f"this would delete {verbs.read(url, count)} dead letter(s) for good: add --yes if that is meant"
        )
    try:
        click.echo(f"{verbs.run(url, delete)} dead letter(s) deleted")
    except KeyboardInterrupt:
        raise large.broken_off(progress) from None


async def _meant(storage: Storage, fifo: str, older: float | None) -> tuple[int, float | None, float | None]:
    """The number of selected dead letters of the FIFO, and the limits of their age by both clocks."""
    if older is None:
        return (await access.known(storage, fifo)).dead, None, None
    now = await storage.age()
    before, lived_before = now.wall - older, now.lived - older
    of_wall, number = await storage.count_dead(fifo, before, lived_before)
    if of_wall > number:
        click.echo(
            f"framework: {of_wall - number:,} more are older by this machine's clock alone, and stay: the clock is "
            "wrong, or the machine was off (the time off counts after a day)",
            err=True,
        )
    return number, before, lived_before


def _require_one(dead_id: int | None, name: str | None) -> None:
    if (dead_id is None) == (name is None):
        raise click.UsageError("give the ID of one dead letter, or --all NAME for all of a FIFO")


async def _fifo(storage: Storage, dead_id: int | None, name: str | None) -> str:
    """The selected FIFO, which exists."""
    if dead_id is not None:
        return (await _letter(storage, dead_id)).fifo
    assert name is not None
    return (await access.known(storage, name)).name


async def _letter(storage: Storage, dead_id: int) -> DeadLetter:
    letters = await storage.dead_letters(None, 1, dead_id)
    if not letters:
        raise _unknown(dead_id)
    return letters[0]


def _unknown(dead_id: int) -> verbs.Refused:
    return verbs.Refused(
        f"there is no dead letter {dead_id}; `framework fifo dead list` lists those there are"
    )
