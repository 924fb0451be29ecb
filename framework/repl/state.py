"""The folder for the state of the user's sessions: the history, and the log of a started server."""

from __future__ import annotations

import os
from pathlib import Path

from framework.errors import CannotOpen
from framework.process import files


def folder() -> Path | None:
    """``$XDG_STATE_HOME/framework``, or ``~/.local/state/framework``, or None if neither is possible.

    Only the user may read it.
    """
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(home, "framework")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_folder(path, files.Access.own())
    except (OSError, CannotOpen):
        return None
    return path if path.is_absolute() and os.access(path, os.W_OK) else None
