"""The event loop of the server, which keeps running whatever scripts raise.

The rule: **an exception of a script never ends the loop.** asyncio and uvloop let ``SystemExit`` and
``KeyboardInterrupt`` of a task or callback leave the loop. The task keeps it as its exception for its awaiter. So the
loop is simply run again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

from framework.observing import trace

logger = logging.getLogger("framework.eventloop")

T = TypeVar("T")


Left = Callable[[asyncio.AbstractEventLoop], None]


def _nothing(loop: asyncio.AbstractEventLoop) -> None:
    """Ignore that the loop was left."""


def run(
    main: Coroutine[Any, Any, T],
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
    *,
    left: Left = _nothing,
) -> T:
    """Run a coroutine to its end on its own loop. Return its result, or raise its exception.

    ``left`` is called after an exception has left the loop, and before the loop runs again and takes the signals
    anew.
    """
    runner = asyncio.Runner(loop_factory=loop)
    try:
        return run_to_its_end(runner.get_loop(), main, left)
    finally:
        try:
            runner.close()
        except (SystemExit, KeyboardInterrupt) as error:  # of a task that was just cancelled
            _report(error)


def run_to_its_end(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T], left: Left = _nothing) -> T:
    """Like ``run``, but on this loop, which stays open."""
    task = loop.create_task(main)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            if _is_of_a_terminal(error):
                raise
            if not task.done():
                _report(error)
            else:
                _take_a_stop(loop)
        else:
            if not task.done():
                logger.error("a script has stopped the event loop; it goes on", extra={"action": "loop_left"})
        left(loop)
    return task.result()


def _take_a_stop(loop: asyncio.AbstractEventLoop) -> None:
    """The exception of the task itself has left the loop before its stop. The code that closes the loop must not see
    it."""
    for _ in range(2):
        with suppress(RuntimeError):
            loop.run_until_complete(asyncio.sleep(0))


def _is_of_a_terminal(error: BaseException) -> bool:
    """Ctrl-C arrives as an exception only if Python itself handles it."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(error, KeyboardInterrupt) and handler is signal.default_int_handler


def _report(error: BaseException) -> None:
    place = trace.place(error)
    logger.error(
        "%s was raised in a task or callback of a script%s; the server goes on\n%s",
        type(error).__name__,
        f" at {place}" if place else "",
        trace.text(error),
        extra={"action": "loop_left"},
    )
