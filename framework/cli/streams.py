"""The standard streams of a command, whatever state its parent has left them in: closed, full, or without a reader.

The one rule: **an exit code says what was done, not what could be printed.** There is a separate exit code for a
command that was done but could not print its result.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

UNPRINTED = 3  # exit code: it was done, and the result could not be printed

_DONE = "framework.done"


class Commands(click.Group):
    """The command line. Its streams are open, and the exit code says if a result could not be printed."""

    def main(self, *args: Any, **options: Any) -> Any:
        keep_open()
        try:
            return super().main(*args, **options)
        except OSError as error:  # for example of a help text
            if not _of_print(error):
                raise
            _end(error)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
        except OSError as error:
            if not _of_print(error):
                raise
            _end(error, done=ctx.meta.get(_DONE, False))
        if sys.stdout is None and ctx.meta.get(_DONE, False):
            _end(OSError(errno.EBADF, "standard output is closed"), done=True)
        return result


def done() -> None:
    """The command has done its work, and only has to print the result."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_DONE] = True  # which a command shares with its group


def keep_open() -> None:
    """Make sure that 0, 1 and 2 are open files, so that no database or socket gets one of these numbers.

    Output to a standard error that cannot be written is lost, and breaks nothing.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
            os.set_inheritable(opened, True)
    before = sys.stderr
    encoding = None if before is None else before.encoding
    if encoding is not None and before is sys.__stderr__:
        stream = io.BufferedWriter(_Forgiving(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(
            stream, encoding=encoding, errors="backslashreplace", line_buffering=True
        )


def read_input() -> str:
    """All of standard input."""
    from framework.cli import options

    if sys.stdin is None:
        options.cannot_run("standard input is closed: there is nothing to read")
    return sys.stdin.read()


class _Forgiving(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _of_print(error: OSError) -> bool:
    """Does it come from printing to standard output?"""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is click.echo.__code__:
            return True
        trace = trace.tb_next
    return False


def _end(error: OSError, *, done: bool = False) -> NoReturn:
    with suppress(OSError):  # Python would write the rest of the buffer at exit, and fail again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    reason = error.strerror or str(error)
    if done:
        text = f"done, but the result could not be printed: {reason}. Look before it is done again"
        click.echo(f"framework: {text}", err=True)
        raise SystemExit(UNPRINTED)
    if error.errno != errno.EPIPE:  # a reader that has read enough needs no message
        click.echo(f"framework: cannot print: {reason}", err=True)
    raise SystemExit(2)
