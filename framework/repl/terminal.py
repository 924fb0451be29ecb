"""The user's terminal: its modes, and where standard output goes meanwhile.

The one rule: **it is left as it was found**, however the session ends.
"""

from __future__ import annotations

import select
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from framework.repl.screen import Screen, ScreenStream

FIRST = ">>> "
NEXT = "... "

_LFLAG = 3


class Modes:
    """The terminal's modes: the original one, one without echo, and one that reads single keys. ``restore`` it at the
    end."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._found: list[Any] = termios.tcgetattr(number)
        self.echoes = bool(self._found[_LFLAG] & termios.ECHO)

    def restore(self) -> None:
        self._set(self._found)

    def quiet(self) -> None:
        """While statements run: text that is typed ahead is not echoed, and Ctrl-C and Ctrl-Z are signals."""
        self._without(termios.ECHO)

    def by_key(self) -> None:
        """While reading: get each key at once."""
        self._without(termios.ECHO | termios.ICANON | termios.IEXTEN)

    @contextmanager
    def as_found(self) -> Iterator[None]:
        """For ``input()`` in a statement."""
        self.restore()
        try:
            yield
        finally:
            self.quiet()

    def _without(self, flags: int) -> None:
        modes = [*self._found]
        modes[_LFLAG] &= ~flags
        self._set(modes)

    def _set(self, modes: list[Any]) -> None:
        try:
            termios.tcsetattr(self._number, termios.TCSADRAIN, modes)
        except termios.error:  # the terminal is gone
            pass


def when_gone(call: Callable[[], None]) -> None:
    """Call it, from a thread, when the terminal behind standard input is gone. Not every such end sends a signal."""
    poll = select.poll()
    poll.register(sys.stdin.fileno(), 0)  # this asks only for the end, which is always reported

    def wait() -> None:
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll()):
            call()

    threading.Thread(target=wait, name="framework-terminal", daemon=True).start()


@contextmanager
def taken() -> Iterator[tuple[Screen, Modes]]:
    """Send standard output through the screen in the block, and standard error if it is the same terminal."""
    out, err = sys.stdout, sys.stderr
    screen, modes = Screen(out), Modes(sys.stdin.fileno())
    sys.stdout = ScreenStream(screen, out)
    if out.isatty() and err.isatty():
        sys.stderr = ScreenStream(screen, err)
    modes.quiet()
    try:
        yield screen, modes
    finally:
        sys.stdout, sys.stderr = out, err
        modes.restore()


def line_reader(modes: Modes) -> Callable[..., str]:
    """``input`` for statements."""

    def input_(prompt: object = "", /) -> str:
        """Call Python's own ``input`` with the original terminal mode."""
        print(prompt, end="", flush=True)
        with modes.as_found():
            line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    return input_
