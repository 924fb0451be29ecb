"""``framework fifo dead``: the items that were given up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from framework.cli import options, verbs
from framework.cli.fifo import access, records, text

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import DeadLetter

_ALL = 2**63 - 1

number = click.argument("dead_id", metavar="[ID]", type=int, required=False)
every = click.option("--all", "name", metavar="NAME", help="All dead letters of this FIFO instead of one.")


@click.group()
@verbs.database
def dead() -> None:
    """Look at dead letters, put them to the tail again, delete them."""


@dead.command("list")
@click.argument("name", metavar="[NAME]", required=False)
@access.format_
@verbs.database
@click.pass_obj
def list_(url: str, name: str | None, format_: str) -> None:
    """List the dead letters of one FIFO or of all, in the order of their death."""

    async def work(storage: Storage) -> list[dict[str, Any]]:
        if name is not None:
            await access.known(storage, name)
        return [records.dead_record(letter) for letter in await storage.dead_letters(name, _ALL)]

    found = verbs.look(url, work)
    if format_ == "json":
        options.print_json(found)
        return
    for record in found:
        click.echo(text.dead_line(record))
    if not found:
        click.echo("no dead letters")


@dead.command()
@click.argument("dead_id", metavar="ID", type=int)
@access.format_
@verbs.database
@click.pass_obj
def show(url: str, dead_id: int, format_: str) -> None:
    """Show all of one dead letter, its traceback included."""

    async def work(storage: Storage) -> dict[str, Any]:
        return records.dead_record(await _letter(storage, dead_id))

    record = verbs.look(url, work)
    if format_ == "json":
        options.print_json(record)
    else:
        click.echo("\n".join(text.dead_page(record)))


@dead.command()
@number
@every
@verbs.database
@click.pass_obj
def redrive(url: str, dead_id: int | None, name: str | None) -> None:
    """Put one dead letter, or all of a FIFO, to the tail: a new id, attempt 0, the original times kept."""
    _require_one(dead_id, name)

    async def work(storage: Storage) -> tuple[str, list[int]]:
        from framework import audit
        from framework.storage.operations import Redrive

        fifo = await _fifo(storage, dead_id, name)
        async with verbs.transaction(storage) as transaction:
            [ids] = await transaction.write([Redrive(fifo, dead_id)])
            if dead_id is not None and not ids:
                raise _unknown(dead_id)  # another was faster
            noted = audit.entry("fifo dead redrive", fifo, letter=dead_id, affected=len(ids))
            await transaction.write([noted])
        return fifo, ids

    fifo, ids = verbs.run(url, work)
    if not ids:
        click.echo(f"FIFO {fifo} has no dead letters")
    elif dead_id is not None:
        click.echo(f"dead letter {dead_id} is item {ids[0]} of FIFO {fifo} now")
    else:
        click.echo(f"{len(ids)} dead letter(s) of FIFO {fifo} are items again, from {ids[0]} to {ids[-1]}")


@dead.command()
@number
@every
@click.option("--yes", is_flag=True, help="Really delete; without it, only say how many it would be.")
@click.option(
    "--older", type=options.Duration(), help="With --all: only those that died longer ago: 12h, 30d."
)
@verbs.database
@click.pass_obj
def purge(url: str, dead_id: int | None, name: str | None, yes: bool, older: float | None) -> None:
    """Delete one dead letter, or all of a FIFO, for good."""
    _require_one(dead_id, name)
    if older is not None and name is None:
        raise click.UsageError("--older goes with --all NAME")
    before = None if older is None else time.time() - older

    async def count(storage: Storage) -> int:
        fifo = await _fifo(storage, dead_id, name)
        letters = await storage.dead_letters(fifo, _ALL, dead_id)
        return sum(before is None or letter.died_at < before for letter in letters)

    async def delete(storage: Storage) -> int:
        from framework import audit
        from framework.storage.operations import PurgeDead

        fifo = await _fifo(storage, dead_id, name)
        async with verbs.transaction(storage) as transaction:
            [deleted] = await transaction.write([PurgeDead(fifo, dead_id, before)])
            noted = audit.entry("fifo dead purge", fifo, letter=dead_id, affected=deleted)
            await transaction.write([noted])
        return int(deleted)

    if not yes:
        options.cannot_run(
            f"this would delete {verbs.look(url, count)} dead letter(s) for good: add --yes if that is meant"
        )
    click.echo(f"{verbs.run(url, delete)} dead letter(s) deleted")


def _require_one(dead_id: int | None, name: str | None) -> None:
    if (dead_id is None) == (name is None):
        raise click.UsageError("give the ID of one dead letter, or --all NAME for all of a FIFO")


async def _fifo(storage: Storage, dead_id: int | None, name: str | None) -> str:
    """The FIFO that is meant, which is there."""
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
