"""Log records as lines of text for people or of JSON for machines, both on standard error.

The one rule: **a record begins at the beginning of a line, and nothing else does.** Text from a client may be part of
a record, but it can neither end the record nor forge another one. A slow reader of standard error never blocks the
server: a thread writes, and records that do not fit into the buffer are counted and reported.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import select
import sys
import time
from collections.abc import Callable
from typing import TextIO

from framework.observing.outbox import Outbox
from framework.observing.request_id import REQUEST_ID

FLUSH = 2.0  # seconds that a reader of standard error gets at shutdown

# Attributes of every record. Any other attribute was given by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# Characters that move the cursor of a terminal, that some readers take for a line break, or that reverse the reading
# order (the marks of bidirectional text), except tab and newline.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Characters that `json.dumps` leaves as they are. A lone surrogate would fail when the line is written.
_RAW = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_record(text: str) -> str:
    """The text as one record. All lines but the first are indented, and control characters are escaped."""
    if text.isprintable():
        return text
    text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    return text.replace("\n", "\n    ")


def _request_id(record: logging.LogRecord) -> str | None:
    found: str | None = getattr(record, "request_id", None) or REQUEST_ID.get()
    return found


class TextFormatter(logging.Formatter):
    """``12:30:45 WARNING [3f2a91c07be4d856] worker Dispatcher failed ...``: with the request id if there is one."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        id_ = _request_id(record)
        of = f"[{id_}] " if id_ else ""
        text = f"{at} {record.levelname:<7} {of}{super().format(record)}"
        trace = getattr(record, "traceback", None)
        return one_record(f"{text}\n{trace}" if trace else text)


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, and what the record brings.

    A traceback has its own field, ``traceback``, whether the record has it from ``exc_info`` or ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        id_ = _request_id(record)
        if id_:
            line["request_id"] = id_
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        return text if text.isascii() else _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Log(logging.Handler):
    """Formats records where they come from, and has a thread write them to ``stream``, in order."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._write = _writer(stream, "utf-8" if isinstance(formatter, JsonFormatter) else stream.encoding)
        self._outbox: Outbox[str] = Outbox()
        self._reader = self._outbox.reader(self._write_all, name="framework-log", failed=self._failed)
        self._broken = False  # nobody can read it any more

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.write(line)

    def write(self, text: str) -> None:
        """Write a line, in order. It may also come from a script or Python itself that prints to standard error."""
        if self._outbox.read:
            self._outbox.put(text, len(text))
        elif not self._broken:  # in a forked child there is no thread
            self._write(f"{text}\n")

    def _failed(self, error: Exception) -> None:
        self._broken = True

    def later(self, line: str) -> None:
        """Write a complete line. It may wait for the next record, or for ``nudge``."""
        self._outbox.put(line, len(line), lazy=True)

    def nudge(self) -> None:
        """Write what waits."""
        self._outbox.nudge()

    def flush(self) -> None:
        """Wait until everything is written, but only for a while if nobody reads."""
        self._reader.flush(FLUSH)

    def _write_all(self, lines: list[str], missed: int) -> None:
        if missed:
            lines = [self.format(_missed(missed)), *lines]
        self._write("\n".join(lines) + "\n")


def _missed(count: int) -> logging.LogRecord:
    record = logging.LogRecord(
        "framework.logs",
        logging.WARNING,
        "",
        0,
        "%d records are missing here: nobody read the log",
        (count,),
        None,
    )
    record.action, record.dropped = "log_dropped", count
    return record


def _writer(stream: TextIO, encoding: str | None) -> Callable[[str], None]:
    """Writes by the stream's number: a thread that waits in the stream itself at the end of the process would
    hold its lock and break the end."""
    try:
        stream.flush()
        number = stream.fileno()
    except (OSError, ValueError):  # no file: a test's

        def to_stream(text: str) -> None:
            stream.write(text)
            stream.flush()

        return to_stream

    def to_file(text: str) -> None:
        left = text.encode(encoding or "utf-8", "backslashreplace")
        while left:
            try:
                left = left[os.write(number, left) :]
            except BlockingIOError:
                select.select([], [number], [])

    return to_file


def configure(log_format: str) -> Log | None:
    """Send the framework's and uvicorn's records to standard error in this format (``text`` or ``json``).

    None where there is no standard error.
    """
    root = logging.getLogger()
    for old in root.handlers[:]:
        old.flush()
        root.removeHandler(old)
    log = None
    if sys.stderr is not None:
        log = Log(sys.stderr, JsonFormatter() if log_format == "json" else TextFormatter())
        root.addHandler(log)
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return log
