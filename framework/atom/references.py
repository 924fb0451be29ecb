"""References: which instances a field takes, and how they are found in the database.

The rule: **a key may take the place of an instance** (the value of its ``ref_class_field``). An instance that was
loaded ``shallow``, that lies beyond the deepest level, or that no longer exists stays its stored key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from framework.atom.model import SEQUENCE
from framework.atom.relations import Relation
from framework.atom.state import State
from framework.definitions import FieldError
from framework.errors import ValidationError
from framework.storage.gathering import Gathering, Matching, Question, Row
from framework.storage.operations import OWNER, POSITION, TARGET, Referrer

A = TypeVar("A", bound=State)

# A load follows references this far. Whatever is farther away stays a key.
LEVELS = 64

# How often `dictionary` expands instances that it has already expanded.
REPEATS = 100_000


# ---- values ---------------------------------------------------------------------------------


def accept(cls: type[State], relation: Relation, value: Any) -> Any:
    """The value as the field stores it: an instance or a key, or a list of them. ``None`` is an empty list."""
    if relation.many:
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise _refusal(cls, relation.name, value, "type", f"it takes a list, not a {_kind(value)}")
        return [_one(cls, relation, each, f"{relation.name}[{n}]") for n, each in enumerate(value)]
    if value is None:
        if not relation.reference.nullable:
            raise _refusal(cls, relation.name, value, "nullable", "must not be null")
        return None
    return _one(cls, relation, value, relation.name)


def _one(cls: type[State], relation: Relation, value: Any, place: str) -> Any:
    target: type[Any] = cls._classes[relation.target]  # the new instance checks its own values
    if type(value) is target or (not relation.stored and isinstance(value, target)):
        return value
    if is_instance(value):
        raise _refusal(cls, place, value, "type", f"it takes a {target.__name__}, not a {_kind(value)}")
    if isinstance(value, Mapping):
        try:
            return target(**dict(value))
        except ValidationError as error:
            inner = f"{place}.{error.field}"
            raise ValidationError(cls.__name__, inner, error.value, error.rule, error.problem) from None
    try:
        key = relation.accept_key(value)
    except FieldError as error:
        message = f"it takes a {target.__name__} or its {relation.column}, which {error.message}"
        raise _refusal(cls, place, value, error.rule, message) from None
    if key is None:
        raise _refusal(cls, place, value, "nullable", "must not be null")
    return key


def _refusal(cls: type[State], place: str, value: Any, rule: str, problem: str) -> ValidationError:
    return ValidationError(cls.__name__, place, value, rule, problem)


def _kind(value: Any) -> str:
    return type(value).__name__


def is_instance(value: Any) -> bool:
    """Is it an instance of an ATOM class? Anything else in a reference is a key."""
    return hasattr(type(value), "_model")


def key_of(relation: Relation, value: Any) -> Any:
    """The stored form of a referred instance: its key, or the key in its place."""
    return value.__dict__[relation.column] if is_instance(value) else value


def keys_of(relation: Relation, value: Any) -> Any:
    """The stored form of a reference: one key or none, or a tuple of keys."""
    if relation.many:
        return tuple([key_of(relation, each) for each in value])
    return None if value is None else key_of(relation, value)


def same(relation: Relation, one: Any, other: Any) -> bool:
    """Do two values of a field refer to the same instances?"""
    return bool(keys_of(relation, one) == keys_of(relation, other))


def expanded(root: State) -> dict[str, Any]:
    """An instance as plain data, with all instances that it refers to, each time they occur.

    Inside itself an instance appears as its key. It also does after ``REPEATS`` repetitions, because a net of
    references has more paths than any memory can hold.
    """
    top = root._own()
    above: set[int] = set()  # the current instance and those that contain it
    seen = {id(root)}
    repeats = 0
    waiting: list[tuple[State, dict[str, Any] | None]] = [(root, top)]

    def shown(relation: Relation, value: Any) -> Any:
        nonlocal repeats
        if not is_instance(value) or id(value) in above:
            return key_of(relation, value)
        if id(value) in seen:
            repeats += 1
            if repeats > REPEATS:
                return key_of(relation, value)
        seen.add(id(value))
        data: dict[str, Any] = value._own()
        waiting.append((value, data))
        return data

    while waiting:
        instance, data = waiting.pop()
        if data is None:
            above.remove(id(instance))
            continue
        above.add(id(instance))
        waiting.append((instance, None))
        for name, relation in instance._model.relations.items():
            value = instance.__dict__[name]
            if relation.many:
                data[name] = [shown(relation, each) for each in value]
            elif value is not None:
                data[name] = shown(relation, value)
    return top


def instances(relation: Relation, value: Any) -> Iterator[State]:
    """The instances in a field's value, without keys."""
    for each in value if relation.many else (value,):
        if is_instance(each):
            yield each


# ---- classes that know each other -----------------------------------------------------------


