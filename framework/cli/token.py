"""``framework token``: operators' tokens for the gateway."""

from __future__ import annotations

import click

from framework.cli import options, streams
from framework.values import durations


@click.group(invoke_without_command=True, short_help="Make a token for the API, or list and revoke tokens.")
@options.database
@click.option(
    "--expires",
    type=options.Duration(),
    default="12h",
    show_default=True,
    help="How long it is valid: 90s, 15m, 12h, 30d.",
)
@click.option("--header", is_flag=True, help="Print it as a header, for `curl -H @-`.")
@click.pass_context
def token(context: click.Context, database: str, expires: float, header: bool) -> None:
    """Make a new operator's token, which may call everything, and print it alone.

    
    framework token --header | curl -H @- http://127.0.0.1:9099/v1/orders

    With --header you can pass it on without a command line, which all users of a machine can read.

    It is shown only once, and stored as a hash. A running server accepts it at
    once. `token list` shows all tokens, and `token revoke` revokes one.
    """
    context.obj = database
    if context.invoked_subcommand is None:
        secret = options.run(_issue(database, expires))
        streams.done()
        click.echo(f"X-Auth-Token: {secret}" if header else secret)


@token.command("list")
@options.output_format("For people, or for programs.")
@click.option("--database", metavar="URL", default=None, help="The database, if not given before `list`.")
@click.pass_context
def list_(context: click.Context, format_: str, database: str | None) -> None:
    """List all tokens by number. The secrets are not stored."""
    records = options.run(_list(database or context.obj))
    if format_ == "json":
        options.print_json(records)
    elif not records:
        click.echo("no tokens; make one with `framework token`")
    for record in records if format_ == "text" else ():
        state = "valid until" if record["valid"] else "expired at"
        whose = record["account"] or "operator"
        click.echo(
            f"{record['id']:>5}  {whose:<20} made {record['created_at']}  {state} {record['expires_at']}"
        )


@token.command()
@click.argument("number", type=int)
@click.option("--database", metavar="URL", default=None, help="The database, if not given before `revoke`.")
@click.pass_context
def revoke(context: click.Context, number: int, database: str | None) -> None:
    """Revoke token NUMBER. Running servers refuse it within a second. See `token list` for numbers."""
    if not options.run(_revoke(database or context.obj, number)):
        click.echo(f"framework: there is no token {number}; see `framework token list`", err=True)
        raise SystemExit(1)
    streams.done()
    click.echo(f"token {number} is void")


async def _issue(database: str, expires: float) -> str:
    from framework.access import audit, tokens
    from framework.storage import exists, open_storage

    if not exists(database):
        click.echo(f"framework: there was no database {database}; it is made now", err=True)
    async with open_storage(database) as storage:
        noted = audit.entry("token", expires=durations.shown(expires))
        return await tokens.issue(storage, expires_in=expires, also=[noted])


async def _list(database: str) -> list[dict[str, object]]:
    from framework.access import tokens
    from framework.storage import open_storage

    async with open_storage(database, create=False, reading=True) as storage:
        found = await tokens.listed(storage)
        now = (await storage.age()).wall
    return [
        {
            "id": token.id,
            "account": token.account,
            "created_at": options.shown_time(token.created_at),
            "expires_at": options.shown_time(token.expires_at),
            "valid": token.valid(now),
        }
        for token in found
    ]


async def _revoke(database: str, number: int) -> bool:
    from framework.access import audit, tokens
    from framework.storage import open_storage

    async with open_storage(database, create=False) as storage:
        return await tokens.revoke(storage, number, also=[audit.entry("token revoke", str(number))])
