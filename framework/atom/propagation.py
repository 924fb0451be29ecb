"""Methods that propagate to the referred instances (``propagation_mode: true``).

A call goes through the tree of references: this instance first (``topdown``) or last, each instance once, and
no more than ``multiplexable_number`` at a time. An instance without such a method is skipped, and the call continues
below it.

The one rule: **it is done completely or not at all** (``auto_rollback``). Everything that the methods write is one
transaction. If one of them raises, or ``timeout`` seconds pass, the instances are as they were before.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import heapq
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from framework.atom.calls import Calls
from framework.atom.references import instances
from framework.atom.state import State
from framework.definitions import Method
from framework.errors import FrameworkError

Function = Callable[..., Any]

_CALLS = Calls("propagation")
_ROOT: ContextVar[State | None] = ContextVar("root", default=None)


def root_of(atom: State) -> State:
    """The instance with which the current propagation began, or the instance itself if there is none."""
    return _ROOT.get() or atom


def around(function: Function, method: Method) -> Function:
    """A method with `propagation_mode` as it is called."""
    if not method.propagation_mode:
        return function
    make = _propagated if method.is_async else _propagated_at_once
    propagated = make(function, method)
    propagated.plain = function  # type: ignore[attr-defined]
    return propagated


def in_time(function: Function, method: Method) -> Function:
    """A method that does not propagate, with its `timeout`. A plain function cannot be cancelled."""
    if method.propagation_mode or method.timeout is None or not method.is_async:
        return function

    @functools.wraps(function)
    async def limited(self: State, *args: Any, **kwargs: Any) -> Any:
        return await _limited(self, method, function(self, *args, **kwargs))

    return limited


async def _limited(atom: State, method: Method, call: Awaitable[Any]) -> Any:
    limit = asyncio.timeout(method.timeout)
    try:
        async with limit:
            return await call
    except TimeoutError as error:
        if not limit.expired():
            raise
        what = f"{type(atom).__name__}.{method.name}"
        raise TimeoutError(f"{what} took longer than its time-out of {method.timeout:g} s") from error


def _propagated(function: Function, method: Method) -> Function:
    @functools.wraps(function)
    async def propagated(self: State, *args: Any, **kwargs: Any) -> Any:
        if _CALLS.under_way(self, method.name):
            return await function(self, *args, **kwargs)
        tree = _Tree(self, method)

        async def call(atom: State) -> Any:
            token = _ROOT.set(self)
            try:
                with _CALLS.entered(atom, method.name):
                    result = tree.function(atom)(atom, *args, **kwargs)
                    return await result if inspect.isawaitable(result) else result
            finally:
                _ROOT.reset(token)

        return await _limited(self, method, _whole(self, method, tree, call))

    return propagated


def _propagated_at_once(function: Function, method: Method) -> Function:
    """A plain function awaits nothing, so it writes nothing. Only the memory has to be undone."""

    @functools.wraps(function)
    def propagated(self: State, *args: Any, **kwargs: Any) -> Any:
        if _CALLS.under_way(self, method.name):
            return function(self, *args, **kwargs)
        tree = _Tree(self, method)
        tree.require_plain()
        with _undone(tree.order, when=method.auto_rollback):
            results = {}
            for atom in tree.one_by_one():
                with _CALLS.entered(atom, method.name):
                    results[id(atom)] = tree.function(atom)(atom, *args, **kwargs)
            return results[id(self)]

    return propagated


async def _whole(root: State, method: Method, tree: _Tree, call: Callable[[State], Awaitable[Any]]) -> Any:
    run = _one_by_one if method.multiplexable_number == 1 else _several
    if not method.auto_rollback:
        return await run(tree, method, call)
    with _undone(tree.order, when=True):
        async with root._session.whole():
            return await run(tree, method, call)


async def _one_by_one(tree: _Tree, method: Method, call: Callable[[State], Awaitable[Any]]) -> Any:
    result = None
    for atom in tree.one_by_one():
        answered = await call(atom)
        result = answered if atom is tree.root else result
    return result


async def _several(tree: _Tree, method: Method, call: Callable[[State], Awaitable[Any]]) -> Any:
    """Call up to so many at a time: those that wait for no other, in the order of the tree."""
    sorter, ready = tree.sorter(), list[int]()
    running: dict[asyncio.Task[Any], int] = {}
    result, failed = None, None
    try:
        while running or (sorter.is_active() and failed is None):
            _take(sorter, ready)
            while ready and failed is None and len(running) < method.multiplexable_number:
                number = heapq.heappop(ready)
                running[_task(tree, number, method, call)] = number
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=running.__getitem__):
                number = running.pop(task)
                error = task.exception() if not task.cancelled() else asyncio.CancelledError()
                failed = failed or error
                if error is None and tree.order[number] is tree.root:
                    result = task.result()
                sorter.done(number)
            if failed is not None and method.auto_rollback:
                break
        if failed is not None:
            raise failed
        return result
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _task(
    tree: _Tree, number: int, method: Method, call: Callable[[State], Awaitable[Any]]
) -> asyncio.Task[Any]:
    atom = tree.order[number]

    async def one() -> Any:
        return await call(atom) if tree.has_method(atom) else None

    return asyncio.create_task(one(), name=f"{type(atom).__name__}.{method.name}")


# ---- the tree -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tree:
    """The instances that a call visits, as they refer to each other when it begins.

    ``order`` is the order in which they are entered on the way down, or left on the way up. ``edges`` say which
    instance leads to which. References back to an ancestor are left out, so there is no cycle.
    """

    root: State
    method: Method
    order: list[State] = field(default_factory=list)
    edges: list[tuple[State, State]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.edges = self._walk()

    def sorter(self) -> TopologicalSorter[int]:
        """For each instance, the numbers of those that it waits for: all that refer to it, or all that it refers
        to."""
        numbers = {id(atom): number for number, atom in enumerate(self.order)}
        sorter = TopologicalSorter[int](dict.fromkeys(numbers.values(), ()))
        for parent, child in self.edges:
            first, second = (parent, child) if self.method.topdown else (child, parent)
            sorter.add(numbers[id(second)], numbers[id(first)])
        sorter.prepare()
        return sorter

    def _walk(self) -> list[tuple[State, State]]:
        """Fill the order, and return which instance leads to which."""
        edges: list[tuple[State, State]] = []
        on_the_way: set[int] = set()
        seen: set[int] = set()
        waiting: list[tuple[State, Iterator[State]]] = []

        def enter(atom: State) -> None:
            seen.add(id(atom))
            on_the_way.add(id(atom))
            waiting.append((atom, iter(self._below(atom))))
            if self.method.topdown:
                self.order.append(atom)

        enter(self.root)
        while waiting:
            atom, children = waiting[-1]
            child = next(children, None)
            if child is None:
                waiting.pop()
                on_the_way.discard(id(atom))
                if not self.method.topdown:
                    self.order.append(atom)
            elif id(child) not in on_the_way:
                edges.append((atom, child))
                if id(child) not in seen:
                    enter(child)
        return edges

    def one_by_one(self) -> Iterator[State]:
        """The instances that have the method, each after those that it waits for, otherwise in order."""
        sorter, ready = self.sorter(), list[int]()
        while sorter.is_active():
            _take(sorter, ready)
            number = heapq.heappop(ready)
            if self.has_method(self.order[number]):
                yield self.order[number]
            sorter.done(number)

    def _below(self, atom: State) -> Iterable[State]:
        """The instances that an instance refers to, each once."""
        if atom is not self.root and self.has_method(atom) and not hasattr(self._attribute(atom), "plain"):
            return ()  # its own method does not propagate
        relations = list(atom._model.relations.values())
        if self.method.field_order == "descend":
            relations.reverse()
        found = [each for relation in relations for each in instances(relation, atom.__dict__[relation.name])]
        return {id(each): each for each in found}.values()

    def has_method(self, atom: State) -> bool:
        return self.method.name in atom._model.definition.carriers

    def function(self, atom: State) -> Function:
        """The method of one instance, without propagation."""
        found = self._attribute(atom)
        plain: Function = getattr(found, "plain", found)
        return plain

    def _attribute(self, atom: State) -> Function:
        found: Function = getattr(type(atom), self.method.name)
        return found

    def require_plain(self) -> None:
        for atom in self.order:
            if atom._model.definition.carriers.get(self.method.name):
                what = f"{type(self.root).__name__}.{self.method.name}"
                raise FrameworkError(
                    f"{what} is no coroutine and goes on to {type(atom).__name__}, whose `{self.method.name}` is one: "
                    "write `async def` in both"
                )


def _take(sorter: TopologicalSorter[int], ready: list[int]) -> None:
    """Add those that no longer wait for any other, the first in the order first."""
    for number in sorter.get_ready():
        heapq.heappush(ready, number)


# ---- memory ---------------------------------------------------------------------------------


@contextmanager
def _undone(atoms: Iterable[State], *, when: bool) -> Iterator[None]:
    """A block that restores the values of the instances if it raises."""
    before = [(atom, _copied(atom)) for atom in atoms] if when else []
    try:
        yield
    except BaseException:
        for atom, values in before:
            for name, (value, content) in values.items():
                atom.__dict__[name] = _as_it_was(value, content)
        raise


def _copied(atom: State) -> dict[str, tuple[Any, Any]]:
    """Each value, with a copy of its content if it is mutable."""
    model, values = atom._model, atom.__dict__
    copies: dict[str, tuple[Any, Any]] = {}
    for name in (*model.names, "xid", "xname"):
        value = values[name]
        if name in model.relations and isinstance(value, list):
            copies[name] = (value, list(value))
        else:
            copies[name] = (value, copy.deepcopy(value) if isinstance(value, dict | list) else None)
    return copies


def _as_it_was(value: Any, content: Any) -> Any:
    """The same list or mapping, with its former content."""
    if isinstance(value, list):
        value[:] = content
    elif isinstance(value, dict):
        dict.clear(value)
        dict.update(value, content)
    return value
