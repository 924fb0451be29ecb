"""Calls of methods in progress, so that a call of the same method by ``super()`` is a plain call.

The rule: a call belongs to the task that makes it, and to the tasks that are started in it, as long as it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from framework.atom.state import State


@dataclass(slots=True)
class _Call:
    atom: State
    name: str
    ended: bool = False


class Calls:
    """The calls of one kind. Each kind makes it once."""

    def __init__(self, kind: str) -> None:
        self._calls: ContextVar[tuple[_Call, ...]] = ContextVar(kind, default=())

    def under_way(self, atom: State, name: str) -> bool:
        """Is the caller inside such a call?"""
        return any(call.atom is atom and call.name == name and not call.ended for call in self._calls.get())

    @contextmanager
    def entered(self, atom: State, name: str) -> Iterator[None]:
        """A context manager for the duration of such a call."""
        call = _Call(atom, name)
        token = self._calls.set((*self._calls.get(), call))
        try:
            yield
        finally:
            call.ended = True
            self._calls.reset(token)
