"""Standard output for endless lines: what scripts print, from a server or from the debug channel."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

import click


def to_stdout() -> Callable[[str], None]:
    """Writes a text and a line break. Waits while nobody reads.

    It writes to the file descriptor, since a thread that waits in ``sys.stdout`` at exit would hold its lock and
    break the exit. Control characters are escaped. Colours are for a terminal only.
    """
    from framework.script.debug import printable

    if sys.stdout is None:  # the parent process closed it
        return lambda text: None
    sys.stdout.flush()
    encoding = sys.stdout.encoding
    plain = not sys.stdout.isatty()

    def write(text: str) -> None:
        shown = printable(click.unstyle(text) if plain else text)
        _write(f"{shown}\n".encode(encoding, "backslashreplace"))

    return write


def to_stdout_as_it_is() -> Callable[[str], None]:
    """The same for text that another program reads: unaltered, and always UTF-8."""
    if sys.stdout is None:
        return lambda text: None
    sys.stdout.flush()
    return lambda text: _write(f"{text}\n".encode())


def when_nobody_reads(call: Callable[[], None]) -> None:
    """Call it, from a thread, when the reader of standard output is gone: the other end of a pipe, or a terminal."""
    if sys.stdout is None:
        return
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # this asks only for the end, which is always reported

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
