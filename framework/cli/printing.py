"""A thread writes what scripts print, so a slow reader never blocks the server."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from framework.cli import output
from framework.observing.outbox import Outbox

FLUSH = 1.0  # seconds that a reader of standard output gets at shutdown


class Lines(io.TextIOBase):
    """Replaces ``sys.stdout`` or ``sys.stderr``. It passes on each complete line without its line break."""

    def __init__(self, write: Callable[[str], None], instead_of: TextIO) -> None:
        self._hand_on = write
        self._original = instead_of
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding

    @property
    def buffer(self) -> object:
        return self._original.buffer

    def fileno(self) -> int:
        return self._original.fileno()

    def isatty(self) -> bool:
        return self._original.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._hand_on("\n".join(lines))
        return len(text)

    def flush(self) -> None:
        """Pass on an incomplete line as a line."""
        if self._begun:
            begun, self._begun = self._begun, ""
            self._hand_on(begun)


@contextlib.contextmanager
def without_waiting(err: Callable[[str], None] | None) -> Iterator[None]:
    """During the block, threads write what is printed to standard output, and by ``err`` to standard error."""
    before = sys.stdout, sys.stderr
    outbox: Outbox[str] = Outbox()
    write = output.to_stdout()

    def write_all(texts: list[str], missed: int) -> None:
        if missed:
            write(f"<{missed} printed lines were dropped: nobody read them>")
        write("\n".join(texts))

    parent = os.getpid()

    def put(text: str) -> None:
        if os.getpid() == parent:
            outbox.put(text, len(text))
        else:  # a forked child has no thread for it
            with contextlib.suppress(OSError):
                write(text)

    reader = outbox.reader(write_all, name="framework-print", failed=lambda error: None)
    if sys.stdout is not None:
        sys.stdout = Lines(put, sys.stdout)
    if sys.stderr is not None and err is not None:
        sys.stderr = Lines(err, sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
        reader.flush(FLUSH)
        reader.close()
