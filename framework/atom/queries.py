"""Finding instances: by identifier, by the values of their fields, and one by one.

The rule: an instance comes with all instances that it refers to. The number of statements does not grow with the
number of rows. ``shallow`` leaves the keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Select,
    UnaryExpression,
    bindparam,
    func,
    select,
)

from framework.atom import references
from framework.atom.model import SEQUENCE, Model
from framework.atom.state import State
from framework.atom.values import IDENTITY, abstract, text, unknown
from framework.errors import FrameworkError, ValidationError
from framework.storage.gathering import Chosen, Matching, Row
from framework.storage.operations import ALL, OWNER, TARGET
from framework.transactions.transaction import Place

A = TypeVar("A", bound=State)
Order = Sequence[str | ColumnElement[Any]]

PAGE = 500  # rows that `iterate` reads at a time


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the result, and in which order."""

    order_by: Order | str | ColumnElement[Any] = ()
    offset: int = 0
    limit: int | None = None

    def order(self) -> tuple[str | ColumnElement[Any], ...]:
        """The order as a tuple. A single name or column needs no tuple."""
        single = isinstance(self.order_by, str | ClauseElement)
        return (self.order_by,) if single else tuple(self.order_by)  # type: ignore[return-value]

    def bounds(self) -> dict[str, int]:
        """The parameters of a statement. Without a limit it is the largest number, so that one statement serves every
        page."""
        limit = ALL if self.limit is None else _whole("limit", self.limit)
        return {"_offset": _whole("offset", self.offset), "_limit": limit}


async def load(cls: type[A], key: Any, conn: Place | None, *, shallow: bool, for_update: bool) -> A | None:
    """The instance with this identifier, or ``None``, also for a value that no identifier can have."""
    model = cls._model
    try:
        key = model.accept(model.key_field, key) if model.key_field else text(model, "instance", key)
    except ValidationError:
        return None
    if not model.stored or model.relations:
        question = Matching(model.record, model.key_column, (key,))
        found = await _gathered(cls, question, conn, shallow=shallow, for_update=for_update)
        return found[0] if found else None
    row = await cls._session.load(model.record, model.key_column, key, conn, for_update=for_update)
    return None if row is None else cls._from_row(row)


async def retrieve(
    cls: type[A],
    equals: Mapping[str, Any],
    page: Page,
    conn: Place | None,
    *,
    shallow: bool,
    for_update: bool,
) -> list[A]:
    """The instances whose fields equal the given values, in order of insertion or of ``order_by``."""
    wanted = _comparables(cls, equals)
    order, bounds = page.order(), page.bounds()
    order = tuple(_ordered(cls._model, entry) for entry in order)
    if cls._memory is not None:
        rows = cls._memory.select(wanted, order, bounds["_offset"], bounds["_limit"])
        return await _remembered(cls, rows, conn, shallow=shallow)
    question = Chosen(_statement(cls, wanted, order), _given(wanted) | bounds)
    return await _gathered(cls, question, conn, shallow=shallow, for_update=for_update)


async def iterate(
    cls: type[A], equals: Mapping[str, Any], conn: Place | None, *, shallow: bool
) -> AsyncIterator[A]:
    """The same, page by page, in order of insertion. A page begins after the last row of the previous one."""
    wanted = _comparables(cls, equals)
    if cls._memory is not None:
        for instance in await _remembered(cls, cls._memory.select(wanted), conn, shallow=shallow):
            yield instance
        return
    after = -(2**63)
    statement = _statement(cls, wanted, (), _AFTER)
    while True:
        question = Chosen(statement, _given(wanted) | {"_after": after, "_limit": PAGE})
        page = await _gathered(cls, question, conn, shallow=shallow, for_update=False)
        for instance in page:
            yield instance
        if len(page) < PAGE:
            return
        after = page[-1].__dict__["_sequence"]


async def count(cls: type[State], equals: Mapping[str, Any], conn: Place | None) -> int:
    """The number of instances with these values."""
    wanted = _comparables(cls, equals)
    if cls._memory is not None:
        return len(cls._memory.select(wanted))
    [row] = await cls._session.select(_statement(cls, wanted, (), _COUNT), _given(wanted), conn)
    return int(row["count"])


# ---- rows -----------------------------------------------------------------------------------


async def _gathered(
    cls: type[A], question: Chosen | Matching, conn: Place | None, *, shallow: bool, for_update: bool
) -> list[A]:
    """Instances of the rows that a question finds, with the instances that they refer to."""
    if cls._memory is not None:
        assert isinstance(question, Matching)
        rows = cls._memory.matching(question.column, question.values)
        return await _remembered(cls, rows, conn, shallow=shallow)
    if not cls._model.stored:
        raise abstract(cls._model)
    if not cls._model.relations:
        assert isinstance(question, Chosen)
        statement, parameters = question.statement, question.parameters
        chosen = await cls._session.select(statement, parameters, conn, for_update=for_update)
        return [cls._from_row(row) for row in chosen]
    gathering = references.gather(cls, question, shallow=shallow)
    return references.build(cls, await cls._session.gather(gathering, conn, for_update=for_update))


async def _remembered(cls: type[A], rows: list[Row], conn: Place | None, *, shallow: bool) -> list[A]:
    """Instances of rows in memory, with the instances that they refer to."""
    found = references.Found(rows, shallow)
    if rows and cls._model.relations and not shallow:
        found = await cls._session.gather(references.complete(cls, found), conn)
    return references.build(cls, found)


