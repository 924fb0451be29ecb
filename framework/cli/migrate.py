"""``framework migrate``: show how the tables must change with the definitions, and change them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from framework.cli import loading, options, streams

if TYPE_CHECKING:
    from framework.serving.snapshot import Snapshot
    from framework.storage.changes import Applied, Plan


@click.command(short_help="Show, and with --apply make, the changes that the tables need.")
@options.folder
@options.database
@click.option("--apply", is_flag=True, help="Make the changes. No other process may have the database open.")
@click.option(
    "--drop",
    metavar="NAME",
    multiple=True,
    help="Drop a class or CLASS.FIELD that is no longer defined, with its values. Repeatable.",
)
@click.option("--history", is_flag=True, help="Show only the changes made so far.")
@options.output_format("For people, or one JSON object; an array with --history.")
def migrate(
    folder: str, database: str, apply: bool, drop: tuple[str, ...], history: bool, format_: str
) -> None:
    """Show how the tables must change for the definitions in DIR, and with --apply change them.

    \b
    + is new          ~ is changed
    - is not defined  ! cannot be done

    Without --apply the command changes nothing, and servers may run. With it the
    command makes all changes in one transaction, or none if there is a `!`. Before
    it alters or drops values, it copies the database to a file beside it. It keeps
    a class or field that is no longer defined, unless --drop names it.

    Exit code 0: the tables fit, or can be made to, or were made to; 1: the definitions have mistakes, or
    something cannot be done; 2: it could not run.
    """
    from framework import storage
    from framework.access import audit
    from framework.errors import FrameworkError

    try:
        if history:
            _show_history(storage.migrations(database), format_)
            return
        tables = _defined(folder).atoms.records
        copy = None
        if apply:
            noted = audit.entry("migrate", os.path.abspath(folder), drop=list(drop) or None)
            plan, copy = storage.migrate(database, tables, drop, noted)
        else:
            plan = storage.plan_migration(database, tables, drop)
    except FrameworkError as error:
        options.cannot_run(str(error))
    done = apply and not plan.refused
    if done:
        streams.done()
    if format_ == "json":
        options.print_json(_record(plan, copy, done))
    else:
        _show(plan, copy, done)
    if plan.refused:
        raise SystemExit(1)


def _defined(folder: str) -> Snapshot:
    """The definitions, bound to tables. A mistake in them ends the command."""
    from framework.cli import surroundings
    from framework.definitions import render

    checked = loading.load(folder, options.DEFAULT_HOST, options.DEFAULT_PORT)
    if checked.errors:
        click.echo(render(checked, "text"), err=True)
        click.echo("framework: not migrated, the definitions have mistakes", err=True)
        raise SystemExit(1)
    return surroundings.bound(checked.definitions)


def _show(plan: Plan, copy: str | None, done: bool) -> None:
    width = max((len(change.what) for change in plan.changes), default=0)
    for change in plan.changes:
        click.echo(f"{change.sign} {change.what:<{width}}  {change.text}")
    if plan.changes:
        click.echo()
    if plan.refused:
        click.echo("nothing was changed: the lines with ! are in the way")
    elif not plan.made:
        click.echo(f"the tables fit the definitions: there is nothing to do.{_droppable(plan)}")
    elif done:
        if copy is not None:
            click.echo(f"the database as it was: {copy}")
        click.echo("done")
    elif plan.waiting:
        click.echo(
            f"nothing was changed yet: --apply does it, after a copy of the database.{_droppable(plan)}"
        )
    else:
        click.echo(f"nothing was changed yet: the next start does it, or --apply.{_droppable(plan)}")


def _droppable(plan: Plan) -> str:
    return " What is kept is dropped with --drop NAME." if any(change.kept for change in plan.changes) else ""


def _record(plan: Plan, copy: str | None, done: bool) -> dict[str, Any]:
    return {
        "changes": [asdict(change) for change in plan.changes],
        "refused": bool(plan.refused),
        "applied": done,
        "copy": copy,
        "statements": plan.statements,
    }


def _show_history(applied: Sequence[Applied], format_: str) -> None:
    if format_ == "json":
        records = [{**asdict(one), "at": options.shown_time(one.at)} for one in applied]
        options.print_json(records)
        return
    for one in applied:
        copy = f", copy {one.copy}" if one.copy else ""
        click.echo(f"{one.id}  {options.shown_time(one.at)}  {one.cause}, version {one.version}{copy}")
        for change in one.changes:
            click.echo(f"   {change['sign']} {change['what']}  {change['text']}")
    if not applied:
        click.echo("no table was changed yet")
