"""What the database itself does for each row, so that no operation can forget it: it keeps the length of a FIFO."""

from __future__ import annotations

import sqlite3

from framework.storage.sqlite import earlier

Connection = sqlite3.Connection

_TRIGGERS = {
    "_framework_item_put": """CREATE TRIGGER _framework_item_put AFTER INSERT ON _framework_item BEGIN
        UPDATE _framework_fifo SET length = length + 1, idle_since = NULL WHERE id = new.fifo; END""",
    "_framework_item_gone": """CREATE TRIGGER _framework_item_gone AFTER DELETE ON _framework_item BEGIN
        UPDATE _framework_fifo SET length = length - 1 WHERE id = old.fifo; END""",
    "_framework_process_locks": earlier.TRIGGER,
}


def missing_triggers(connection: Connection) -> dict[str, str]:
    """The missing or outdated triggers by name, with the SQL that makes them."""
    there = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    return {name: sql for name, sql in _TRIGGERS.items() if there.get(name) != sql}


def make_triggers(connection: Connection) -> None:
    """Make missing triggers. One of an older version is made anew."""
    for name, sql in missing_triggers(connection).items():
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        connection.execute(sql)
