"""The folder of what the user's own sessions leave behind: the history, and the log of a server that was started."""

from __future__ import annotations

import os
from pathlib import Path

from framework.errors import CannotOpen
from framework.process import files


def folder() -> Path | None:
    """``$XDG_STATE_HOME/framework``, else ``~/.local/state/framework``; None where it cannot be.

    Made for its user alone.
    """
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(home, "framework")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_folder(path, files.Access.own())
    except (OSError, CannotOpen):
        return None
    return path if path.is_absolute() and os.access(path, os.W_OK) else None
