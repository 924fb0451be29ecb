"""Tracebacks of inputs: they begin and end at the user's own lines, with their source.

The one rule: **show only frames of the user.** These are inputs, scripts of the definitions, and the user's modules,
but not those of Python, the framework or installed packages.
"""

from __future__ import annotations

import linecache
import os
import site
import sysconfig
import traceback
from collections.abc import Callable

from framework.repl.statement import is_input

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = tuple(
    os.path.join(path, "")
    for path in (*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), *site.getsitepackages())
)


def text(error: BaseException) -> str:
    """The error as Python shows it, with the user's lines, without a final newline."""
    try:
        shown = traceback.TracebackException.from_exception(error, capture_locals=False)
        _trim(shown, set())
        _add_source(shown, error)
        return "".join(shown.format()).rstrip("\n")
    except Exception as second:  # an error whose text cannot be made
        return f"{type(error).__name__}: <its text cannot be made: {type(second).__name__}>"


def _add_source(shown: traceback.TracebackException, error: BaseException) -> None:
    """Python finds some mistakes, such as `return` outside a function, too late to know their line."""
    if isinstance(error, SyntaxError) and error.text is None and error.lineno and error.filename:
        source = linecache.getline(error.filename, error.lineno)
        if source:
            shown.text = source


def line(error: BaseException, name: str) -> int | None:
    """The line of the input ``name`` whose statement failed."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return lines[0] if lines else None


def _trim(shown: traceback.TracebackException, seen: set[int]) -> None:
    seen.add(id(shown))
    shown.stack[:] = [frame for frame in shown.stack if _is_users(frame.filename)]
    for group in getattr(shown, "exceptions", None) or ():
        _trim(group, seen)
    for chained in (shown.__cause__, shown.__context__):
        if chained is not None and id(chained) not in seen:
            _trim(chained, seen)
    # The message of this error tells what happened inside before it was raised.
    if _inside(shown.__cause__):
        shown.__cause__ = None
    if _inside(shown.__context__):
        shown.__context__ = None


def _inside(chained: traceback.TracebackException | None) -> bool:
    return chained is not None and not chained.stack


def _is_users(filename: str) -> bool:
    tests: tuple[Callable[[str], bool], ...] = (is_input, lambda name: name.endswith((".yaml", ".yml")))
    if any(test(filename) for test in tests):
        return True
    if filename.startswith("<"):
        return False
    path = os.path.abspath(filename)
    return not path.startswith((_OURS, *_INSTALLED))
