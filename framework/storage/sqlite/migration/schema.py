"""The changes that a start makes to a SQLite database. It adds, and never alters or drops a value.

It creates what is missing: a table, an index, or a column for which old rows have a value (null or a constant
default). Any other difference stops the start, which lists all differences.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from sqlalchemy import Dialect, Table

from framework.errors import CannotOpen
from framework.storage.changes import Change
from framework.storage.content import rows_of
from framework.storage.sqlite.migration.apply import Applying
from framework.storage.sqlite.migration.plan import plan


def ensure(connection: sqlite3.Connection, dialect: Dialect, tables: Sequence[Table]) -> None:
    """Bring the database up to ``tables``, inside the caller's transaction.

    Raises ``CannotOpen``, which lists every difference that could lose data. Then nothing was changed.
    """
    found = plan(connection, dialect, tables)
    if found.waiting:
        ours = any(rows_of(table) is not None for table in tables)
        raise CannotOpen(stopped(found.waiting, ours=ours))
    Applying(connection, dialect).apply(found, cause="start")


def stopped(changes: Iterable[Change], *, ours: bool) -> str:
    """Why a start stops, and how to go on."""
    listed = "\n".join(f"  {change.sign} {change.what}: {change.text}" for change in changes)
    if not ours:
        return (
            f"the framework's own tables are of another version:\n{listed}\nUse the version that they are of."
        )
    return (
        "the tables do not fit the definitions, and a start changes nothing that could lose data:\n"
        f"{listed}\n"
        "`framework migrate DIR` shows what would be done, and --apply does it; or restore the definition."
    )
