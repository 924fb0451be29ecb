"""A report of each statement that is sent to the database, with its values and its duration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# The statement as it was sent, its values, and its duration in seconds, including the fetch. It is called in the
# thread that sent it, before the answer is delivered.
Report = Callable[[str, Sequence[Any], float], None]


class Statements:
    """Reports each statement of the storage that was opened with it, while ``report`` is set."""

    def __init__(self) -> None:
        self.report: Report | None = None
