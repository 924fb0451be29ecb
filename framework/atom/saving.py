"""Saving and destroying instances. Only fields that differ from what was loaded are written.

The one rule: **memory follows the database.** An instance changes when its row has changed, and changes back if the
transaction of the write is not stored after all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from framework.atom import assignment, graph
from framework.atom.state import State
from framework.errors import Gone
from framework.storage.operations import Delete, Insert, Update
from framework.transactions.transaction import Place


async def save(atom: State, updates: dict[str, Any], conn: Place | None, *, propagate: bool = True) -> None:
    """Insert or update. ``updates`` stay only if that succeeds."""
    model, values = atom._model, atom.__dict__
    if values["_destroyed"]:
        raise Gone(model.name, values[model.key_column])
    accepted = {name: assignment.accepted(atom, name, value) for name, value in model.named(updates).items()}
    if atom._linked:
        await graph.save(atom, accepted, conn, propagate=propagate)
        return
    row = model.encode(values | accepted if accepted else values)
    row["xid"], row["xname"] = values["xid"], values["xname"]
    stored = values["_stored"]
    before = {name: values[name] for name in accepted}
    if stored is None:
        row["instance"] = values["instance"]
        undo = partial(_restore, atom, None, {}, before)
        await atom._session.write([Insert(model.record, row)], conn, undo)
        values["_stored"] = row
    else:
        changes = {name: value for name, value in row.items() if stored[name] != value}
        if changes:
            key = stored[model.key_column]
            undo = partial(_restore, atom, stored, {name: stored[name] for name in changes}, before)
            await atom._session.write([Update(model.record, model.key_column, key, changes)], conn, undo)
            stored.update(changes)
    values.update(accepted)


async def destroy(atom: State, delay_seconds: float, conn: Place | None) -> None:
    """Delete the row, ``delay_seconds`` from now."""
    model, values = atom._model, atom.__dict__
    stored = values["_stored"]
    if stored is None or values["_destroyed"]:
        raise Gone(model.name, values[model.key_column])
    if delay_seconds > 0:
        await atom._session.sleep(delay_seconds)
    if atom._linked:
        await graph.destroy(atom, conn)
        return
    undo = partial(_restore, atom, stored, {}, {})
    delete = Delete(model.record, model.key_column, stored[model.key_column])
    await atom._session.write([delete], conn, undo)
    values["_destroyed"] = True


def _restore(
    atom: State, stored: dict[str, Any] | None, changed: dict[str, Any], before: dict[str, Any]
) -> None:
    """Undo a save that was not stored after all, so that the next save writes it again."""
    if stored is not None:
        stored.update(changed)
    atom.__dict__.update(before, _stored=stored, _destroyed=False)
