"""Standard output for lines that go on and on: what scripts print, from a server or from the debug channel."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

import click


def to_stdout() -> Callable[[str], None]:
    """Writes a text and a line's end; waits while nobody reads.

    By the output's number, since a thread that waits in ``sys.stdout`` at the end of the process would hold
    its lock and break the end. What would steer a terminal is written out, colours are for a terminal only.
    """
    from framework.script.debug import printable

    if sys.stdout is None:  # closed by who started us
        return lambda text: None
    sys.stdout.flush()
    encoding = sys.stdout.encoding
    plain = not sys.stdout.isatty()

    def write(text: str) -> None:
        shown = printable(click.unstyle(text) if plain else text)
        _write(f"{shown}\n".encode(encoding, "backslashreplace"))

    return write


def to_stdout_as_it_is() -> Callable[[str], None]:
    """The same for a text that another program reads: nothing is altered, always as UTF-8."""
    if sys.stdout is None:
        return lambda text: None
    sys.stdout.flush()
    return lambda text: _write(f"{text}\n".encode())


def when_nobody_reads(call: Callable[[], None]) -> None:
    """Call, from a thread, when the reader of standard output has gone: the other end of a pipe, a terminal."""
    if sys.stdout is None:
        return
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # asks for nothing but for the end, which is told in any case

    def wait() -> None:
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll()):
            call()

    threading.Thread(target=wait, name="framework-reader", daemon=True).start()


def _write(left: bytes) -> None:
    number = sys.stdout.fileno()
    while left:
        try:
            left = left[os.write(number, left) :]
        except BlockingIOError:
            select.select([], [number], [])
