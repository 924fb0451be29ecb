"""The location of an error in the YAML files."""

from __future__ import annotations

import asyncio
import os
import traceback
from types import FrameType, TracebackType
from typing import Any

ENDINGS = (".yaml", ".yml")


def place(error: BaseException) -> str | None:
    """``path:line in function`` of the innermost YAML line of a traceback; None if it has none."""
    return running_at(traceback.extract_tb(error.__traceback__))


def suspended_at(task: asyncio.Task[Any]) -> str | None:
    """``path:line in function`` of the innermost YAML line at which a task waits, or None."""
    found = None
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is not None and frame.f_code.co_filename.endswith(ENDINGS):
            found = f"{shown(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return found


def running_at(stack: traceback.StackSummary) -> str | None:
    """``path:line in function`` of the innermost YAML line of a running stack; None if there is none."""
    found = [frame for frame in stack if frame.filename.endswith(ENDINGS)]
    return f"{shown(found[-1].filename)}:{found[-1].lineno} in {found[-1].name}" if found else None


def text(error: BaseException) -> str:
    """The traceback without the framework's frames above the first frame of the script: the part that a user can act
    on."""
    try:
        lines = traceback.format_exception(type(error), error, _from_script(error.__traceback__))
    except BaseException:  # an error whose text cannot be made
        lines = [summary(error)]
    return storable("".join(lines).rstrip())


def of_script(error: BaseException, place: tuple[str, int] | None = None) -> str:
    """The traceback with only the frames of definitions, for an error that says what the framework refused. ``place``
    is the file and line of a frame that has already ended.
    """
    told = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in told.stack if frame.filename.endswith(ENDINGS)]
    if not frames and place is not None:
        frames = [traceback.FrameSummary(*place, "script")]
    told.stack = traceback.StackSummary.from_list(frames)
    return storable("".join(told.format(chain=False)).rstrip())


def summary(error: BaseException) -> str:
    """The error on one line: its type and its text."""
    return f"{type(error).__name__}: {message(error)}"


def message(error: BaseException) -> str:
    """The error's own text, or a substitute if it cannot make one."""
    try:
        return storable(str(error))
    except BaseException as second:
        return f"<its text cannot be made: {type(second).__name__}>"


def storable(text: str) -> str:
    """The text with lone surrogates escaped, because UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()


def shown(path: str) -> str:
    """A path relative to the current folder where it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def script_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames of definitions in a traceback, the outermost first, each with its last instruction."""
    found = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(ENDINGS):
            found.append((trace.tb_frame, trace.tb_lasti))
        trace = trace.tb_next
    return found


def _from_script(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while first is not None and not first.tb_frame.f_code.co_filename.endswith(ENDINGS):
        first = first.tb_next
    return first or trace
