"""The user's terminal. What is printed while the prompt waits appears above it, in complete lines.

The one rule: **one thread writes at a time, and nothing is lost between two prompts.** A prompt says when it is shown
and how to write above it. Text that is still unwritten when the prompt ends is written then.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TextIO

MOST_WAITING = 10_000  # texts that wait for a stopped terminal (Ctrl-S); the oldest are dropped


class Prompt(Protocol):
    def above(self, write: Callable[[], None]) -> None:
        """Call ``write`` now or soon, with the prompt out of its way. Do not call it once the prompt is gone."""


class Screen:
    """Standard output and standard error of an interactive session, which are one terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.RLock()
        self._prompt: Prompt | None = None
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._at_margin = True

    def show(self, text: str) -> None:
        """Print a text with a newline, whole, above the prompt if one is shown. From any thread."""
        with self._lock:
            first = not self._waiting
            self._waiting.append(f"{text}\n")
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            prompt = self._prompt
            if prompt is None:
                self._write_waiting()
        if prompt is not None and first:  # otherwise it was already asked to
            prompt.above(self._write_waiting)

    def prompting(self, prompt: Prompt) -> None:
        """The prompt is shown next, at the margin and below everything written."""
        with self._lock:
            self._write_waiting()
            if not self._at_margin:
                self._write("\n")
            self._prompt = prompt

    def prompted(self) -> None:
        """The prompt is gone, and the cursor below it."""
        with self._lock:
            self._prompt = None
            self._at_margin = True
            self._write_waiting()

    def write(self, text: str) -> bool:
        """Write the text as it is, unless a prompt is shown. Return whether it was written."""
        with self._lock:
            if self._prompt is not None:
                return False
            self._write(text)
            return True

    def _write_waiting(self) -> None:
        with self._lock:
            waiting, dropped = self._waiting, self._dropped
            self._waiting, self._dropped = deque(), 0
            if waiting:
                begin = "" if self._at_margin or self._prompt is not None else "\n"
                note = f"<{dropped} texts were dropped: the terminal took none>\n" if dropped else ""
                self._write(begin + note + "".join(waiting))

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
            self._at_margin = text.endswith("\n")


class ScreenStream(io.TextIOBase):
    """The temporary ``sys.stdout`` or ``sys.stderr``. Lines that are printed while the prompt waits go above it."""

    def __init__(self, screen: Screen, real: TextIO) -> None:
        self._screen = screen
        self._real = real
        self._line = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            text_ = self._line + text
            if self._screen.write(text_):
                self._line = ""
            else:
                whole, newline, self._line = text_.rpartition("\n")
                if newline:
                    self._screen.show(whole)
        return len(text)

    def flush(self) -> None:
        with self._lock:
            if self._line and self._screen.write(self._line):
                self._line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._real.errors

    def isatty(self) -> bool:
        return self._real.isatty()

    def fileno(self) -> int:
        return self._real.fileno()

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> Any:
        return self._real.buffer  # type: ignore[attr-defined, unused-ignore]
