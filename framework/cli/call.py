"""``framework call``: one request to a running server."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from framework.cli import options

if TYPE_CHECKING:
    from framework.callout import Response


@click.command(short_help="Send one request to a running server.")
@click.argument("method")
@click.argument("path")
@click.option("--body", metavar="JSON", help="The request's body; - reads it from standard input.")
@click.option(
    "--url",
    metavar="URL",
    default=f"http://{options.DEFAULT_HOST}:{options.DEFAULT_PORT}",
    show_default=True,
    help="Where the server listens.",
)
@options.database
@click.option("--token", help="The token to call with. Default: one of --database, made for this call.")
def call(method: str, path: str, body: str | None, url: str, database: str, token: str | None) -> None:
    """Send one request to a running server and print the answer's body.

    \b
    framework call GET /v1/orders
    framework call POST /v1/orders --body '{"name": "first"}'

    The status goes to standard error. Exit code 0 below status 400, 1 from there on, 2 if no server answered.
    """
    content = sys.stdin.read() if body == "-" else body
    if not path.startswith("/"):
        options.cannot_run(f"PATH begins with a slash: /{path}")
    try:
        response = options.run(_send(method, path, content, url, database, token))
    except ValueError as error:
        options.cannot_run(f"this is no HTTP request: {error}")
    if response.code == 599:
        options.cannot_run(
            f"no answer from {url}: {response.body.decode()}. Is `framework serve` running there?"
        )
    click.echo(f"{response.code}", err=True)
    if response.body:
        click.echo(_shown(response.body))
    if response.code >= 400:
        raise SystemExit(1)


async def _send(
    method: str, path: str, body: str | None, url: str, database: str, token: str | None
) -> Response:
    from framework.callout import Callout

    headers = {} if body is None else {"Content-Type": "application/json"}
    callout = Callout()
    try:
        async with _token(database, token) as secret:
            callout.join(url, secret)
            return await callout(path, method, body, headers)
    finally:
        await callout.close()


@asynccontextmanager
async def _token(database: str, given: str | None) -> AsyncIterator[str]:
    """The token to call with: as given, or one that is made for this call and withdrawn after it."""
    from framework import tokens
    from framework.storage import open_storage

    if given is not None:
        yield given
        return
    async with (
        open_storage(database, create=False) as storage,
        tokens.temporary(storage, expires_in=120) as secret,
    ):
        yield secret


def _shown(body: bytes) -> str:
    """JSON laid out for reading; anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")
