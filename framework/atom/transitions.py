"""Transitions between the states of a field: each is one call of the method that carries it out.

    class Order: field_fsm of `status`: {ship: {execution_method: ship, pre_statuses: [packed], …}}

    await order.ship()      # status: packed -> shipping -> shipped, or failed when `ship` raises

The one rule: **a state is written only over the state that it follows.** The row decides, not the memory: if two
callers make the same transition at once, in any process, one succeeds and the other gets an error.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from framework.atom import graph, queries, saving, states
from framework.atom.calls import Calls
from framework.atom.state import State
from framework.definitions import Transition
from framework.errors import Changed, Gone, TransitionError
from framework.storage.operations import Update
from framework.transactions.transaction import Place

logger = logging.getLogger("framework.atom")

Method = Callable[..., Awaitable[Any]]

_CALLS = Calls("transitions")


def around(function: Method, name: str, states: Mapping[str, tuple[Transition, ...]]) -> Method:
    """A callable method, with the transitions of a class that it carries out."""
    for field, transitions in states.items():
        ways = tuple(transition for transition in transitions if transition.method == name)
        if ways:
            return _carrier(function, name, field, ways)
    return function


def _carrier(function: Method, name: str, field: str, ways: tuple[Transition, ...]) -> Method:
    signature = inspect.signature(function)

    @functools.wraps(function)
    async def carried_out(self: State, *args: Any, **kwargs: Any) -> Any:
        if _CALLS.under_way(self, name):
            return await function(self, *args, **kwargs)
        # A call with wrong arguments fails here, and changes no state.
        conn = signature.bind(self, *args, **kwargs).arguments.get("conn")
        change = _Change(self, field, conn)
        transition = await change.begin(name, ways)
        try:
            with _CALLS.entered(self, name):
                result = await function(self, *args, **kwargs)
        except BaseException:
            await change.fail(transition)
            raise
        await change.succeed(transition)
        return result

    return carried_out


class _Change:
    """One transition of one instance, from its first state to its last."""

    def __init__(self, atom: State, field: str, conn: Place | None) -> None:
        self._atom = atom
        self._field = field
        self._conn = conn
        self._before: object = None
        self._during: object = None

    @property
    def _state(self) -> object:
        return self._atom.__dict__[self._field]

    async def begin(self, method: str, ways: tuple[Transition, ...]) -> Transition:
        """The transition that starts in the current state, which is also that of the row. A new instance is stored
        first."""
        atom = self._atom
        values = atom.__dict__
        if values["_destroyed"]:
            raise Gone(atom._model.name, values[atom._model.key_column])
        if values["_stored"] is None and any(way.starts_in(self._state) for way in ways):
            await saving.save(atom, {}, self._conn)
        while True:
            self._before = self._state
            transition = next((way for way in ways if way.starts_in(self._before)), None)
            if transition is None:
                if values["_stored"] is None or await self._is_of_the_row():
                    raise _not_possible(atom, self._field, method, ways)
                continue  # the memory was behind
            self._during = self._before if transition.during is None else transition.during
            if await self._write(self._during):
                return transition

    async def succeed(self, transition: Transition) -> None:
        """Set the final state after the method has succeeded."""
        if self._state == self._during:  # otherwise a transition inside this one has set the state
            target = self._during if transition.success is None else transition.success
            if target != self._during and not await self._write(target):
                raise _not_possible(self._atom, self._field, transition.method, (transition,))

    async def fail(self, transition: Transition) -> None:
        """Set the final state after the method has raised. An error of the database does not hide the method's
        error."""
        target = self._before if transition.failure is None else transition.failure
        if target == self._during or self._state != self._during:
            return
        try:
            await self._write(target)
        except Exception as error:
            logger.error(
                "%r: the state after a failed `%s` could not be stored: %s",
                self._atom,
                transition.method,
                error,
            )

    async def _is_of_the_row(self) -> bool:
        """Is the state that of the row? If not, take it from the row. Raises ``Gone`` if there is no row."""
        atom, field = self._atom, self._field
        values = atom.__dict__
        key = values["_stored"][atom._model.key_column]
        found = await queries.load(type(atom), key, self._conn, shallow=True, for_update=False)
        if found is None:
            raise Gone(atom._model.name, key)
        state = found.__dict__[field]
        if state == values["_stored"][field] == values[field]:
            return True
        self._follow(state)
        return False

    async def _write(self, state: object) -> bool:
        """Write a state over the current one if the row has that one. Otherwise take the state of the row.

        An unchanged state is not written, but the row is still checked.
        """
        atom, field = self._atom, self._field
        model, stored = atom._model, atom.__dict__["_stored"]
        before = self._state
        if state == before:
            return await self._is_of_the_row()
        key, expected = stored[model.key_column], {field: stored[field]}
        update = Update(model.record, model.key_column, key, {field: state}, expected)
        try:
            await graph.change(atom, update, (), partial(self._follow, before), self._conn)
        except Changed as error:
            self._follow(error.values[field])
            return False
        self._follow(state)
        return True

    def _follow(self, state: object) -> None:
        """Take the state of the row into memory."""
        values = self._atom.__dict__
        values[self._field] = state
        if values["_stored"] is not None:
            values["_stored"][self._field] = state


def _not_possible(atom: State, field: str, method: str, ways: tuple[Transition, ...]) -> TransitionError:
    state, key = atom.__dict__[field], atom.__dict__[atom._model.key_column]
    starts = dict.fromkeys(repr(one) for way in ways for one in way.before or ())
    where = f"it starts in {' or '.join(starts)}" if starts else "somebody else has changed it"
    problem = f"`{method}` is not possible for {key!r} in the state {state!r}: {where}"
    return states.error(atom, field, state, problem)
