"""The dialogue: reads an input, runs its statements and shows their values, until the user leaves.

The one rule: **the prompt waits in a thread, and everything else happens on the loop of the main thread.** Background
tasks of the user go on while the prompt waits, and Ctrl-C reaches the statement.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Protocol, TypeVar

from framework.repl import failure
from framework.repl.execution import Execution, Interrupted
from framework.repl.statement import SCRIPT, Compiler, Statement

T = TypeVar("T")

_LAST_WORD = 1.0  # seconds that the prompt gets to end
_LEAVE = ("exit", "quit")


class Input(Protocol):
    """The source of inputs. See ``editor`` and ``terminal``."""

    def read(self) -> str: ...
    def interrupt(self) -> None: ...
    def forget(self) -> None: ...
    def close(self) -> None: ...


class Leave:
    """``exit`` and ``quit``, typed alone or called with an exit code."""

    def __repr__(self) -> str:
        return "exit leaves; so does Ctrl-D"

    def __call__(self, code: int = 0) -> None:
        raise SystemExit(code)


class Console:
    """Runs inputs in one namespace. ``between`` is awaited after each statement."""

    def __init__(
        self,
        namespace: dict[str, Any],
        execution: Callable[[Callable[[Any], None]], Execution],
        *,
        write: Callable[[str], None],
        complain: Callable[[str], None],
        between: Callable[[], Awaitable[None]],
    ) -> None:
        self._namespace = namespace
        self._execution = execution(self._show)
        self._write = write
        self._complain = complain
        self._between = between
        self._compiler = Compiler()
        self._input: Input | None = None

    async def converse(self, source: Input) -> int:
        """Read and run until the end of input or ``exit``. Return the exit code."""
        self._input = source
        while True:
            try:
                text = await self._read(source)
            except EOFError:
                return 0
            except KeyboardInterrupt:
                continue
            if text.strip() in _LEAVE and isinstance(self._namespace.get(text.strip()), Leave):
                return 0
            code = await self._run_input(text, source)
            if code is not None:
                return code

    async def _read(self, source: Input) -> str:
        """The next input. If the task is cancelled meanwhile, the terminal is restored first."""
        reading = _in_thread(source.read)
        try:
            await asyncio.wait({reading})
        except asyncio.CancelledError:
            source.close()
            done, _ = await asyncio.wait({reading}, timeout=_LAST_WORD)
            for ended in done:
                ended.exception()  # of no interest any more
            raise
        return reading.result()

    async def run_script(self, text: str) -> int:
        """Run a script up to its end or the first statement that raises. Return the exit code."""
        try:
            for statement in self._compiler.compile(text, SCRIPT):
                error = await self._run(statement)
                if error is not None:
                    return self._ended_by(error, statement.line)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            return self._ended_by(error, None)
        return 0

    def interrupt(self, frame: FrameType | None) -> None:
        """Ctrl-C, as a signal."""
        if not self._execution.interrupt(frame) and self._input is not None:
            self._input.interrupt()

    async def _run_input(self, text: str, source: Input) -> int | None:
        try:
            for statement in self._compiler.compile(text):
                error = await self._run(statement)
                if isinstance(error, SystemExit):
                    return _exit_code(error, self._complain)
                if error is not None:
                    source.forget()
                    self._complain(_shown(error))
                    return None
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            source.forget()
            self._complain(failure.text(error))
        return None

    async def _run(self, statement: Statement) -> BaseException | None:
        error = await self._execution.run(statement)
        await self._between()
        return error

    def _ended_by(self, error: BaseException, line: int | None) -> int:
        if isinstance(error, SystemExit):
            return _exit_code(error, self._complain)
        self._complain(_shown(error))
        place = failure.line(error, SCRIPT) or line
        where = f" at line {place}" if place is not None else ""
        self._complain(f"framework: the input failed{where}; nothing after it was run")
        return 1

    def _show(self, value: Any) -> None:
        """Show the value of an expression, and keep it as ``_``."""
        if value is None:
            return
        self._namespace["_"] = value
        try:
            text = repr(value)
        except Exception as error:
            text = f"<a {type(value).__name__} that cannot be shown: {type(error).__name__}>"
        self._write(text)
        if inspect.iscoroutine(value):
            self._write("nothing of it has run: write `await` before it, or `await _` now")


def _shown(error: BaseException) -> str:
    if isinstance(error, Interrupted):
        return "KeyboardInterrupt" + (f": {error}" if str(error) else "")
    return failure.text(error)


def _exit_code(error: SystemExit, complain: Callable[[str], None]) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    complain(str(error.code))
    return 1


def _in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Run it in its own thread, which does not delay the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        try:
            outcome = (function(), None)
        except BaseException as error:
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="framework-prompt", daemon=True).start()
    return future
