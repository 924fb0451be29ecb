"""The prompts on a terminal that can only show text (TERM=dumb, or output into a pipe).

The one rule: **text that is typed ahead is shown when its prompt comes, not before.** The terminal does not echo,
this module does. So a pasted block looks as if it had been typed, and a half-typed line can be shown again.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import threading
from collections.abc import Callable

from framework.repl.screen import Screen
from framework.repl.statement import whole
from framework.repl.terminal import FIRST, NEXT, Modes

_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)")  # arrows, and the marks of a bracketed paste
_ERASE, _ERASE_WORD, _ERASE_LINE, _END, _SHOW_AGAIN = ("\x7f", "\b"), "\x17", "\x15", "\x04", "\x12"


class PlainInput:
    """Reads inputs line by line. ``read`` runs in a thread. The other methods may be called from any thread."""

    def __init__(self, number: int, screen: Screen, modes: Modes, write: Callable[[str], None]) -> None:
        self._number = number
        self._screen = screen
        self._modes = modes
        self._write = write
        self._keys = ""  # input that is not yet part of a line
        self._line = ""
        self._shown = FIRST
        self._typing = threading.RLock()
        self._showing = False
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._ended = False
        self._woken, self._waker = os.pipe()

    def read(self) -> str:
        """The next input. ``EOFError`` at Ctrl-D or the terminal's end, ``KeyboardInterrupt`` at Ctrl-C."""
        text = self._read_line(FIRST)
        while not whole(text):
            text += "\n" + self._read_line(NEXT)
        return text

    def interrupt(self) -> None:
        """Ctrl-C: discard what is typed."""
        os.write(self._waker, b"c")

    def forget(self) -> None:
        """What was typed ahead of a statement that was stopped is not run."""
        self._keys = ""

    def close(self) -> None:
        """End a ``read``."""
        os.write(self._waker, b"e")

    def again(self) -> None:
        """The process was stopped and goes on: show what there was."""
        os.write(self._waker, b"s")

    def above(self, write: Callable[[], None]) -> None:
        """See ``Prompt``."""
        with self._typing:
            if self._showing:
                self._write("\r" + " " * len(self._shown + self._line) + "\r")
                write()
                self._write(self._shown + self._line)

    def _read_line(self, prompt: str) -> str:
        self._modes.by_key()
        self._screen.prompting(self)
        with self._typing:
            self._shown, self._line, self._showing = prompt, "", True
            self._write(prompt)
        try:
            while True:
                with self._typing:
                    line = self._take()
                if line is not None:
                    return line
                self._wait()
        finally:
            with self._typing:
                self._showing = False
            self._screen.prompted()
            self._modes.quiet()

    def _take(self) -> str | None:
        """Type the received keys into the line. Return the line once it is complete."""
        while self._keys:
            key, self._keys = self._keys[0], self._keys[1:]
            if key in "\r\n":
                if key == "\r" and self._keys.startswith("\n"):
                    self._keys = self._keys[1:]
                self._write("\n")
                return self._line
            if key == _END:
                if not self._line:
                    self._write("\n")
                    raise EOFError
            else:
                self._type(key)
        if self._ended:
            raise EOFError
        return None

    def _type(self, key: str) -> None:
        if key in _ERASE:
            self._erase(1)
        elif key == _ERASE_LINE:
            self._erase(len(self._line))
        elif key == _ERASE_WORD:
            self._erase(len(self._line) - len(self._line.rstrip().rpartition(" ")[0]))
        elif key == _SHOW_AGAIN:
            self._write("\n" + self._shown + self._line)
        elif key == "\t" or key.isprintable():
            self._line += key
            if self._modes.echoes:
                self._write(key)

    def _erase(self, count: int) -> None:
        count = min(count, len(self._line))
        self._line = self._line[: len(self._line) - count]
        if self._modes.echoes:
            self._write("\b \b" * count)

    def _wait(self) -> None:
        ready, _, _ = select.select([self._number, self._woken], [], [])
        if self._woken in ready:
            what = os.read(self._woken, 1)
            if what == b"e":
                raise EOFError
            if what == b"c":
                self._keys = ""
                self._write("\n")
                raise KeyboardInterrupt
            self._modes.by_key()
            self._write("\n" + self._shown + self._line)
            return
        try:
            found = os.read(self._number, 4096)
        except OSError:  # the terminal is gone
            found = b""
        if not found:
            self._ended = True
        self._keys += self._decode(found)
        self._keys = _SEQUENCE.sub("", self._keys)
