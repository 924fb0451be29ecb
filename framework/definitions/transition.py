"""The states of a field: which method leads from which to which (`field_fsm`).

The rule: a transition is one call of its `execution_method`. It may start in the states `pre_statuses`. While the
method runs, the field has the `status_value`. It ends in `success_transition`, or in `failure_transition` if the
method raises. Nothing else changes the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from .location import Location
from .nodes import MapNode, Node, ScalarNode, plain
from .problem import Report, did_you_mean, listed, quoted
from .values import FieldError, kind

STATE_TYPES = ("string", "integer", "boolean")
"""The types of which a field with states can be."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One way from state to state, carried out by `method`.

    `before` are the states in which it may start, empty for all. `during` is the state while the method runs, None
    for the one before. `success` and `failure` are the final states. None leaves the state as it is while the method
    runs, and as it was before, respectively.
    """

    name: str
    location: Location
    method: str
    method_at: Location
    before: tuple[object, ...] | None = None
    during: object = None
    success: object = None
    failure: object = None
    kind: str | None = None

    def starts_in(self, state: object) -> bool:
        """Whether it may start in a state. `True` is not 1."""
        return self.before is None or any(type(one) is type(state) and one == state for one in self.before)


def parse_transitions(
    node: MapNode,
    type_: str,
    accept: Callable[[object], object],
    *,
    enum: Iterable[object] | None,
    stored: bool,
    report: Report,
) -> tuple[Transition, ...]:
    """The transitions that a field's mapping names. `accept` refuses invalid values of the field."""
    fsm = node.map("field_fsm")
    if fsm is None or not fsm.entries:
        return ()
    if type_ not in STATE_TYPES:
        message = f"a field of type {quoted(type_)} cannot have states: it must be {listed(STATE_TYPES)}"
        report.error(node.key_location("field_fsm"), "transition", message)
        return ()
    if not stored:
        message = "a field that is not stored cannot have states: the database decides who makes a transition"
        report.error(node.key_location("field_fsm"), "transition", message)
        return ()
    reader = _Reader(accept, [str(member) for member in enum or ()], report)
    found = []
    for key, entry in fsm.entries.values():
        if isinstance(entry, MapNode) and (transition := reader.read(str(key.value), entry)):
            found.append(transition)
    return tuple(found)


@dataclass(slots=True)
class _Reader:
    """Reads the transitions of one field."""

    accept: Callable[[object], object]
    states: list[str]
    report: Report

    def read(self, name: str, node: MapNode) -> Transition | None:
        method = node.text("execution_method")
        if method is None:
            return None
        during = self._state(name, node.get("status_value"))
        success = self._state(name, node.get("success_transition"))
        return Transition(
            name=name,
            location=node.location,
            method=method,
            method_at=node.value_location("execution_method"),
            before=tuple(self._state(name, item) for item in node.items("pre_statuses")) or None,
            during=during,
            success=during if success is None else success,
            failure=self._state(name, node.get("failure_transition")),
            kind=node.text("status_type"),
        )

    def _state(self, name: str, node: Node | None) -> object:
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            message = f"a state of the transition {quoted(name)} must be one value, not {kind(plain(node))}"
            self.report.error(node.location, "transition", message)
            return None
        value = plain(node)
        try:
            return self.accept(value)
        except FieldError as error:
            hint = self.report.did_you_mean(value, self.states) if isinstance(value, str) else None
            message = f"a state of the transition {quoted(name)} {error.message}"
            self.report.error(node.location, "transition", message, hint=hint)
            return None


Places = set[Location]


class Stateful(Protocol):
    """The parts of a class that matter here: a definition of `atom`, which this module cannot import."""

    @property
    def name(self) -> str: ...
    @property
    def states(self) -> Mapping[str, tuple[Transition, ...]]: ...
    @property
    def carriers(self) -> Mapping[str, bool]: ...


def check_transitions(of: Stateful, report: Report, told: Places) -> None:
    """Report transitions that no method of a class carries out, or that share a method with others.

    `told` are the locations that were reported before, for a parent whose field a child inherits.
    """
    for location, message, hint in _mistakes(of):
        if location not in told:
            told.add(location)
            report.error(location, "transition", message, hint=hint)


def _mistakes(of: Stateful) -> Iterator[tuple[Location, str, str | None]]:
    taken: dict[str, tuple[str, Transition]] = {}
    for field_name, transitions in of.states.items():
        for transition in transitions:
            method = quoted(transition.method)
            what = (
                f"the transition {quoted(transition.name)} of {quoted(field_name)} is carried out by {method}"
            )
            is_async = of.carriers.get(transition.method)
            if is_async is None:
                message = f"{what}, and {quoted(of.name)} has no such instance method"
                yield transition.method_at, message, did_you_mean(transition.method, of.carriers)
            elif not is_async:
                hint = "write `async def`: the state is stored before and after it"
                yield transition.method_at, f"{what}, which is no coroutine", hint
            first_field, first = taken.setdefault(transition.method, (field_name, transition))
            if first is not transition and (first_field != field_name or _overlap(first, transition)):
                message = f"{what}, and so is {quoted(first.name)} of {quoted(first_field)}"
                hint = "a method makes one transition of one field; which one, the state before must tell"
                yield transition.method_at, message, hint


def _overlap(one: Transition, other: Transition) -> bool:
    return one.before is None or other.before is None or any(map(one.starts_in, other.before))
