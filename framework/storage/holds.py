"""A process may lose its holds in the database while it runs. Then work under them must end before another begins.

with Hold(storage.disowned):
    ...                          # cancelled when the hold is lost; ends with ``ClaimLost``
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from framework.errors import ClaimLost


class Hold:
    """Work of the current task under a claim or a lock of its process, from now until ``leave``."""

    __slots__ = ("_disowned", "_task", "lost")

    def __init__(self, disowned: asyncio.Future[str]) -> None:
        self.lost: ClaimLost | None = None
        self._disowned = disowned
        self._task = asyncio.current_task()
        disowned.add_done_callback(self._lose)

    def leave(self, error: BaseException | None) -> ClaimLost | None:
        """Note that the work has ended with this error. Return the error to raise instead, if the loss cancelled
        it."""
        self._disowned.remove_done_callback(self._lose)
        task, self._task = self._task, None
        if self.lost is None or task is None:
            return None
        # Take our own cancellation back, as asyncio.timeout does: the task itself is to go on.
        return self.lost if task.uncancel() == 0 and isinstance(error, asyncio.CancelledError) else None

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost = self.leave(error)
        if lost is not None:
            raise lost from error

    def _lose(self, disowned: asyncio.Future[str]) -> None:
        if self._task is not None and not disowned.cancelled():
            why = disowned.result()
            self.lost = ClaimLost(
                f"this process has lost what it held in the database, and another may go on with it: {why}"
            )
            self._task.cancel()
