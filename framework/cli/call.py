"""``framework call``: one request to a running server."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import click

from framework.cli import options, streams

if TYPE_CHECKING:
    from framework.script.callout import Callout, Response
    from framework.serving.control import Servers

TOKEN = "FRAMEWORK_TOKEN"  # noqa: S105 - the name of a variable

_ELSEWHERE = (
    f"name the database of that server with --database, or give a token for it with --token-file or {TOKEN}"
)


@click.command(short_help="Send one request to a running server.")
@click.argument("method")
@click.argument("path")
@click.option("--body", metavar="JSON", help="The request's body. - reads it from standard input.")
@click.option("--url", metavar="URL", help="Where the server listens. Default: the server of --database.")
@options.database
@click.option(
    "--token-file",
    metavar="FILE",
    help=f"A file with the token, or - for standard input. The variable {TOKEN} can have the token instead. "
    "Default: none, since a server of --database on this machine needs none.",
)
def call(
    method: str, path: str, body: str | None, url: str | None, database: str, token_file: str | None
) -> None:
    """Send one request to a running server and print the answer's body.

    \b
    framework call GET /v1/orders
    framework call POST /v1/orders --body '{"name": "first"}'
    framework call GET /v1/orders --url https://orders.example.org --token-file token.txt

    The command calls a server of --database as the operator, through a socket
    beside the database that only its owner can open. So no token goes to a port.
    Any other server needs a token.

    The status goes to standard error. Exit code 0 below status 400, 1 from there on, 2 if no server answered.
    """
    if not path.startswith("/"):
        options.cannot_run(f"PATH begins with a slash: /{path}")
    if body == token_file == "-":
        options.cannot_run("--body and --token-file cannot both be read from standard input")
    token = _token(token_file)
    content = streams.read_input() if body == "-" else body
    try:
        response, where = options.run(_send(method, path, content, url, database, token))
    except ValueError as error:
        options.cannot_run(f"this is not a valid HTTP request: {error}")
    if response.code == 599:
        options.cannot_run(
            f"no answer from {where}: {response.body.decode()}. Is `framework serve` running there?"
        )
    if method.upper() not in ("GET", "HEAD", "OPTIONS"):
        streams.done()
    click.echo(f"{response.code}", err=True)
    if response.body:
        click.echo(_shown(response.body))
    if response.code >= 400:
        raise SystemExit(1)


async def _send(
    method: str, path: str, body: str | None, url: str | None, database: str, token: str | None
) -> tuple[Response, str]:
    """The answer, and the server that it came from."""
    from framework.script.callout import Callout
    from framework.serving.control import Servers

    headers = {} if body is None else {"Content-Type": "application/json"}
    callout = Callout()
    with closing(Servers(database)) as servers:
        try:
            where = await _join(callout, servers, url, database, token)
            return await callout(path, method, body, headers, max_body=0), where
        finally:
            await callout.close()


async def _join(callout: Callout, servers: Servers, url: str | None, database: str, token: str | None) -> str:
    """Send the call to the intended server, and never to another process that listens on its address."""
    from framework import storage
    from framework.errors import CannotOpen
    from framework.serving.control import Address

    secure = url is not None and url.startswith("https://")  # not a server of this database
    address = None if url is None or secure else Address.parse(url)
    found = [] if secure else await servers.found(address)
    if found:
        server = min(found, key=lambda one: (one.port != options.DEFAULT_PORT, one.port))
        callout.join(server.url, token, socket=server.socket)
        return server.url
    if url is None:
        missing = f"there is no database {database.removeprefix('sqlite:///')}"
        lacks = f"no server of {database} runs on this machine" if storage.exists(database) else missing
        raise CannotOpen(
            f"{lacks}. Is `framework serve` running? Name its database with --database, or a server elsewhere with "
            f"--url and a token for it with --token-file or {TOKEN}"
        )
    if token is None:
        raise CannotOpen(
            f"what listens on {url} is not a server of {database}, so it gets no token: {_ELSEWHERE}"
        )
    callout.join(url, token)
    return url


def _token(file: str | None) -> str | None:
    """The given token. It is never on a command line, which all users of a machine can read."""
    if file is None:
        return os.environ.get(TOKEN, "").strip() or None
    try:
        if file == "-":
            text = streams.read_input()
        else:
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
                if os.fstat(opened.fileno()).st_mode & 0o044:
                    click.echo(f"framework: other users can read {file}: chmod 600 {file}", err=True)
    except (OSError, UnicodeDecodeError) as error:
        options.cannot_run(
            f"the token cannot be read from {file}: {getattr(error, 'strerror', None) or error}"
        )
    token = text.strip()
    token = token.partition(":")[2].strip() if token.lower().startswith("x-auth-token:") else token
    if not token or not token.isascii() or not token.isprintable():
        options.cannot_run(f"{file} holds no token: it is one line, as `framework token` prints it")
    return token


def _shown(body: bytes) -> str:
    """Indented JSON, or anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")
