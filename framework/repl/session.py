"""One session of ``framework repl``: what it opens, in which order, and that all of it is closed.

The one rule: **the classes act on the database here, the workers and the gateway are the server's.**
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from framework import storage as storages
from framework.block import Block
from framework.debug import follow, printable
from framework.definitions import Definitions
from framework.repl import server, state
from framework.repl.completion import Names
from framework.repl.console import Console, Leave
from framework.repl.debugging import Debugging
from framework.repl.execution import Execution
from framework.repl.help import Help
from framework.repl.profile import Profile
from framework.repl.remote import RemoteGateway
from framework.repl.screen import Screen, ScreenStream
from framework.repl.server import Address
from framework.repl.terminal import Modes, PlainInput
from framework.repl.tracing import Tracing
from framework.runtime import Runtime, open_runtime
from framework.storage.statements import Statements

logger = logging.getLogger("framework.repl")

_HISTORY = "repl_history"
_STDOUT = 1
_PLAIN = ("", "dumb", "unknown")
_STUCK = 0.3  # seconds without a turn of the loop after which Ctrl-C at the prompt stops what keeps it


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session is about."""

    definitions: Definitions
    folder: str
    database: str
    url: str


def run(plan: Plan) -> int:
    """Converse at the terminal, or run the script that standard input is; the exit code.

    ``CannotOpen`` when there is no database or no server of it.
    """
    # The stock loop: it runs Python's signal handlers where it waits, and leaves them alone elsewhere.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        session = _Session(plan)
        main = loop.create_task(session.run(), name="repl")
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, main.cancel)
        with _on_interrupt(session.interrupt):
            while True:
                try:
                    return loop.run_until_complete(main)
                except KeyboardInterrupt:  # it has stopped something in the background, which has ended by it
                    if main.done():
                        raise
                except asyncio.CancelledError:
                    return 128 + signal.SIGTERM


class _Session:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._console: Console | None = None
        self._task: asyncio.Task[Any] | None = None

    def interrupt(self, frame: FrameType | None) -> None:
        """Ctrl-C: before there is a prompt, and while the end takes long, it ends all."""
        if self._console is not None:
            self._console.interrupt(frame)
        elif self._task is not None:
            self._task.cancel()
            self._task.get_loop().call_soon_threadsafe(lambda: None)

    async def run(self) -> int:
        self._task = asyncio.current_task()
        plan = self._plan
        address = Address.parse(plan.url)
        if not storages.exists(plan.database) and await address.listens():
            raise server.another_database(address, plan.database)
        statements = Statements()
        async with open_runtime(
            plan.definitions, plan.database, workers=False, gateway=False, statements=statements
        ) as (runtime, _):
            store = runtime.session.storage
            async with server.joined(address, store, plan.folder, plan.database, _say) as started:
                remote = RemoteGateway(address.url, runtime.session)
                runtime.callout.connect(remote.call)
                try:
                    return await self._converse(runtime, statements, started=started)
                finally:
                    self._console = None
                    await remote.close()

    async def _converse(self, runtime: Runtime, statements: Statements, *, started: bool) -> int:
        _takes_all(sys.stdout)
        if not sys.stdin.isatty():
            async with _tools(runtime, statements, print, print) as (namespace, between):
                self._console = _console(runtime, namespace, print, between)
                return await self._console.run_script(sys.stdin.read())
        if not started:
            _say(f"joined the server on {self._plan.url}")
        _say("`help` says what there is, Ctrl-D leaves")
        with _terminal() as (screen, modes):
            async with _tools(runtime, statements, print, screen.show) as (namespace, between):
                namespace["input"] = _input(modes)
                source = _source(screen, modes, namespace, _Fifos(runtime))
                self._console = _console(runtime, namespace, print, between)
                asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, source.again)
                try:
                    return await self._console.converse(source)
                finally:
                    source.close()
                    asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)


