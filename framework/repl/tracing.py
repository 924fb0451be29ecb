"""``traceon()`` and ``traceoff()``: show each statement that this process sends to the database, with its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from framework.storage.statements import Statements

_LONGEST = 60  # characters of a value


class Tracing:
    """Shows the statements of this process only, not those of the server."""

    def __init__(
        self, statements: Statements, write: Callable[[str], None], show: Callable[[str], None]
    ) -> None:
        self._statements = statements
        self._write = write
        self._show = show

    @property
    def running(self) -> bool:
        return self._statements.report is not None

    def on(self) -> None:
        """Show each statement from now on: its time, its text and its values (binary ones by their size)."""
        self._statements.report = self._report
        self._write("tracing: each statement to the database from here is shown; traceoff() ends it")

    def off(self) -> None:
        """Stop showing statements."""
        self._statements.report = None
        self._write("not tracing any more")

    def close(self) -> None:
        """End it without a word."""
        self._statements.report = None

    def _report(self, sql: str, values: Sequence[Any], seconds: float) -> None:
        shown = f"  [{', '.join(map(_value, values))}]" if values else ""
        self._show(f"{seconds * 1000:8.2f} ms  {' '.join(sql.split())}{shown}")


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"  # for example hashes of tokens
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
