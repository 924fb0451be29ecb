"""The server behind the REPL: the one that runs already, or one that is started and ends with the REPL.

The one rule: **it is joined only when it has proven that it works on the same database.** It is asked for
something that only a reader of the row that we have just written can know; no token is sent before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from framework import jsontext, tokens
from framework.callout import NO_ANSWER, Callout
from framework.errors import CannotOpen
from framework.repl import state
from framework.storage import Storage

_PATIENCE = 10.0  # seconds that a server gets to answer
_START = 60.0  # seconds that a start may take
_END = 15.0  # seconds that an end may take: work in progress has 8 of them
_LAST_LINES = 20

# The command of this very package, whatever the current folder holds.
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_COMMAND = (
    f"import sys; sys.path.append({_ROOT!r}); from framework.cli import main; main(prog_name='framework')"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, from ``http://host:port``."""

    url: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """``CannotOpen`` says what a URL must look like."""
        wrong = CannotOpen(f"{url!r} is no server's URL: write http://HOST:PORT, as in http://127.0.0.1:9099")
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError:
            raise wrong from None
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise wrong
        return cls(f"http://{parts.netloc}", parts.hostname, port)

    async def listens(self) -> bool:
        """Does anybody listen there? ``CannotOpen`` when that cannot be found out."""
        try:
            async with asyncio.timeout(_PATIENCE):
                _, writer = await asyncio.open_connection(self.host, self.port)
        except ConnectionRefusedError:
            return False
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
            raise CannotOpen(f"cannot reach {self.url}: {reason}") from None
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


async def require_same_database(address: Address, storage: Storage, database: str) -> None:
    """``CannotOpen`` unless the server there works on this open database."""
    secret = await tokens.issue(storage, expires_in=_PATIENCE * 2)
    callout = Callout()
    try:
        challenge = await tokens.challenge(storage, secret)
        answer = await callout(
            url=f"{address.url}/-/database?token={challenge.number}&nonce={challenge.nonce}",
            connect_timeout=_PATIENCE,
            request_timeout=_PATIENCE,
        )
    finally:
        await callout.close()
        await tokens.withdraw(storage, secret)
    if answer.code == NO_ANSWER:
        raise CannotOpen(f"what listens on {address.url} does not answer: {answer.body.decode()}")
    proof = _proof(answer.body) if answer.code == 200 else None
    if proof is None:
        raise CannotOpen(
            f"what listens on {address.url} is no `framework serve`: stop it, or name another address with --url"
        )
    if proof != challenge.answer:
        raise another_database(address, database)


def another_database(address: Address, database: str) -> CannotOpen:
    return CannotOpen(
        f"the server on {address.url} has another database than {database}: "
        "name its database with --database, or another address with --url"
    )


def _proof(body: bytes) -> str | None:
    try:
        found = jsontext.decode(body)
    except ValueError:
        return None
    proof = found.get("proof") if isinstance(found, dict) else None
    return proof if isinstance(proof, str) else None


class Child:
    """``framework serve`` as a child process. It ends when we do, however we end: it reads a pipe of ours."""

    def __init__(self, folder: str, database: str, address: Address) -> None:
        self.log, output = _log(address)
        command = [sys.executable, "-P", "-c", _COMMAND, "serve", folder, "--database", database]
        command += ["--host", address.host, "--port", str(address.port), "--stop-at-eof"]
        with output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at our terminal is not for it
            )
        self.pid = self._process.pid

    async def ready(self, address: Address) -> None:
        """Wait until it serves; ``CannotOpen`` with its last words when it ends before."""
        callout = Callout()
        try:
            async with asyncio.timeout(_START):
                while True:
                    if self._process.poll() is not None:
                        raise CannotOpen(f"the server did not start:\n{self._last_words()}")
                    answer = await callout(url=f"{address.url}/-/ready", request_timeout=_PATIENCE)
                    if answer.code == 200:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise CannotOpen(f"the server is not ready after {_START:g} s; its log is {self.log}") from None
        finally:
            await callout.close()

    def _last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-_LAST_LINES:])

    async def end(self, slow: Callable[[], None]) -> None:
        """End it and wait for its end; ``slow`` is called when that takes a moment."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            if not await self._ended(1.0):
                slow()
                if not await self._ended(_END):
                    self._process.kill()
        finally:
            if self._process.poll() is None:
                await self._ended(1.0)

    async def _ended(self, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._process.poll() is None:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(0.02)  # no watcher of children is worth its trouble here
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def joined(
    address: Address, storage: Storage, folder: str, database: str, say: Callable[[str], None]
) -> AsyncIterator[bool]:
    """A server of this database at the address while the block runs; was it started for it?"""
    if await address.listens():
        await require_same_database(address, storage, database)
        yield False
        return
    child = Child(folder, database, address)
    try:
        say(
            f"no server runs on {address.url}: starting one, which ends with this session; its log is {child.log}"
        )
        await child.ready(address)
        await require_same_database(address, storage, database)
        yield True
    finally:
        await child.end(lambda: say("the server ends as soon as its work in progress has ended"))


def _log(address: Address) -> tuple[Path, BinaryIO]:
    """A new file for the child's output, which its user alone can read."""
    name = f"server-{address.host.replace(':', '_')}-{address.port}"
    folder = state.folder()
    if folder is None:
        number, path = tempfile.mkstemp(prefix=f"framework-{name}-", suffix=".log")
        return Path(path), os.fdopen(number, "wb")
    log = folder / f"{name}.log"
    log.unlink(missing_ok=True)
    return log, os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
