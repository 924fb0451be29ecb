"""Which prompts suit the terminal."""

from __future__ import annotations

import _thread
import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from framework.repl import state
from framework.repl.completion import Names
from framework.repl.console import Input
from framework.repl.plain import PlainInput
from framework.repl.screen import Screen
from framework.repl.terminal import Modes

_HISTORY = "repl_history"
_STDOUT = 1
_PLAIN = ("", "dumb", "unknown")
_STUCK = 0.3  # seconds without a turn of the loop after which Ctrl-C at the prompt stops what blocks it


class Keyboard(Input, Protocol):
    def again(self) -> None:
        """The process was stopped and goes on: show what there was."""


def keyboard(screen: Screen, modes: Modes, names: Names) -> Keyboard:
    """The editor, or the plain prompts on a terminal that can only show text."""
    if os.environ.get("TERM", "") in _PLAIN or not os.isatty(_STDOUT):
        return PlainInput(sys.stdin.fileno(), screen, modes, _write)
    from framework.repl.editor import Editor

    folder = state.folder()
    return Editor(
        screen,
        modes,
        names,
        out=sys.__stdout__ or sys.stdout,
        history=folder / _HISTORY if folder else None,
        stuck=_unstick(asyncio.get_running_loop()),
    )


def _write(text: str) -> None:
    out = sys.__stdout__
    assert out is not None
    out.write(text)
    out.flush()


def _unstick(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Ctrl-C at the prompt stops a background task that blocks the loop."""

    def unstick() -> None:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        if not turned.wait(_STUCK):
            _thread.interrupt_main()

    return lambda: threading.Thread(target=unstick, daemon=True).start()
