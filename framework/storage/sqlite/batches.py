"""Batches of the SQLite engine: group commit for the writer, point look-ups for the reader.

The one rule: **a unit is answered after its COMMIT, by its own outcome.** The transaction begins before any unit has
started, so all units that wait for another program's write wait together and give up together. All waiting units run
in one transaction. If one fails, all are undone and run again, each in its own savepoint, so that the failing one is
undone alone. SQLite can also roll back everything by itself (full disk, I/O error, out of memory). Then each unit
runs again in its own transaction. So a unit must be a pure function of the connection: it may run up to three times,
and only the last run counts.
"""

from __future__ import annotations

import sqlite3
import time

from framework.errors import CannotOpen, Unavailable
from framework.storage.sqlite.errors import is_busy, translate
from framework.storage.sqlite.threads import Unit, Waiting
from framework.storage.sqlite.turns import Turns

# A writer of another process is waited for this long (seconds).
WRITE_WAIT = 10.0
# SQLite itself waits this long for a program that takes no turns. Then we check whether any unit is still wanted.
BUSY_WAIT = 0.1


class _RolledBack(Exception):
    """SQLite ended the whole transaction by itself."""


def read_batch(
    connection: sqlite3.Connection, waiting: Waiting[sqlite3.Connection]
) -> list[Unit[sqlite3.Connection]]:
    """Run each unit by itself. Each sees everything that was committed before it was handed in."""
    batch = waiting.start()
    for unit in batch:
        try:
            unit.result = unit.work(connection)
        except Exception as error:
            unit.error = translate(error)
    return batch


def write_in_turn(
    turns: Turns, connection: sqlite3.Connection, waiting: Waiting[sqlite3.Connection]
) -> list[Unit[sqlite3.Connection]]:
    """Wait for this process's turn and for SQLite, then run those units that are still wanted as one batch."""
    try:
        turns.take()
    except (OSError, CannotOpen) as error:
        batch = waiting.start()
        for unit in batch:
            unit.error = translate(error)
        return batch
    try:
        _begin_while_wanted(turns, connection, waiting)
        batch = waiting.start()
        if batch:
            write_batch(connection, batch)
        else:
            _roll_back(connection)
    finally:
        turns.give()
    return batch


def _begin_while_wanted(
    turns: Turns, connection: sqlite3.Connection, waiting: Waiting[sqlite3.Connection]
) -> None:
    """Begin the transaction, unless no unit is wanted any more.

    Only a program that takes no turns can block it now. Any other error goes to each unit.
    """
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                turns.blocked()
                if waiting.wanted():
                    continue
        else:
            turns.free()
        return


def write_batch(connection: sqlite3.Connection, batch: list[Unit[sqlite3.Connection]]) -> None:
    """Run the units, in a transaction that was begun if that was possible, and commit.

    Afterwards each has its ``result`` or its ``error``.
    """
    if len(batch) > 1 and connection.in_transaction:
        for run in (_run_hopefully, _run_in_savepoints):
            try:
                run(connection, batch)
                return
            except _RolledBack:
                pass
    for unit in batch:
        _run_alone(connection, unit)


def _run_hopefully(connection: sqlite3.Connection, batch: list[Unit[sqlite3.Connection]]) -> None:
    """Run them as if none could fail, because a savepoint costs as much as the unit. A failure undoes all of them,
    and they run again."""
    try:
        for unit in batch:
            unit.result = unit.work(connection)
            if not connection.in_transaction:  # the next units would autocommit and then run again
                raise _RolledBack
        connection.execute("COMMIT")
    except Exception as error:
        _roll_back(connection)
        raise _RolledBack from error


def _run_in_savepoints(connection: sqlite3.Connection, batch: list[Unit[sqlite3.Connection]]) -> None:
    """Run each unit in its own savepoint, so that a failing one is undone alone."""
    execute = connection.execute
    try:
        _begin_until(connection, max(unit.deadline for unit in batch))
    except sqlite3.Error as error:
        if not is_busy(error):
            raise _RolledBack from None  # each unit gets the reason from its own try
        for unit in batch:  # another program was quicker, and all units have waited long enough
            unit.result, unit.error = None, translate(error)
        return
    for unit in batch:
        unit.result = unit.error = None
        try:
            execute("SAVEPOINT unit")
            unit.result = unit.work(connection)
            execute("RELEASE unit")
        except Exception as error:
            unit.error = translate(error)
            if not _undo_unit(connection):
                raise _RolledBack from error
    try:
        execute("COMMIT")
    except sqlite3.Error:
        _roll_back(connection)
        raise _RolledBack from None


def _undo_unit(connection: sqlite3.Connection) -> bool:
    """Undo the failed unit. Return False if the transaction is lost with it."""
    if not connection.in_transaction:
        return False
    try:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    except sqlite3.Error:
        _roll_back(connection)
        return False
    return connection.in_transaction


def _run_alone(connection: sqlite3.Connection, unit: Unit[sqlite3.Connection]) -> None:
    """Run a unit in its own transaction, or in the one that was begun for it."""
    unit.result = unit.error = None
    try:
        if not connection.in_transaction:
            _begin_until(connection, unit.deadline)
        unit.result = unit.work(connection)
        if not connection.in_transaction:
            # The unit has ended the transaction itself, so the next statement would autocommit.
            raise Unavailable("the transaction ended before its commit; nothing is known to be stored")
        connection.execute("COMMIT")
    except Exception as error:
        unit.result, unit.error = None, translate(error)
        _roll_back(connection)


def _begin_until(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has already rolled back
