"""``framework debug``: show what scripts print, as they print it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

from framework.cli import options, output

if TYPE_CHECKING:
    from framework.script.debug import Message, Missed

# Characters that must not reach a terminal in UTF-8: the C1 control characters and lone surrogates.
_ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")


@click.command(short_help="Show what scripts print, as they print it.")
@options.database
@options.output_format("The texts alone, or one JSON object per line: time, node, worker, text.")
def debug(database: str, format_: str) -> None:
    """Show what workers, routing scripts and modules `qprint`, as they print it, until Ctrl-C.

    \b
    framework debug
    framework debug --format json | jq -r 'select(.worker == "Dispatcher") | .text'

    The command hears every process on the database, even one that starts later or
    again. No process waits for it. If it does not keep up, the oldest texts are
    dropped, and a line says how many.
    """
    show = _as_json() if format_ == "json" else _as_text()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # asyncio's own handler would wait for a write to a stalled reader
    try:
        options.run(_follow(database, show))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    except OSError as error:  # for example a full disk behind the output
        options.cannot_run(f"what is printed cannot be written any more: {error.strerror or error}")


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt


async def _follow(database: str, show: Callable[[Message | Missed], None]) -> None:
    from framework.script.debug import follow
    from framework.storage import open_storage

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    gone = False

    def end() -> None:
        nonlocal gone
        gone = True
        if task is not None:
            task.cancel()

    def nobody_reads() -> None:
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(end)

    async with open_storage(database, create=False) as storage:
        try:
            async with follow(storage) as messages:
                output.when_nobody_reads(nobody_reads)
                click.echo(f"framework: listening to what is printed on {database}; Ctrl-C ends", err=True)
                async for message in messages:
                    show(message)
        except asyncio.CancelledError:
            if not gone:
                raise


def _as_text() -> Callable[[Message | Missed], None]:
    write = output.to_stdout()
    return lambda message: write(message.text)


def _as_json() -> Callable[[Message | Missed], None]:
    write = output.to_stdout_as_it_is()
    return lambda message: write(_line(message))


def _line(message: Message | Missed) -> str:
    from framework.script.debug import Message

    at, worker, more = time.time(), "", {}
    if isinstance(message, Message):
        at, worker = message.time, message.worker
    else:
        more = {"missed": message.count}
    shown_at = options.shown_time(at, "milliseconds")
    line = {"time": shown_at, "node": message.node, "worker": worker, "text": message.text, **more}
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(line, ensure_ascii=False))
