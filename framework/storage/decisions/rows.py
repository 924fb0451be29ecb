"""Rows: stored, changed and deleted, and the references between them."""

from __future__ import annotations

from framework.errors import Changed, Gone, StillReferred, ValidationError
from framework.storage.decisions import steps
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision
from framework.storage.operations import (
    OWNER,
    Delete,
    Execute,
    Executed,
    Insert,
    Link,
    Require,
    Unreferred,
    Update,
)


def execute(op: Execute, _: Process) -> Decision[Executed]:
    """See ``Execute``."""
    executed: Executed = yield steps.EXECUTE, (op.statement,)
    return executed


def insert(op: Insert, _: Process) -> Decision[None]:
    """See ``Insert``."""
    yield steps.INSERT_ROW, (op.table, op.values)


def update(op: Update, _: Process) -> Decision[None]:
    """See ``Update``."""
    if not (yield steps.UPDATE_ROW, (op.table, op.key_column, op.key, op.values, op.expected)):
        yield from _missed(op)


def delete(op: Delete, _: Process) -> Decision[None]:
    """See ``Delete``."""
    if not (yield steps.DELETE_ROW, (op.table, op.key_column, op.key, op.expected)):
        yield from _missed(op)


def _missed(op: Update | Delete) -> Decision[None]:
    """Raise why nothing was touched: ``Gone``, or ``Changed`` if the row is not as it was expected."""
    if op.expected:
        row = yield steps.ROW_BY_KEY, (op.table, op.key_column, op.key)
        if row is not None:
            raise Changed(op.table.name, op.key, {name: row[name] for name in op.expected})
    raise Gone(op.table.name, op.key)


# ---- references -------------------------------------------------------------------------------


def link(op: Link, _: Process) -> Decision[None]:
    """See ``Link``."""
    yield steps.DELETE_ROW, (op.table, OWNER, op.owner, {})
    if op.targets:
        yield steps.INSERT_LINKS, (op.table, op.owner, op.targets)


def require(op: Require, _: Process) -> Decision[None]:
    """See ``Require``."""
    for value in op.values:
        if (yield steps.FIRST, (op.table, op.column, op.column, value)) is None:
            message = f"there is no {op.table.name} {value!r} to refer to"
            raise ValidationError(op.class_name, op.field, value, "reference", message)


def unreferred(op: Unreferred, _: Process) -> Decision[None]:
    """See ``Unreferred``."""
    for referrer, value in op.referrers:
        found = yield steps.FIRST, (referrer.table, referrer.owner, referrer.column, value)
        if found is not None:
            raise StillReferred(op.table.name, op.key, referrer.field, found[0])