# ---- what is compared -----------------------------------------------------------------------


def _comparables(cls: type[State], equals: Mapping[str, Any]) -> dict[str, Any]:
    if not cls._model.stored and cls._memory is None:
        raise abstract(cls._model)
    return {name: _comparable(cls, name, value) for name, value in cls._model.named(equals).items()}


def _comparable(cls: type[State], name: str, value: Any) -> Any:
    model = cls._model
    if name in IDENTITY:
        return text(model, name, value)
    if name in model.relations:
        return _referred(cls, name, value)
    if name not in model.fields:
        raise unknown(model, name, value)
    if name in model.passing:
        raise ValidationError(model.name, name, value, "filter", "it has no column to look in")
    if name in model.decoders:
        raise _incomparable(model, name, value, f"of type {model.fields[name].type.text}")
    return None if value is None else model.accept(name, value)


def _referred(cls: type[State], name: str, value: Any) -> Any:
    """The key to find. An array is found by one of its members."""
    model = cls._model
    relation = model.relations[name]
    if not relation.stored:
        raise _incomparable(model, name, value, "that is not stored")
    if isinstance(value, Mapping):
        raise ValidationError(model.name, name, value, "filter", "it is found by an instance or its key")
    if not relation.many:
        return references.keys_of(relation, references.accept(cls, relation, value))
    if value is None or isinstance(value, list | tuple):
        raise ValidationError(model.name, name, value, "filter", "it is found by one of its members")
    return references.keys_of(relation, references.accept(cls, relation, [value]))[0]


def _incomparable(model: Model, name: str, value: Any, what: str) -> ValidationError:
    return ValidationError(model.name, name, value, "filter", f"retrieve cannot compare a field {what}")


def _given(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}


def _ordered(model: Model, entry: str | ColumnElement[Any]) -> str | ColumnElement[Any]:
    """A field by its own name. It must have a column."""
    if isinstance(entry, ClauseElement):
        return entry
    if not isinstance(entry, str):
        raise FrameworkError(f"retrieve: order_by takes names of fields and columns, not {entry!r}")
    name = entry.removeprefix("-")
    name = model.aliases.get(name, name)
    if name in model.passing:
        raise ValidationError(model.name, name, None, "order", "it has no column to sort by")
    relation = model.relations.get(name)
    if relation is not None and (relation.many or not relation.stored):
        raise ValidationError(model.name, name, None, "order", "a field without a column gives no order")
    if relation is None and name not in model.fields and name not in IDENTITY:
        raise unknown(model, name, None)
    return f"-{name}" if entry.startswith("-") else name


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameworkError(f"retrieve: {name} is a whole number from 0, not {value!r}")
    return min(value, ALL)


# ---- statements -----------------------------------------------------------------------------

_AFTER, _COUNT = "after", "count"


def _statement(
    cls: type[State], wanted: Mapping[str, Any], order: Sequence[str | ColumnElement[Any]], kind: str = ""
) -> Select[Any]:
    """The statement for these fields and this order. It is made once if it consists of names alone."""
    key = (tuple((name, value is None) for name, value in sorted(wanted.items())), order, kind)
    named = all(isinstance(column, str) for column in order)
    statement = cls._selects.get(key) if named else None
    if statement is None:
        statement = _select(cls._model, wanted, order, kind)
        if named and len(cls._selects) < 256:
            cls._selects[key] = statement
    return statement


def _select(
    model: Model, wanted: Mapping[str, Any], order: Sequence[str | ColumnElement[Any]], kind: str
) -> Select[Any]:
    record = model.record
    statement: Select[Any] = select(func.count().label("count")) if kind == _COUNT else select(record)
    statement = statement.select_from(record)
    for name, value in wanted.items():
        statement = statement.where(_condition(model, name, value))
    if kind == _COUNT:
        return statement
    if kind == _AFTER:
        statement = statement.where(record.c[SEQUENCE] > _parameter("_after"))
    statement = statement.order_by(*(_ordering(model, entry) for entry in order), record.c[SEQUENCE])
    statement = statement.limit(_parameter("_limit"))
    return statement if kind == _AFTER else statement.offset(_parameter("_offset"))


def _parameter(name: str) -> Any:
    return bindparam(name, type_=BigInteger, required=True)


def _condition(model: Model, name: str, value: Any) -> ColumnElement[bool]:
    relation = model.relations.get(name)
    if relation is not None and relation.links is not None:
        links = relation.links
        member = links.c[TARGET] == bindparam(name, type_=links.c[TARGET].type, required=True)
        return model.record.c[model.key_column].in_(select(links.c[OWNER]).where(member))
    column = model.record.c[name]
    if value is None:
        return column.is_(None)
    return column == bindparam(name, type_=column.type, required=True)


def _ordering(model: Model, entry: str | ColumnElement[Any]) -> ColumnElement[Any] | UnaryExpression[Any]:
    if not isinstance(entry, str):
        return entry
    column = model.record.c[entry.removeprefix("-")]
    down = entry.startswith("-")
    ordering = column.desc() if down else column.asc()
    if not column.nullable:
        return ordering
    # Databases differ. Here null sorts first.
    return ordering.nulls_last() if down else ordering.nulls_first()