def connect(classes: Mapping[str, type[State]]) -> None:
    """Connect the classes of a folder, and tell each which others refer to it."""
    referrers: dict[str, list[tuple[str, Referrer]]] = {name: [] for name in classes}
    columns: dict[str, set[str]] = {name: set() for name in classes}
    for name, cls in classes.items():
        cls._classes = classes
        model = cls._model
        for relation in model.relations.values():
            columns[relation.target].add(relation.column)
            label = f"{name}.{relation.name}"
            if relation.links is not None:
                referrer = Referrer(relation.links, OWNER, TARGET, label)
            elif relation.stored and model.stored:
                referrer = Referrer(model.record, model.key_column, relation.name, label)
            else:
                continue
            referrers[relation.target].append((relation.column, referrer))
    for name, cls in classes.items():
        cls._referrers = tuple(referrers[name])
        cls._referred = frozenset(columns[name])
        cls._linked = bool(cls._model.relations or referrers[name] or not cls._model.stored)


# ---- loading --------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """The requested rows, and all rows that they refer to."""

    asked: list[Row]
    shallow: bool
    # By class and unique column: the row of each value.
    rows: dict[tuple[str, str], dict[Any, Row]] = field(default_factory=dict)
    # By class and array: the keys of each owner, in order.
    links: dict[tuple[str, str], dict[Any, list[Any]]] = field(default_factory=dict)


Wanted = dict[tuple[str, str], dict[Any, None]]


def gather(cls: type[State], question: Question, *, shallow: bool) -> Gathering[Found]:
    """The rows of a question, and the rows that they refer to, level by level.

    Each level takes one question for each class and array, however many rows there are. ``shallow`` asks for the keys
    only.
    """
    found = Found((yield question), shallow)
    return (yield from complete(cls, found))


def complete(cls: type[State], found: Found) -> Gathering[Found]:
    """The same for rows that were already read."""
    frontier: dict[str, list[Row]] = {cls.__name__: found.asked}
    _remember(cls, found.asked, found)
    for level in range(LEVELS):
        wanted: Wanted = {}
        for name, rows in frontier.items():
            yield from _keys(cls._classes[name], rows, found, wanted)
        if found.shallow or level == LEVELS - 1:
            break
        frontier = {}
        for (name, column), keys in wanted.items():
            target = cls._classes[name]
            known = found.rows.setdefault((name, column), {})
            missing = [key for key in keys if key not in known]
            if missing:
                if target._memory is None:
                    rows = yield Matching(target._model.record, column, missing)
                else:
                    rows = target._memory.matching(column, missing)
                _remember(target, rows, found)
                frontier.setdefault(name, []).extend(rows)
        if not frontier:
            break
    return found


def _remember(cls: type[State], rows: list[Row], found: Found) -> None:
    for column in cls._referred:
        known = found.rows.setdefault((cls.__name__, column), {})
        for row in rows:
            known[row[column]] = row


def _keys(cls: type[State], rows: list[Row], found: Found, wanted: Wanted) -> Gathering[None]:
    """All keys that the rows refer to. Those of arrays have to be read."""
    model = cls._model
    for relation in model.relations.values():
        if not relation.stored:
            continue
        keys = wanted.setdefault((relation.target, relation.column), {})
        if relation.links is None:
            for row in rows:
                value = row[relation.name]
                keys.update(dict.fromkeys(value if relation.many else () if value is None else (value,)))
        elif rows:
            by_owner = found.links.setdefault((model.name, relation.name), {})
            links = yield Matching(relation.links, OWNER, [row[model.key_column] for row in rows])
            for link in sorted(links, key=lambda link: link[POSITION]):
                by_owner.setdefault(link[OWNER], []).append(link[TARGET])
                keys[link[TARGET]] = None


def build(cls: type[A], found: Found) -> list[A]:
    """Instances of the rows that were found. A row that is referred to twice becomes one instance."""
    return _Builder(cls._classes, found).build(cls)


class _Builder:
    """Makes one instance of each row. A referred instance is made when its first referrer is filled."""

    def __init__(self, classes: Mapping[str, type[State]], found: Found) -> None:
        self._classes = classes
        self._found = found
        self._made: dict[tuple[str, int], State] = {}
        self._unfilled: list[State] = []

    def build(self, cls: type[A]) -> list[A]:
        asked: list[Any] = [self._instance(cls, row) for row in self._found.asked]
        while self._unfilled:
            self._fill(self._unfilled.pop())
        return asked

    def _instance(self, cls: type[State], row: Row) -> State:
        name, model = cls.__name__, cls._model
        instance = self._made.get((name, row[SEQUENCE]))
        if instance is None:
            instance = self._made[name, row[SEQUENCE]] = cls._from_row(row)
            stored = instance.__dict__["_stored"]
            for relation in model.relations.values():
                if relation.links is not None:
                    links = self._found.links.get((name, relation.name), {})
                    stored[relation.name] = tuple(links.get(row[model.key_column], ()))
            self._unfilled.append(instance)
        return instance

    def _fill(self, instance: State) -> None:
        values = instance.__dict__
        for name, relation in instance._model.relations.items():
            stored = values["_stored"].get(name)
            if relation.many:
                values[name] = [self._referred(relation, key) for key in stored or ()]
            else:
                values[name] = None if stored is None else self._referred(relation, stored)

    def _referred(self, relation: Relation, key: Any) -> Any:
        if self._found.shallow:
            return key
        row = self._found.rows.get((relation.target, relation.column), {}).get(key)
        return key if row is None else self._instance(self._classes[relation.target], row)
