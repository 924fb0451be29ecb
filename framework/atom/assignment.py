"""How fields get their values: at construction, by assignment, and by ``save(**updates)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.atom import references, states
from framework.atom.state import State
from framework.atom.values import required, unknown
from framework.errors import ValidationError


def fill(atom: State, fields: Mapping[str, Any]) -> None:
    """Give a new instance its values: the given ones, and otherwise the defaults."""
    model, values = atom._model, atom.__dict__
    for name, field in model.fields.items():
        if name in fields:
            values[name] = model.accept(name, fields[name])
        elif field.default is not None:
            values[name] = model.initial(name, atom._scope)
        elif field.nullable or name == model.key_field:  # which is given before the first save
            values[name] = None
        else:
            raise required(model, name)
    for name, relation in model.relations.items():
        if name not in fields and not relation.many and not relation.reference.nullable:
            raise required(model, name)
        values[name] = references.accept(type(atom), relation, fields.get(name))


def accepted(atom: State, name: str, value: Any) -> Any:
    """The value as the field stores it. Raises ``ValidationError`` if the field refuses it or must not change."""
    model, before = atom._model, atom.__dict__.get(name)
    field = model.fields.get(name)
    if field is not None:
        taken, immutable = model.accept(name, value), field.immutable
        changed = taken != before
    elif name in model.relations:
        relation = model.relations[name]
        taken = references.accept(type(atom), relation, value)
        immutable = relation.reference.immutable
        changed = immutable and not references.same(relation, taken, before)
    else:
        raise unknown(model, name, value)
    first = name == model.key_field and before is None and atom._stored is None
    if changed and immutable and not first:
        raise ValidationError(
            model.name, name, value, "immutable", "it is immutable: it is given once, at construction"
        )
    if changed and name in atom._states and atom._stored is not None:
        raise states.refuse_assignment(atom, name)
    return taken
