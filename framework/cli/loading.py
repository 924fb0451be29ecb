"""How ``check`` and ``serve`` load definitions: one way for both, so that they never disagree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from framework.cli import options

if TYPE_CHECKING:
    from framework.definitions import Checked


def load(
    folder: str, host: str, port: int, cannot_run: Callable[[str], NoReturn] = options.cannot_run
) -> Checked:
    """The checked definitions."""
    from framework.definitions import CannotRun, check

    try:
        return check(folder, host=host, port=port)
    except CannotRun as error:
        hint = ""
        if folder == options.DEFAULT_FOLDER:
            hint = ". Name the folder with your definitions, or change to the one that holds it"
        cannot_run(f"{error}{hint}")
