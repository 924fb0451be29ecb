"""Processes of earlier versions, which kept their locks in files in the folder beside the database.

They do not see our locks, and we would treat their items in work as those of a dead owner. The rule: **processes of
both kinds never work on one database at once.** The second one is refused. This version checks the files of the
earlier one. The earlier one is stopped by a trigger when it asks for its process number, without which nothing is
delivered.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from framework.errors import CannotOpen
from framework.process import files

# Their processes are registered without a version of the locks.
LOCKS = 2
TRIGGER = """CREATE TRIGGER _framework_process_locks BEFORE INSERT ON _framework_process WHEN new.locks IS NULL BEGIN
        SELECT raise(ABORT, 'a newer version of the framework works with this database: stop this one'); END"""

_FILES = ("user-*.lock", "process-*.lock")
_SIGNATURE = 128  # bytes: their process number and host


def require_none(folder: Path, access: files.Access) -> None:
    """Raises ``CannotOpen`` while one of them has the database open. Remains of dead ones are removed."""
    if found := sorted(set(_running(folder, access))):
        raise CannotOpen(
            f"an earlier version of the framework has the database open ({', '.join(found)}), and neither would see "
            "what the other has in work: stop it, then start again"
        )


def _running(folder: Path, access: files.Access) -> Iterator[str]:
    if not folder.is_dir():
        return
    for path in (found for pattern in _FILES for found in folder.glob(pattern)):
        try:
            number = files.open_beside(path, access, make=False)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, host = os.pread(number, _SIGNATURE, 0).decode(errors="replace").strip().partition(" ")
            if pid:  # the file of a process's number tells nothing, and its user's file is there as well
                yield f"process {pid} on {host}"
        else:
            with suppress(OSError):
                path.unlink()
        finally:
            os.close(number)
