"""The server behind the REPL: one that already runs, or one that is started and ends with the REPL.

The one rule: **the REPL finds the server by its control socket beside the database, and talks to it only there**,
because a listener on a port proves nothing. Nothing is added to a database, and no item is taken from it, unless the
user asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Table, select

from framework import storage
from framework.definitions import Definitions
from framework.errors import CannotOpen
from framework.process import shutdown
from framework.repl import state
from framework.serving import control
from framework.serving.control import Address, Server
from framework.storage.tables import FIFO

__all__ = ["DEFAULT_URL", "Address", "Outlook", "Setup", "joined", "outlook"]

DEFAULT_URL = "http://127.0.0.1:9099"

_PATIENCE = 10.0  # seconds for a server to answer
_START = 60.0  # seconds for a start
_LAST_LINES = 20

# The command of this package, whatever the current folder holds.
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_COMMAND = (
    f"import sys; sys.path.append({_ROOT!r}); from framework.cli import main; main(prog_name='framework')"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup of a session. ``server`` is the one to join. None starts one on ``url``, with or without workers."""

    definitions: Definitions
    folder: str
    database: str
    url: str | None
    server: Server | None
    workers: bool


async def listens(address: Address) -> bool:
    """Does anything listen there? Raises ``CannotOpen`` if that cannot be found out."""
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except ConnectionRefusedError:
        return False
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        raise CannotOpen(f"cannot reach {address.url}: {reason}") from None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@dataclass(frozen=True, slots=True)
class Outlook:
    """The result of the look-up: a running server, or none and the number of waiting items of each FIFO."""

    server: Server | None
    waiting: Mapping[str, int]


async def outlook(database: str, url: str | None, tables: Sequence[Table]) -> Outlook:
    """Find it out, and change nothing. Raises ``CannotOpen`` if no session is possible.

    ``url`` is the server to join. None takes any server of the database, preferably that of the usual port.
    """
    address = Address.parse(url or DEFAULT_URL)
    with contextlib.closing(control.Servers(database)) as servers:
        found = await servers.found(address if url is not None else None)
    server = min(found, key=lambda one: (one.port != address.port, one.port), default=None)
    if server is None and await listens(address):
        raise CannotOpen(
            f"what listens on {address.url} is not a server of {database}: name that server's database with "
            "--database, or another address with --url"
        )
    if not storage.exists(database):
        return Outlook(server, {})
    await asyncio.to_thread(_require_tables, database, tables, joining=server is not None)
    return Outlook(server, await _waiting(database) if server is None else {})


def _require_tables(database: str, tables: Sequence[Table], *, joining: bool) -> None:
    """Raises ``CannotOpen`` if a session would change tables that other definitions made or that a server uses."""
    plan = storage.plan_migration(database, tables)
    added = [change.what for change in plan.additions]
    foreign = [change.what for change in plan.changes if change.sign == "-"]
    if not added or not (joining or foreign):
        return
    more = f" and {len(added) - 1} more" if len(added) > 1 else ""
    why = "other definitions made its tables" if foreign else "a server works on it"
    raise CannotOpen(
        f"{database} lacks {added[0]}{more} of these definitions, and nothing is added to it here, since {why}. "
        "Name the folder of its definitions, or another database with --database. To add to it, stop its server, "
        "then `framework migrate` shows what, and --apply does it"
    )


async def _waiting(database: str) -> dict[str, int]:
    """The number of items of each FIFO that is not empty, including those in work."""
    lengths = select(FIFO.c.name, FIFO.c.length).where(FIFO.c.length > 0).order_by(FIFO.c.name)
    async with storage.open_storage(database, create=False) as opened:
        return {row["name"]: row["length"] for row in await opened.select(lengths)}


class Child:
    """``framework serve`` as a child process. It reads a pipe of this process, so it ends with it in any case."""

    def __init__(self, folder: str, database: str, address: Address, *, workers: bool) -> None:
        self.log, output = _log(address)
        command = [sys.executable, "-P", "-c", _COMMAND, "serve", folder, "--database", database]
        command += ["--host", address.host, "--port", str(address.port), "--stop-at-eof"]
        if not workers:
            command.append("--no-workers")
        with output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at this terminal is not for it
            )
        self.pid = self._process.pid

    async def ready(self, servers: control.Servers) -> Server:
        """Wait until it serves. Raises ``CannotOpen`` with its last output if it ends before."""
        try:
            async with asyncio.timeout(_START):
                while True:
                    if self._process.poll() is not None:
                        raise CannotOpen(f"the server did not start:\n{self._last_words()}")
                    for server in await servers.found():
                        if server.pid == self.pid:
                            return server
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise CannotOpen(f"the server is not ready after {_START:g} s; its log is {self.log}") from None

    def _last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-_LAST_LINES:])

    async def end(self, slow: Callable[[], None]) -> None:
        """End it, and wait. ``slow`` is called if that takes a while."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            if not await self._ended(1.0):
                slow()
                if not await self._ended(shutdown.longest()):
                    self._process.kill()
        finally:
            if self._process.poll() is None:
                await self._ended(1.0)

    async def _ended(self, timeout: float | None) -> bool:
        loop = asyncio.get_running_loop()
        deadline = math.inf if timeout is None else loop.time() + timeout
        while self._process.poll() is None:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(0.02)  # a child watcher is not worth the trouble here
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def joined(setup: Setup, say: Callable[[str], None]) -> AsyncIterator[tuple[Server, bool]]:
    """A server of the setup's database while the block runs. Yields whether it was started for it."""
    with contextlib.closing(control.Servers(setup.database)) as servers:
        for server in await servers.found():
            if (
                setup.server is not None
                and server.pid == setup.server.pid
                and server.port == setup.server.port
            ):
                yield server, False
                return
        if setup.server is not None:
            raise CannotOpen(f"the server on {setup.server.url} has just ended: start again")
        address = Address.parse(setup.url or DEFAULT_URL)
        child = Child(setup.folder, setup.database, address, workers=setup.workers)
        try:
            without = "" if setup.workers else " without workers"
            say(
                f"no server runs on {address.url}: starting one{without}, which ends with this session; "
                f"its log is {child.log}"
            )
            yield await child.ready(servers), True
        finally:
            await child.end(lambda: say("the server ends as soon as its work in progress has ended"))


def _log(address: Address) -> tuple[Path, BinaryIO]:
    """A new file for the child's output that only the user can read."""
    name = f"server-{address.host.replace(':', '_')}-{address.port}"
    folder = state.folder()
    if folder is None:
        number, path = tempfile.mkstemp(prefix=f"framework-{name}-", suffix=".log")
        return Path(path), os.fdopen(number, "wb")
    log = folder / f"{name}.log"
    log.unlink(missing_ok=True)
    return log, os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
