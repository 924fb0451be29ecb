"""What is sent to the database, for who wants to see it: each statement, its values, and its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# The statement as it was sent, its values, and how long it took, fetching included, in seconds. Called in the
# thread that sent it, before anybody gets the answer.
Report = Callable[[str, Sequence[Any], float], None]


class Statements:
    """Reports each statement of the storage that was opened with it, while ``report`` is set."""

    def __init__(self) -> None:
        self.report: Report | None = None
