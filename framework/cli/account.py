"""``framework account``: who may log on, with which roles. It works on the database, and servers may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from framework.cli import options, verbs

if TYPE_CHECKING:
    from framework.access.accounts import Account
    from framework.storage import Storage

_format = options.output_format("For people, or for programs.")


@click.group(short_help="Make, list, disable, enable, rotate and remove accounts, and set their roles.")
@options.database
@click.pass_context
def account(context: click.Context, database: str) -> None:
    """Manage who may log on to the API, and with which roles, with or without a running server.

    \b
    KEY=$(framework account add alice --role orders)
    printf 'X-Xaas-Api-Key: %s' "$KEY" | curl -X POST -H @- http://127.0.0.1:9099/-/logon

    Roles are part of the definitions. `serve` records them when it starts.
    Exit code 1: refused, nothing was changed.
    """
    context.obj = database


@account.command()
@verbs.name
@click.option(
    "--role",
    "roles",
    metavar="ROLE",
    multiple=True,
    required=True,
    help="A role for the account. Repeatable.",
)
@_format
@verbs.database
@click.pass_obj
def add(url: str, name: str, roles: tuple[str, ...], format_: str) -> None:
    """Make the account NAME and print its key. It is shown only once, alone on the last line."""

    async def work(storage: Storage) -> str:
        from framework.access import accounts

        return await accounts.add(storage, name, roles)

    _show_key(verbs.run(url, work), name, f"account {name} is created", format_)


@account.command("list", short_help="List the accounts with their roles and last logon.")
@_format
@verbs.database
@click.pass_obj
def list_(url: str, format_: str) -> None:
    """List the accounts by name, with their roles, whether they are disabled, and their last logon.

    It marks a role that the last start did not find in the definitions. Such a role gives no right.
    """

    async def work(storage: Storage) -> tuple[list[Account], set[str]]:
        from framework.access import accounts

        return await accounts.listed(storage), set(await accounts.roles_in_force(storage))

    found, known = verbs.read(url, work)
    records = [_record(one, known) for one in found]
    if format_ == "json":
        options.print_json(records)
    elif not records:
        click.echo("no accounts; make one with `framework account add NAME --role ROLE`")
    for record in records if format_ == "text" else ():
        state = "disabled" if record["disabled"] else "enabled"
        last = f"logged on {record['logged_on_at']}" if record["logged_on_at"] else "never logged on"
        shown = [f"{role} (unknown)" if role in record["unknown_roles"] else role for role in record["roles"]]
        click.echo(f"{record['name']:<20} {state:<9} {last:<31} {', '.join(shown) or '(no role)'}")


@account.command()
@verbs.name
@_format
@verbs.database
@click.pass_obj
def disable(url: str, name: str, format_: str) -> None:
    """Revoke the tokens of NAME and refuse its key, until `enable`. This takes effect within a second."""

    async def work(storage: Storage) -> bool:
        from framework.access import accounts

        return await accounts.disable(storage, name)

    changed = verbs.run(url, work)
    said = f"account {name} is disabled" if changed else f"account {name} was disabled already"
    _show_done(said, {"name": name, "disabled": True, "changed": changed}, format_)


@account.command()
@verbs.name
@_format
@verbs.database
@click.pass_obj
def enable(url: str, name: str, format_: str) -> None:
    """Accept the key of NAME again. Tokens that `disable` revoked stay revoked."""

    async def work(storage: Storage) -> bool:
        from framework.access import accounts

        return await accounts.enable(storage, name)

    changed = verbs.run(url, work)
    said = f"account {name} is enabled" if changed else f"account {name} was not disabled"
    _show_done(said, {"name": name, "disabled": False, "changed": changed}, format_)


@account.command()
@verbs.name
@_format
@verbs.database
@click.pass_obj
def rotate(url: str, name: str, format_: str) -> None:
    """Give NAME a new key and print it, alone on the last line. The old key and all tokens are revoked."""

    async def work(storage: Storage) -> str:
        from framework.access import accounts

        return await accounts.rotate(storage, name)

    _show_key(verbs.run(url, work), name, f"{name}'s old key and tokens are revoked", format_)


@account.command()
@verbs.name
@_format
@verbs.database
@click.pass_obj
def remove(url: str, name: str, format_: str) -> None:
    """Delete the account NAME for good, with its tokens. This takes effect within a second."""

    async def work(storage: Storage) -> None:
        from framework.access import accounts

        await accounts.remove(storage, name)

    verbs.run(url, work)
    _show_done(f"account {name} is removed", {"name": name, "removed": True}, format_)


@account.command()
@click.argument("name", required=False)
@click.option(
    "--set", "to", metavar="ROLE", multiple=True, help="Give the account exactly these roles. Repeatable."
)
@click.option("--add", metavar="ROLE", multiple=True, help="Add this role. Repeatable.")
@click.option("--remove", metavar="ROLE", multiple=True, help="Remove this role. Repeatable.")
@_format
@verbs.database
@click.pass_obj
def roles(
    url: str,
    name: str | None,
    to: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    format_: str,
) -> None:
    """Show the roles of NAME, one per line, or change them. Without NAME, show all roles and their rights.

    A change applies to issued tokens within a second.
    """
    if name is None and (to or add or remove):
        raise click.UsageError("whose roles? Give the account's NAME")
    if to and (add or remove):
        raise click.UsageError("--set says all the roles; it does not go with --add and --remove")

    async def work(storage: Storage) -> tuple[str, ...]:
        from framework.access import accounts

        assert name is not None
        if to or add or remove:
            return await accounts.set_roles(storage, name, to=to or None, add=add, remove=remove)
        return (await accounts.find(storage, name)).roles

    if name is None:
        _show_roles(url, format_)
        return
    found = (verbs.run if to or add or remove else verbs.read)(url, work)
    if format_ == "json":
        options.print_json(list(found))
    elif found:
        click.echo("\n".join(found))
    else:
        click.echo(f"account {name} has no role: it may call nothing", err=True)


def _show_roles(url: str, format_: str) -> None:
    async def work(storage: Storage) -> dict[str, list[dict[str, Any]]]:
        from framework.access import accounts

        return await accounts.roles_in_force(storage)

    found = verbs.read(url, work)
    if format_ == "json":
        options.print_json([{"name": role, "authorities": rights} for role, rights in found.items()])
    elif not found:
        click.echo("no roles; write one into the definitions and start `framework serve`")
    for role, rights in found.items() if format_ == "text" else ():
        click.echo(role)
        for right in rights:
            click.echo(f"  {' '.join(right['methods']):<20} {right['regex']}")


def _show_key(key: str, name: str, done: str, format_: str) -> None:
    if format_ == "json":
        options.print_json({"name": name, "key": key})
    else:
        click.echo(f"{done}. New key, shown only once and stored as a hash:", err=True)
        click.echo(key)


def _show_done(said: str, record: dict[str, Any], format_: str) -> None:
    if format_ == "json":
        options.print_json(record)
    else:
        click.echo(said)


def _record(account: Account, known: set[str]) -> dict[str, Any]:
    last = account.logged_on_at
    return {
        "id": account.id,
        "name": account.name,
        "roles": list(account.roles),
        "unknown_roles": [role for role in account.roles if role not in known],
        "disabled": account.disabled,
        "created_at": options.shown_time(account.created_at),
        "key_made_at": options.shown_time(account.key_made_at),
        "logged_on_at": None if last is None else options.shown_time(last),
    }
