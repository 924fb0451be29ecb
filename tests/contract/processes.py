"""Other processes for the tests: real ones, that can be killed for real."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import asyncio, os, signal, sys, time
sys.path.insert(0, {root!r})
from framework.errors import *
from framework.storage import open_storage
from framework.storage.operations import *
URL = sys.argv[1]
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # in one piece
    sys.stdout.flush()
async def hear():
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()
"""


def program(main: str) -> str:
    """A program that runs the body of an async function ``main`` with the storage ``db`` open."""
    return (
        PRELUDE.format(root=str(ROOT))
        + "async def main():\n    async with open_storage(URL) as db:\n"
        + textwrap.indent(textwrap.dedent(main).strip(), " " * 8)
        + "\nasyncio.run(main())\n"
    )


class Child:
    """A running program; its lines are read by ``line``. ``end`` waits for it, ``kill`` is ``kill -9``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, main: str, *args: str, before: Sequence[str] = ()) -> Child:
        """Start ``program(main)`` with ``args`` (the URL first), under the command ``before`` if given."""
        return cls(
            await asyncio.create_subprocess_exec(
                *before,
                *(sys.executable, "-c", program(main), *args),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def line(self) -> str:
        """The next line it prints; fails with its traceback when there is none."""
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        if not line:
            _, errors = await self.process.communicate()
            raise AssertionError(f"the process ended with {self.process.returncode}: {errors.decode()}")
        return line.strip()

    async def tell(self, line: str = "") -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def kill(self) -> str:
        """Kill it without a warning; what it had printed and was not yet read."""
        self.process.kill()
        printed, _ = await self.process.communicate()
        return printed.decode()

    async def end(self) -> str:
        """Wait for its end, which must be a good one; the rest of what it printed."""
        printed, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        assert errors == b"", errors.decode()
        return printed.decode()
