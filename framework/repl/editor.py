"""The prompt on a capable terminal: history, completion, colours, and inputs of several lines.

The one rule: **the text is taken as it was typed or pasted.** Enter adds a line or ends the input, and never indents.
It is built on prompt_toolkit, which runs in the reading thread on its own loop.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import create_output

from framework.errors import CannotOpen
from framework.process import files
from framework.repl.completion import Names
from framework.repl.screen import Screen
from framework.repl.statement import whole
from framework.repl.terminal import FIRST, NEXT, Modes


class Editor:
    """Reads inputs with an editor. ``read`` runs in a thread. The other methods may be called from any thread."""

    def __init__(
        self,
        screen: Screen,
        modes: Modes,
        names: Names,
        *,
        out: TextIO,
        history: Path | None,
        stuck: Callable[[], None],
    ) -> None:
        self._screen = screen
        self._modes = modes
        self._app: Application[str] | None = None
        self._session: PromptSession[str] = PromptSession(
            FIRST,
            multiline=True,
            prompt_continuation=_continuation,
            lexer=PygmentsLexer.from_filename("input.py"),
            history=_history(history),
            completer=_Completer(names),
            complete_while_typing=False,
            key_bindings=_keys(stuck),
            input_processors=[TabsProcessor()],
            enable_suspend=True,
            output=create_output(out),
        )

    def read(self) -> str:
        """The next input. ``EOFError`` at Ctrl-D or the terminal's end, ``KeyboardInterrupt`` at Ctrl-C."""
        try:
            return self._session.prompt(pre_run=self._shown, handle_sigint=False)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise EOFError from None  # the terminal is gone and cannot be restored
        finally:
            self._app = None
            self._modes.quiet()
            self._screen.prompted()

    def _shown(self) -> None:
        """The editor runs, and shows its prompt next."""
        self._app = self._session.app
        self._app.layout.focus(DEFAULT_BUFFER)  # Ctrl-C may have come as a signal during a search
        self._screen.prompting(self)

    def interrupt(self) -> None:
        """Ctrl-C as a signal: discard what is typed."""
        self._exit(KeyboardInterrupt())

    def forget(self) -> None:
        """What was typed ahead of a statement that was stopped is not run."""
        clear_typeahead(self._session.input)

    def close(self) -> None:
        """End a ``read``."""
        self._exit(EOFError())

    def again(self) -> None:
        """The process continues after a stop (SIGCONT)."""
        self._call(Application.invalidate)

    def above(self, write: Callable[[], None]) -> None:
        """See ``Prompt``."""

        def write_above(app: Application[str]) -> None:
            run_in_terminal(write)

        self._call(write_above)

    def _exit(self, error: BaseException) -> None:
        def end(app: Application[str]) -> None:
            if app.future is not None and not app.future.done():  # it may have ended meanwhile
                app.exit(exception=error)

        self._call(end)

    def _call(self, action: Callable[[Application[str]], None]) -> None:
        """Call it on the editor's own loop, if that runs. Otherwise the end of ``read`` does it."""
        app = self._app
        loop = app.loop if app is not None else None
        if app is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(lambda: action(app))


class _Completer(Completer):
    def __init__(self, names: Names) -> None:
        self._names = names

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        begun, found = self._names.completions(document.text_before_cursor)
        for name in found:
            yield Completion(name, start_position=-len(begun))


def _continuation(width: int, line_number: int, is_soft_wrap: int) -> str:
    return " " * len(NEXT) if is_soft_wrap else NEXT


def _history(path: Path | None) -> History:
    """The history in a file that only the user may read. Without a file it is forgotten at the end."""
    if path is None:
        return InMemoryHistory()
    try:
        number = files.open_beside(path, files.Access.own())
        os.fchmod(number, 0o600)
        os.close(number)
    except (OSError, CannotOpen):
        return InMemoryHistory()
    return _BlockHistory(str(path))


class _BlockHistory(FileHistory):
    """Store a block without the empty line that ended it. A failure to write is ignored."""

    def append_string(self, string: str) -> None:
        if string.strip():
            super().append_string(string.rstrip("\n"))

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def _keys(stuck: Callable[[], None]) -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)  # but not in the search field, which has its own keys

    @keys.add("enter", filter=typing)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.on_last_line and whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("tab", filter=typing)
    def tab(event: KeyPressEvent) -> None:
        """Insert a tab at the beginning of a line. Complete elsewhere."""
        buffer = event.current_buffer
        if not buffer.document.current_line_before_cursor.strip():
            buffer.insert_text("\t")
        elif buffer.complete_state:
            buffer.complete_next()
        else:
            buffer.start_completion(insert_common_part=True)

    @keys.add(Keys.BracketedPaste, filter=typing)
    def paste(event: KeyPressEvent) -> None:
        """Insert it as if it had been typed. A newline at its end is Enter."""
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        event.current_buffer.insert_text(text.removesuffix("\n"))
        if text.endswith("\n"):
            enter(event)

    @keys.add("c-c", filter=typing)
    def clear(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")
        stuck()

    return keys
