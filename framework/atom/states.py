"""The states of a field in error messages: the current one, and what is possible from there."""

from __future__ import annotations

from framework.atom.state import State
from framework.errors import TransitionError


def refuse_assignment(atom: State, field: str) -> TransitionError:
    """The error for a state that was assigned directly."""
    state = atom.__dict__[field]
    methods = dict.fromkeys(f"`{transition.method}`" for transition in atom._states[field])
    problem = f"a state is not assigned: it changes when {' or '.join(methods)} is called"
    return error(atom, field, state, problem, assigned=True)


def error(atom: State, field: str, state: object, problem: str, *, assigned: bool = False) -> TransitionError:
    """What is wrong, and which methods lead on from this state."""
    model = atom._model
    possible = tuple(dict.fromkeys(way.method for way in atom._states[field] if way.starts_in(state)))
    there = f"; possible now: {', '.join(f'`{name}`' for name in possible) or 'nothing'}"
    key = atom.__dict__[model.key_column]
    return TransitionError(
        model.name,
        field,
        key,
        state=state,
        problem=f"{problem}{there}",
        possible=possible,
        assigned=assigned,
    )
