"""Programs that use the framework in a process of their own: told by lines, stopped and killed for real."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.server import environment

ROOT = Path(__file__).resolve().parents[2]

_PRELUDE = """
import asyncio, json, os, random, signal, sys, time
sys.path.insert(0, {root!r})
import sqlalchemy
from dataclasses import replace
from framework.definitions import Backoff, FifoPolicy, Location
from framework.errors import *
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies
from framework.transactions.session import Session
from framework.storage import open_storage
from framework.storage.operations import *

URL = sys.argv[1]

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece, and at once

async def hear():
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()

def policy(**values):
    return FifoPolicy("q", Location("q.yaml", 1, 1), **values)
"""

_MAIN = """
{setup}
async def main():
    async with open_storage(URL) as db:
        session = Session()
        session.bind(db)
        FIFO = Fifos(session, Policies([policy(max_crashes=1000000)]))
{body}
        await FIFO.settlements.settle()
asyncio.run(main())
"""


def text(body: str, setup: str = "") -> str:
    """A program that runs the body of an async function with ``db``, ``session`` and ``FIFO`` at hand."""
    body = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return _PRELUDE.format(root=str(ROOT)) + _MAIN.format(setup=textwrap.dedent(setup).strip(), body=body)


class Program:
    """A running program. ``line`` reads what it says; ``close`` ends it whatever state it is in.

    ``setup`` runs before the database is opened, ``before`` is a command that it runs under.
    """

    def __init__(
        self,
        body: str,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        setup: str = "",
    ) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", text(body, setup), *map(str, arguments)],
            env=environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._read = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, timeout: float = 20.0) -> str:
        """The next line it says; fails with its traceback when it has ended instead."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._read:
            if not self._receive(max(deadline - time.monotonic(), 0)):
                assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for a line"
                self.process.wait(10)
                raise AssertionError(f"the program ended: {self._errors()}")
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def silent(self, seconds: float) -> bool:
        """Does it say nothing for this long?"""
        return b"\n" not in self._read and not self._receive(seconds)

    def rest(self) -> list[str]:
        """The whole lines that it has said and nobody has read, up to its end."""
        while self._receive(20.0):
            pass
        *lines, _ = self._read.decode().split("\n")
        self._read = b""
        return lines

    def _receive(self, timeout: float) -> bool:
        assert self.process.stdout is not None
        number = self.process.stdout.fileno()
        if not select.select([number], [], [], timeout)[0]:
            return False
        read = os.read(number, 1 << 16)
        self._read += read
        return bool(read)

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """SIGSTOP, and wait until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 5
        while state(self.pid) != "T" and time.monotonic() < deadline:
            time.sleep(0.001)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """``kill -9``; what it has said before can still be read."""
        self.process.kill()
        self.process.wait()

    def end(self, timeout: float = 30.0) -> list[str]:
        """Wait for its end, which must be a good one; what it said and nobody has read."""
        lines = self.rest()
        assert self.process.wait(timeout) == 0, self._errors()
        return lines

    def _errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def state(pid: int) -> str:
    """The state of a process as the system sees it: ``R``, ``S``, ``D``, ``T`` (stopped), ``Z``."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
