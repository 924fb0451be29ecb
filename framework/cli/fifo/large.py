"""Verbs that may change a million items. They work in portions, show progress on a terminal, and can be interrupted.

The one rule: **a portion and its part of the audit record are one transaction.** The same command continues after an
interruption.
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
    """The progress: a bar on standard error, if that is a terminal and there is enough to do."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.done = 0
        self._bar: Any = None

    def of(self, total: int) -> AbstractContextManager[object]:
        """Show it for the duration of the work."""
        if total < 2 or not sys.stderr.isatty():
            return nullcontext()
        self._bar = click.progressbar(
            length=total, label=self.label, file=sys.stderr, show_pos=True, show_percent=True
        )
        bar: AbstractContextManager[object] = self._bar
        return bar

    def more(self, number: int) -> None:
        """Note that so many more are done."""
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
    """Run ``operation(limit)`` until it changes fewer than its limit. Return how many it changed in all.

    ``record`` is the verb, the FIFO and the arguments for the audit record. ``count`` says how many an answer
    changed.
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
    """Ctrl-C in the middle: finished portions stay."""
    click.echo(
        f"\nframework: broken off after {progress.done:,}; they stay done, and the same command goes on",
        err=True,
    )
    return SystemExit(_STOPPED)