class _Fifos:
    """The names of the FIFOs that there are, for help and completion: as the database knew them last."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self._known = [policy.name for policy in runtime.snapshot.definitions.fifos]

    async def look(self) -> None:
        names = await self._runtime.session.storage.fifo_names()
        self._known = sorted({*self._known, *names})

    def __call__(self) -> list[str]:
        return self._known

    def now(self) -> list[str]:
        """From another thread: as they are now, if that is known soon."""
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self.look(), self._loop).result(timeout=0.3)
        return self._known


@asynccontextmanager
async def _tools(
    runtime: Runtime, statements: Statements, write: Callable[[str], None], show: Callable[[str], None]
) -> AsyncIterator[tuple[dict[str, Any], Callable[[], Awaitable[None]]]]:
    """The namespace of the session, and what is to be done after each statement."""
    debug = Debugging(lambda: _printed(runtime, show), write, show)
    profile = Profile(write)
    tracing = Tracing(statements, write, show)
    fifos = _Fifos(runtime)
    await fifos.look()

    async def between() -> None:
        await debug.settle()
        if not tracing.running:  # our own look would be among what is traced
            await fifos.look()

    namespace = {
        **runtime.snapshot.scope,
        "__name__": "__main__",
        "__builtins__": __builtins__,
        "debug": debug,
        "help": Help(runtime.snapshot, fifos, write),
        "traceon": tracing.on,
        "traceoff": tracing.off,
        "profon": profile.on,
        "profoff": profile.off,
        "exit": Leave(),
        "quit": Leave(),
    }
    try:
        yield namespace, between
    finally:
        profile.close()
        tracing.close()
        await debug.close()


@asynccontextmanager
async def _printed(runtime: Runtime, show: Callable[[str], None]) -> AsyncIterator[AsyncIterator[str]]:
    """What scripts qprint in any process, from now on; what is printed here is shown at once."""
    here = f"{socket.gethostname()}:{os.getpid()}"
    async with follow(runtime.session.storage) as messages:
        end = runtime.debug.listen(lambda text: show(printable(text)))
        try:
            yield (printable(message.text) async for message in messages if message.node != here)
        finally:
            end()


def _console(
    runtime: Runtime,
    namespace: dict[str, Any],
    write: Callable[[str], None],
    between: Callable[[], Awaitable[None]],
) -> Console:
    async def give_back(block: Block) -> None:
        print(f"FIFO {block.claim.fifo}: its block ended with the statement; the item is offered again")
        await runtime.give_back(block)

    return Console(
        namespace,
        lambda show: Execution(namespace, show, give_back),
        write=write,
        complain=lambda text: print(text, file=sys.stderr),
        between=between,
    )


def _source(screen: Screen, modes: Modes, namespace: dict[str, Any], fifos: _Fifos) -> Any:
    if os.environ.get("TERM", "") in _PLAIN or not os.isatty(_STDOUT):
        return PlainInput(sys.stdin.fileno(), screen, modes, _raw_write)
    from framework.repl.editor import Editor

    folder = state.folder()
    return Editor(
        screen,
        modes,
        Names(namespace, fifos.now),
        out=sys.__stdout__ or sys.stdout,
        history=folder / _HISTORY if folder else None,
        stuck=_unstick(asyncio.get_running_loop()),
    )


def _raw_write(text: str) -> None:
    out = sys.__stdout__
    assert out is not None
    out.write(text)
    out.flush()


def _unstick(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """For Ctrl-C at the prompt: a task in the background that never lets the loop turn is stopped by it."""
    import _thread
    import threading

    def unstick() -> None:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        if not turned.wait(_STUCK):
            _thread.interrupt_main()

    return lambda: threading.Thread(target=unstick, daemon=True).start()


def _input(modes: Modes) -> Callable[..., str]:
    def input_(prompt: object = "", /) -> str:
        """Python's own, with the terminal as it was."""
        print(prompt, end="", flush=True)
        with modes.as_found():
            line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    return input_


@contextmanager
def _terminal() -> Iterator[tuple[Screen, Modes]]:
    """Standard output and error go through the screen, and the terminal is left as it was found."""
    out, err = sys.stdout, sys.stderr
    screen, modes = Screen(out), Modes(sys.stdin.fileno())
    sys.stdout, sys.stderr = ScreenStream(screen, out), ScreenStream(screen, err)
    modes.quiet()
    try:
        yield screen, modes
    finally:
        sys.stdout, sys.stderr = out, err
        modes.restore()


@contextmanager
def _on_interrupt(handle: Callable[[FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, lambda _, frame: handle(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _takes_all(stream: Any) -> None:
    """Each line is written when it is whole, into a pipe too, and no character of a message is an error."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _say(text: str) -> None:
    print(f"framework: {text}", file=sys.stderr)
