"""One session of ``framework repl``: what it opens, in which order, and how it closes everything.

The one rule: **the classes act on the database in this process. The workers and the gateway belong to the server.**
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, NoReturn

from framework.errors import CannotOpen
from framework.queue.executors import StandardLoop
from framework.repl import server, terminal
from framework.repl.completion import Names
from framework.repl.console import Console, Leave
from framework.repl.debugging import Debugging
from framework.repl.execution import Execution
from framework.repl.help import Help
from framework.repl.keyboard import keyboard
from framework.repl.profile import Profile
from framework.repl.remote import RemoteGateway
from framework.repl.server import Setup
from framework.repl.tracing import Tracing
from framework.script.debug import follow, printable
from framework.serving.runtime import Runtime, open_runtime
from framework.storage.statements import Statements
from framework.transactions.block import Block

logger = logging.getLogger("framework.repl")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_MOMENT = 1.0  # seconds for tasks that statements have left running to end


def run(setup: Setup) -> int:
    """Run the dialogue at the terminal, or the script on standard input. Return the exit code.

    Raises ``CannotOpen`` if there is no database or no server of it. After a signal the code is 128 plus its number.
    """
    script = _script()
    # The stock loop runs Python's signal handlers only while it waits.
    loop = StandardLoop()
    asyncio.set_event_loop(loop)
    try:
        code = _run(loop, _Dialogue(setup, script))
        left = _leave_behind(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if left or (script is None and _threads()):
        _end_now(code)
    return code


def _run(loop: asyncio.AbstractEventLoop, session: _Dialogue) -> int:
    main = loop.create_task(session.run(), name="repl")
    with _on_signals(lambda number, frame: session.signalled(main, number, frame)):
        while True:
            try:
                return loop.run_until_complete(main)
            # It has stopped a background task, or a statement has stopped the loop.
            except (KeyboardInterrupt, RuntimeError):
                if main.done():
                    raise
            except asyncio.CancelledError:
                return 128 + session.stopped_by


def _leave_behind(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Cancel tasks that statements have left running, and wait a moment. Return those that do not end."""
    running = asyncio.all_tasks(loop)
    for task in running:
        task.cancel()
    running.add(loop.create_task(loop.shutdown_asyncgens()))
    _, left = loop.run_until_complete(asyncio.wait(running, timeout=_LAST_MOMENT))
    return left


def _threads() -> bool:
    """Has a statement left a thread running that Python would wait for?"""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


def _end_now(code: int) -> NoReturn:
    """End the process, whatever still runs in it. Everything that the session opened is closed by now."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


class _Dialogue:
    """The statements of one run, and the signals that stop them."""

    def __init__(self, setup: Setup, script: str | None) -> None:
        self._setup = setup
        self._script = script
        self._console: Console | None = None
        self.stopped_by = 0

    def signalled(self, main: asyncio.Task[int], number: int, frame: FrameType | None) -> None:
        """Ctrl-C stops the statement. Other signals, or Ctrl-C without a statement, stop the session."""
        if number == signal.SIGHUP and self.stopped_by:  # the loss of the terminal may be reported twice
            return
        if number != signal.SIGINT or self._console is None:
            self.stopped_by = number
            main.cancel()
            main.get_loop().call_soon_threadsafe(lambda: None)  # it sleeps, and would not look
        if self._console is not None:
            self._console.interrupt(frame)

    async def run(self) -> int:
        setup = self._setup
        statements = Statements()
        async with (
            open_runtime(
                setup.definitions, setup.database, workers=False, gateway=False, statements=statements
            ) as (runtime, _),
            server.joined(setup, _say) as (gateway, started),
        ):
            remote = RemoteGateway(gateway, runtime.session)
            runtime.callout.connect(remote.call)
            try:
                return await self._converse(runtime, statements, None if started else gateway.url)
            finally:
                self._console = None
                await remote.close()

    async def _converse(self, runtime: Runtime, statements: Statements, joined: str | None) -> int:
        _takes_all(sys.stdout)
        if self._script is not None:
            async with _tools(runtime, statements, print, print) as (namespace, between):
                self._console = _console(runtime, namespace, print, between)
                return await self._console.run_script(self._script)
        if joined is not None:
            _say(f"joined the server on {joined}")
        _say("`help` says what there is, Ctrl-D leaves")
        with terminal.taken() as (screen, modes):
            async with _tools(runtime, statements, print, screen.show) as (namespace, between):
                namespace["input"] = terminal.line_reader(modes)
                source = keyboard(screen, modes, Names(namespace, _Fifos(runtime).now))
                self._console = _console(runtime, namespace, print, between)
                asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, source.again)
                terminal.when_gone(_hang_up)
                try:
                    return await self._console.converse(source)
                finally:
                    asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)


class _Fifos:
    """The names of the FIFOs, for help and completion, as of the last look at the database."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self._known = [policy.name for policy in runtime.snapshot.definitions.fifos]

    async def refresh(self) -> None:
        names = await self._runtime.session.storage.fifo_names()
        self._known = sorted({*self._known, *names})

    def __call__(self) -> list[str]:
        return self._known

    def now(self) -> list[str]:
        """From another thread: the current names, if they are known soon."""
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self.refresh(), self._loop).result(timeout=0.3)
        return self._known


@asynccontextmanager
async def _tools(
    runtime: Runtime, statements: Statements, write: Callable[[str], None], show: Callable[[str], None]
) -> AsyncIterator[tuple[dict[str, Any], Callable[[], Awaitable[None]]]]:
    """The namespace of the session, and what happens after each statement."""
    debug = Debugging(lambda: _printed(runtime, show), write, show)
    profile = Profile(write)
    tracing = Tracing(statements, write, show)
    fifos = _Fifos(runtime)
    await fifos.refresh()

    async def between() -> None:
        await debug.settle()
        if not tracing.running:  # otherwise the trace would show this query
            await fifos.refresh()

    namespace: dict[str, Any] = {
        **runtime.snapshot.scope,
        "__name__": "__main__",
        "__builtins__": __builtins__,
        "debug": debug,
        "traceon": tracing.on,
        "traceoff": tracing.off,
        "profon": profile.on,
        "profoff": profile.off,
        "exit": Leave(),
        "quit": Leave(),
    }
    namespace["help"] = Help(runtime.snapshot, fifos, write, namespace)
    try:
        yield namespace, between
    finally:
        profile.close()
        tracing.close()
        await debug.close()


@asynccontextmanager
async def _printed(runtime: Runtime, show: Callable[[str], None]) -> AsyncIterator[AsyncIterator[str]]:
    """Show what scripts qprint in any process from now on. Prints of this process are shown at once."""
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


def _hang_up() -> None:
    """From a thread: act as if the terminal's end had sent its signal."""
    number = threading.main_thread().ident
    assert number is not None
    signal.pthread_kill(number, signal.SIGHUP)


@contextmanager
def _on_signals(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _script() -> str | None:
    """The content of standard input, or None if it is a terminal."""
    if sys.stdin is None:  # the parent process closed it
        return ""
    if sys.stdin.isatty():
        return None
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CannotOpen(f"the script is not UTF-8: {error}") from None


def _takes_all(stream: Any) -> None:
    """Write each line when it is complete, also into a pipe. No character of a message is an error."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _say(text: str) -> None:
    print(f"framework: {text}", file=sys.stderr)
