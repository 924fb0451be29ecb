"""A person at a terminal: types into ``framework repl`` at a pseudo-terminal, and reads what it shows."""

from __future__ import annotations

import codecs
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pexpect
import pyte

from tests.acceptance.server import COMMAND, environment, until

COLUMNS, LINES = 240, 70  # so wide and high that nothing wraps and nothing scrolls away


class _Screen(pyte.Screen):
    """Answers when it is asked where the cursor is, as terminals do."""

    answer: Callable[[str], None]

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Terminal:
    """``framework repl ARGUMENTS`` at a terminal of its own. ``close`` ends it whatever state it is in."""

    def __init__(
        self, *arguments: object, cwd: Path, term: str = "xterm", env: Mapping[str, str] | None = None
    ) -> None:
        self.term = term
        self.folder = cwd
        state = {"TERM": term, "XDG_STATE_HOME": str(cwd / "state")}
        self.process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], "repl", *map(str, arguments)],
            cwd=str(cwd),
            env=environment({**state, **(env or {})}),
            dimensions=(LINES, COLUMNS),
            timeout=30,
            echo=True,
        )
        self.process.delaybeforesend = None
        self.raw = ""
        self._screen = _Screen(COLUMNS, LINES)
        self._screen.answer = self.send
        self._stream = pyte.Stream(self._screen)
        self._shown: list[str] | None = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """By the terminal's number: pexpect's own would wait for the process, as other threads do."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while True:
            try:
                read = os.read(self.process.child_fd, 65536)
            except OSError:
                return
            if not read:
                return
            found = decode(read)
            with self._lock:
                self.raw += found
                self._stream.feed(found)
                self._shown = None

    # ---- typing -----------------------------------------------------------------------------

    def send(self, text: str) -> None:
        os.write(self.process.child_fd, text.encode())

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(text + "\r")

    def paste(self, text: str) -> None:
        """What a terminal sends for a paste when it was asked to say that it is one."""
        self.send(f"\x1b[200~{text}\x1b[201~")

    def run(self, *lines: str) -> list[str]:
        """Type these lines, each at its prompt, and wait for the next prompt; what was shown in between."""
        self.prompt()
        return self.finish(*lines)

    def finish(self, *lines: str) -> list[str]:
        """The same, where something is typed already."""
        prompts = self._prompts()
        for line in lines[:-1]:
            self.line(line)
            prompts += 1
            until(lambda wanted=prompts: self._prompts() >= wanted, what=self.text)
        self.line(lines[-1])
        until(lambda: self._prompts() > prompts and self.at_prompt(), what=self.text)
        return self.output()

    def output(self) -> list[str]:
        """What stands between the last line that was typed and the prompt."""
        shown = self.lines()[:-1]
        typed = [n for n, line in enumerate(shown) if line.startswith((">>> ", "... ")) or line == "..."]
        return shown[typed[-1] + 1 :] if typed else shown

    def _prompts(self) -> int:
        return sum(line.startswith((">>>", "...")) for line in self.lines())

    def prompt(self) -> Terminal:
        """Wait for the prompt."""
        until(self.at_prompt, 40.0, what=self.text)
        return self

    def interrupt(self) -> None:
        """Press Ctrl-C until it is seen: one that comes while the editor leaves is taken as a letter.

        The next one waits long: one too many would come to the prompt, among what is typed there.
        """
        deadline = time.monotonic() + 30
        pressed = float("-inf")
        while "KeyboardInterrupt" not in self.text():
            assert time.monotonic() < deadline, self.text()
            if time.monotonic() - pressed > 5:
                self.send("\x03")
                pressed = time.monotonic()
            time.sleep(0.02)

    def clear(self) -> None:
        """An empty screen, but for the prompt."""
        with self._lock:
            for row in range(self._screen.cursor.y):
                for column in range(COLUMNS):
                    self._screen.buffer[row].pop(column, None)
            self._shown = None

    # ---- reading ----------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """What stands on the screen, without what is empty at the ends."""
        with self._lock:
            if self._shown is None:
                self._shown = [line.rstrip() for line in self._screen.display]
                while self._shown and not self._shown[-1]:
                    self._shown.pop()
            return list(self._shown)

    def text(self) -> str:
        return "\n".join(self.lines())

    def at_prompt(self) -> bool:
        """Does an empty prompt wait at the end?"""
        return self.text().endswith("\n>>>")

    def see(self, wanted: str, timeout: float = 30.0) -> None:
        """Wait until this text is shown."""
        until(lambda: wanted in self.text(), timeout, what=lambda: f"{wanted!r} in\n{self.text()}")

    def since(self, wanted: str) -> list[str]:
        """The lines from the first one that is ``wanted`` on."""
        lines = self.lines()
        return lines[lines.index(wanted) :]

    # ---- life -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code, once it has ended."""
        until(lambda: not self.process.isalive(), timeout, what=self.text)
        self._reader.join(5)
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)

    def child(self) -> int:
        """The server that it has started, by its process id."""
        found: list[int] = []
        until(lambda: bool(found.extend(children(self.pid)) or found), what=self.text)
        return found[0]

    def close(self) -> None:
        if self.process.isalive():
            os.kill(self.pid, signal.SIGCONT)
            self.process.kill(signal.SIGKILL)
        self._reader.join(5)
        self.process.close(force=True)


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
