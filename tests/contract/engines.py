"""The storage engines that the contract is tested with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, and how a test gets a database of it. An engine has what is its alone in a folder of its name."""

    name: str

    def url(self, folder: Path) -> str:
        """The URL of a database that is new with this folder, and the same one each time."""
        return f"{self.name}:///{folder}/contract.db"


# An engine enters the suite here.
ENGINES = [Engine("sqlite")]
