"""Saving and destroying instances that refer to others, or are referred to.

The one rule: **everything that one call writes is one transaction, and leaves no dangling reference.** Referred
instances are written first. The same transaction checks that they exist, and that nothing refers to a destroyed
instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from framework.atom import references
from framework.atom.memory import Change, Memory, Undo
from framework.atom.relations import Relation
from framework.atom.state import State
from framework.errors import ValidationError
from framework.storage.operations import Delete, Insert, Link, Operation, Require, Unreferred, Update
from framework.transactions.transaction import Place


@dataclass(slots=True)
class _Draft:
    """An instance as it is to be stored, with its references at that time."""

    atom: State
    references: dict[str, Any]
    row: dict[str, Any]
    changes: dict[str, Any]

    @property
    def new(self) -> bool:
        return self.atom.__dict__["_stored"] is None


async def save(atom: State, updates: dict[str, Any], conn: Place | None, *, propagate: bool) -> None:
    """Store an instance and, if the call propagates, every changed instance that it leads to."""
    values = atom.__dict__
    before = {name: values[name] for name in updates}

    def restore() -> None:
        values.update(before)

    values.update(updates)
    try:
        drafts = _drafts(atom, propagate=propagate)
        await _write(atom, [draft for draft in drafts if draft.changes or draft.new], restore, conn)
    except BaseException:
        restore()
        raise
    for draft in drafts:
        _settle(draft)


async def destroy(atom: State, conn: Place | None) -> None:
    """Delete an instance and its references. No other instance may still refer to it."""
    model, values = atom._model, atom.__dict__
    stored = values["_stored"]
    key = stored[model.key_column]

    def restore() -> None:
        values.update(_stored=stored, _destroyed=False)

    delete = Delete(model.record, model.key_column, key)
    checks = [*(Link(links, key, ()) for links in model.links()), *_unreferred(atom, stored, atom._referred)]
    await change(atom, delete, checks, restore, conn)
    values["_destroyed"] = True


async def change(
    atom: State, change: Change, checks: Sequence[Operation], restore: Undo, conn: Place | None
) -> None:
    """Change one row, in the database or in memory."""
    if atom._memory is not None:
        await _together(atom, [(atom._memory, change)], [], restore, conn)
    else:
        await atom._session.write([change, *checks], conn, restore)


# ---- what is to be written ------------------------------------------------------------------


def _drafts(root: State, *, propagate: bool) -> list[_Draft]:
    """Drafts of the instance and of all instances that it leads to, referred ones first."""
    drafts: dict[int, _Draft] = {}
    order: list[_Draft] = []
    waiting: list[tuple[State, bool]] = [(root, False)]
    while waiting:
        atom, done = waiting.pop()
        if done:
            order.append(drafts[id(atom)])
        elif id(atom) not in drafts:
            draft = drafts[id(atom)] = _draft(atom)
            waiting.append((atom, True))
            if propagate:
                waiting += reversed([(each, False) for each in _nested(draft)])
            else:
                _require_saved(draft)
    return order


def _draft(atom: State) -> _Draft:
    model, values = atom._model, atom.__dict__
    accepted = {
        name: references.accept(type(atom), relation, values[name])
        for name, relation in model.relations.items()
    }
    row = model.encode(values)
    row["xid"], row["xname"] = values["xid"], values["xname"]
    for name, relation in model.relations.items():
        if relation.stored:
            _require_living(atom, relation, accepted[name])
            row[name] = references.keys_of(relation, accepted[name])
    stored = values["_stored"]
    if stored is None:
        row["instance"] = values["instance"]
        return _Draft(atom, accepted, row, {})
    return _Draft(atom, accepted, row, {name: value for name, value in row.items() if stored[name] != value})


def _nested(draft: _Draft) -> Iterable[State]:
    for name, relation in draft.atom._model.relations.items():
        if relation.stored:
            yield from references.instances(relation, draft.references[name])


def _require_living(atom: State, relation: Relation, value: Any) -> None:
    """Check that a referred instance has a key and was not destroyed."""
    for each in references.instances(relation, value):
        problem = ""
        if each.__dict__["_destroyed"]:
            problem = f"{each!r} was destroyed"
        elif each.__dict__[relation.column] is None:
            problem = f"{each!r} has no {relation.column}, by which it would be referred to"
        if problem:
            raise ValidationError(type(atom).__name__, relation.name, each, "reference", problem)


def _require_saved(draft: _Draft) -> None:
    atom = draft.atom
    for name, relation in atom._model.relations.items():
        for each in references.instances(relation, draft.references[name]) if relation.stored else ():
            if each.__dict__["_stored"] is None and each is not atom:
                message = f"{each!r} is not saved yet: save it before, or save with propagation"
                raise ValidationError(type(atom).__name__, name, each, "reference", message)


# ---- writing --------------------------------------------------------------------------------


async def _write(root: State, drafts: Sequence[_Draft], restore: Undo, conn: Place | None) -> None:
    """Store the drafts. Once they are stored, their instances know it."""
    if not drafts:
        return
    rows: list[Operation] = []
    checks: list[Operation] = []
    kept: list[tuple[Memory, Change | Require]] = []
    written = {id(draft.atom) for draft in drafts}
    for draft in drafts:
        if draft.atom._memory is not None:
            values = draft.row if draft.new else draft.changes
            kept.append((draft.atom._memory, _change(draft, values)))
        else:
            rows += _operations(draft)
    for draft in drafts:
        for target, check in _checks(draft, written):
            if target._memory is None:
                checks.append(check)
            elif isinstance(check, Require):
                kept.append((target._memory, check))
    undos = [restore, *map(_restoring, drafts)]
    await _together(root, kept, [*rows, *checks], lambda: _all(undos), conn)
    for draft in drafts:
        stored = draft.atom.__dict__["_stored"]
        draft.atom.__dict__["_stored"] = draft.row if stored is None else stored | draft.changes


def _settle(draft: _Draft) -> None:
    """Make the instance hold what was stored, with instances in the place of mappings. A list stays the same list."""
    values = draft.atom.__dict__
    for name, accepted in draft.references.items():
        if isinstance(values[name], list):
            values[name][:] = accepted
        else:
            values[name] = accepted


def _restoring(draft: _Draft) -> Undo:
    values = draft.atom.__dict__
    before = {"_stored": values["_stored"], "_destroyed": False}
    return lambda: values.update(before)


def _all(undos: Sequence[Undo]) -> None:
    for undo in reversed(undos):
        undo()


async def _together(
    root: State,
    kept: Sequence[tuple[Memory, Change | Require]],
    operations: Sequence[Operation],
    restore: Undo,
    conn: Place | None,
) -> None:
    """Change the memory of classes without a table, and the tables: both or neither."""
    undos: list[Undo] = []
    try:
        for memory, change in kept:
            undos.append(memory.run(change))
        await root._session.write(operations, conn, lambda: _all([restore, *undos]))
    except BaseException:
        _all(undos)
        raise


def _operations(draft: _Draft) -> Iterable[Operation]:
    """The operations for the row, and for the links of arrays."""
    model = draft.atom._model
    values = draft.row if draft.new else draft.changes
    arrays = {name: found.links for name, found in model.relations.items() if found.links is not None}
    columns = {name: value for name, value in values.items() if name not in arrays}
    key = draft.row[model.key_column]
    stored = draft.atom.__dict__["_stored"]
    old_key = key if stored is None else stored[model.key_column]
    # A change of links alone rewrites the key, which finds out whether the row still exists.
    yield _change(draft, columns or {model.key_column: key})
    for name, links in arrays.items():
        if key != old_key:
            yield Link(links, old_key, ())
        if draft.row[name] if draft.new else (name in values or key != old_key):
            yield Link(links, key, draft.row[name])


def _change(draft: _Draft, values: dict[str, Any]) -> Change:
    model = draft.atom._model
    stored = draft.atom.__dict__["_stored"]
    if stored is None:
        return Insert(model.record, values)
    return Update(model.record, model.key_column, stored[model.key_column], values)


def _checks(draft: _Draft, written: set[int]) -> Iterable[tuple[type[State], Operation]]:
    """Require that newly referred instances exist, and that nothing refers to a value that is gone.

    Each comes with the class whose rows it checks.
    """
    atom = draft.atom
    cls = type(atom)
    stored: dict[str, Any] = atom.__dict__["_stored"] or {}
    for name, relation in cls._model.relations.items():
        if not relation.stored or (stored and name not in draft.changes):
            continue
        sure = {
            references.key_of(relation, each)
            for each in references.instances(relation, draft.references[name])
            if id(each) in written
        }
        keys = draft.row[name] if relation.many else (draft.row[name],)
        unsure = [key for key in dict.fromkeys(keys) if key is not None and key not in sure]
        if unsure:
            target = cls._classes[relation.target]
            yield target, Require(target._model.record, relation.column, unsure, cls.__name__, name)
    for check in _unreferred(atom, stored, draft.changes.keys() & cls._referred):
        yield cls, check


def _unreferred(atom: State, stored: dict[str, Any], columns: Iterable[str]) -> Iterable[Operation]:
    """Require that nothing refers to a row by its values of these columns."""
    model, wanted = atom._model, set(columns)
    referrers = [(referrer, stored[column]) for column, referrer in atom._referrers if column in wanted]
    if referrers and stored:
        yield Unreferred(model.record, stored[model.key_column], referrers)
