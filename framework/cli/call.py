"""``framework call``: one request to a running server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from framework.cli import options

if TYPE_CHECKING:
    from framework.callout import Response


@click.command()
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
@click.option("--token", help="The token to call with. Default: a new one of --database, valid for a minute.")
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
        response = options.run(_send(method, url.rstrip("/") + path, content, database, token))
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


async def _send(method: str, url: str, body: str | None, database: str, token: str | None) -> Response:
    from framework.callout import Callout

    headers = {"X-Auth-Token": token or await _token(database)}
    if body is not None:
        headers["Content-Type"] = "application/json"
    callout = Callout()
    try:
        return await callout(url=url, method=method, body=body, headers=headers)
    finally:
        await callout.close()


async def _token(database: str) -> str:
    from framework import tokens
    from framework.storage import open_storage

    async with open_storage(database) as storage:
        return await tokens.issue(storage, expires_in=60)


def _shown(body: bytes) -> str:
    """JSON laid out for reading; anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")
