"""Verbs that may change a million items: in portions, with progress on a terminal, and they can be broken off.

The one rule: **a portion and its part of the record are one transaction**; what was broken off goes on with the
same command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from framework.cli import verbs

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import Operation

_STOPPED = 130


class Progress:
    """How many of how many; a bar on standard error, if that is a terminal and it is worth it."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.done = 0
        self._bar: Any = None

    def of(self, total: int) -> AbstractContextManager[object]:
        """For the time of the work."""
        if total < 2 or not sys.stderr.isatty():
            return nullcontext()
        self._bar = click.progressbar(
            length=total, label=self.label, file=sys.stderr, show_pos=True, show_percent=True
        )
        bar: AbstractContextManager[object] = self._bar
        return bar

    def more(self, number: int) -> None:
        """So many more are done."""
        self.done += number
        if self._bar is not None:
            self._bar.update(number)


async def change(
    storage: Storage,
    progress: Progress,
    total: int,
    operation: Callable[[int], Operation],
    record: tuple[str, str, dict[str, Any]],
    *,
    count: Callable[[Any], int] = int,
) -> int:
    """Run ``operation(limit)`` until it changes fewer than its limit; how many it changed in all.

    ``record`` is the verb, the FIFO and the arguments, as the record of operators has them; ``count`` says how
    many of the answer were changed.
    """
    from framework.access import audit
    from framework.storage.operations import AuditMore
    from framework.storage.portions import in_portions

    verb, fifo, arguments = record
    number: int | None = None

    async def portion(limit: int) -> int:
        nonlocal number
        async with verbs.transaction(storage) as transaction:
            [answer] = await transaction.write([operation(limit)])
            changed = count(answer)
            if number is None:
                [number] = await transaction.write([audit.entry(verb, fifo, affected=changed, **arguments)])
            elif changed:
                await transaction.write([AuditMore(number, changed)])
        return changed

    with progress.of(total):
        return await in_portions(portion, progress.more)


def broken_off(progress: Progress) -> SystemExit:
    """Ctrl-C in the middle: what was done stays done."""
    click.echo(
        f"\nframework: broken off after {progress.done:,}; they stay done, and the same command goes on",
        err=True,
    )
    return SystemExit(_STOPPED)
