"""The database's own clock in SQLite.

All of it runs inside a transaction that the writer began, but for :func:`read`.
"""

from __future__ import annotations

import sqlite3

from framework.storage import age
from framework.storage.age import Age, Reading

Connection = sqlite3.Connection

READ = """
    SELECT boot, base, began, first, lived, wall, owed, owed_since FROM _framework_clock WHERE id = 1"""
_WRITE = """
    INSERT INTO _framework_clock (id, boot, base, began, first, lived, wall, owed, owed_since)
    VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        boot = excluded.boot, base = excluded.base, began = excluded.began, lived = excluded.lived,
        wall = excluded.wall, owed = excluded.owed, owed_since = excluded.owed_since"""


def read(connection: Connection) -> Age | None:
    """The last reading of the clocks."""
    row = connection.execute(READ).fetchone()
    return Age(*row) if row else None


def keep(connection: Connection, now: Reading | None = None) -> Age:
    """Read the clocks, and store the reading."""
    after = age.look(read(connection), now or age.reading())
    values = (after.boot, after.base, after.began, after.first, after.lived, after.wall)
    connection.execute(_WRITE, (*values, after.owed, after.owed_since))
    return after


def lived(connection: Connection) -> float:
    """The time lived, now. The first call after a restart of the machine stores a reading."""
    row = connection.execute("SELECT base FROM _framework_clock WHERE id = 1 AND boot = ?", (age.boot(),))
    found = row.fetchone()
    return float(found[0]) + age.steady() if found else keep(connection).lived
