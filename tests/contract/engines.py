"""The storage engines that the contract is tested with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, and how a test gets a database of it. An engine has what is its alone in a folder of its name.

    ``disown`` breaks, for real, what those hang on who have a database of this URL open: they lose what they hold.
    """

    name: str
    disown: Callable[[str], None]

    def url(self, folder: Path) -> str:
        """The URL of a database that is new with this folder, and the same one each time."""
        return f"{self.name}:///{folder}/contract.db"


def _replace_by_copy(url: str) -> None:
    """Whoever opens the file from now on knows nothing of those who have the old one open."""
    file = url.partition(":///")[2]
    shutil.copyfile(file, f"{file}.copy")
    os.replace(f"{file}.copy", file)


# An engine enters the suite here.
ENGINES = [Engine("sqlite", _replace_by_copy)]
