"""What a process knows of itself when it decides. Made by the engine, one for each open storage."""

from __future__ import annotations

from framework.storage.decisions.suspects import Suspects


class Process:
    """The number that it claims items and requests by, and what it remembers beside the database."""

    def __init__(self) -> None:
        self.number: int | None = None  # once it is registered
        self.drains_before = 0  # the last drain when the database was opened
        self.suspects = Suspects()
