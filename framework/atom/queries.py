"""Finding instances: by identifier, and by the values of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Integer, Select, UnaryExpression, bindparam, select

from framework.atom.values import IDENTITY, text, unknown
from framework.errors import FrameworkError, ValidationError
from framework.model import SEQUENCE, Model
from framework.transaction import Place

if TYPE_CHECKING:
    from framework.atom.instance import Atom

A = TypeVar("A", bound="Atom")
Order = Sequence[str | ColumnElement[Any]]


async def load(cls: type[A], key: Any, conn: Place | None, *, for_update: bool) -> A | None:
    """The instance with this identifier, or ``None``; also for a value that no identifier can have."""
    model = cls._model
    try:
        key = model.accept(model.key_field, key) if model.key_field else text(model, "instance", key)
    except ValidationError:
        return None
    row = await cls._session.load(model.record, model.key_column, key, conn, for_update=for_update)
    return None if row is None else cls._from_row(row)


async def retrieve(
    cls: type[A], equals: Mapping[str, Any], conn: Place | None, *, order_by: Order, offset: int, limit: Any
) -> list[A]:
    """The instances whose fields equal the given values, in order of insertion or of ``order_by``."""
    wanted = {name: _comparable(cls._model, name, value) for name, value in cls._model.named(equals).items()}
    parameters = {name: value for name, value in wanted.items() if value is not None}
    parameters |= {
        "_offset": _count("offset", offset),
        "_limit": -1 if limit is None else _count("limit", limit),
    }
    order = (order_by,) if isinstance(order_by, str | ColumnElement) else tuple(order_by)
    rows = await cls._session.select(_statement(cls, wanted, order), parameters, conn)
    return [cls._from_row(row) for row in rows]


def _comparable(model: Model, name: str, value: Any) -> Any:
    if name in IDENTITY:
        return text(model, name, value)
    if name not in model.fields:
        raise unknown(model, name, value)
    if name in model.passing:
        raise ValidationError(model.name, name, value, "filter", "it has no column to look in")
    if name in model.decoders:
        kind = model.fields[name].type.text
        raise ValidationError(
            model.name, name, value, "filter", f"retrieve cannot compare a field of type {kind}"
        )
    return None if value is None else model.accept(name, value)


def _statement(cls: type[Atom], wanted: Mapping[str, Any], order: Order) -> Select[Any]:
    """The statement for these fields and this order: made once, if it is of names alone."""
    key = (tuple((name, value is None) for name, value in sorted(wanted.items())), order)
    named = all(isinstance(column, str) for column in order)
    statement = cls._selects.get(key) if named else None
    if statement is None:
        statement = _select(cls._model, wanted, order)
        if named and len(cls._selects) < 256:
            cls._selects[key] = statement
    return statement


def _select(
    model: Model, wanted: Mapping[str, Any], order: Iterable[str | ColumnElement[Any]]
) -> Select[Any]:
    record = model.record
    statement = select(record)
    for name, value in wanted.items():
        column = record.c[name]
        if value is None:
            statement = statement.where(column.is_(None))
        else:
            statement = statement.where(column == bindparam(name, type_=column.type, required=True))
    statement = statement.order_by(*(_ordering(model, entry) for entry in order), record.c[SEQUENCE])
    # A limit of -1 is none: one statement for every page.
    return statement.limit(bindparam("_limit", type_=Integer, required=True)).offset(
        bindparam("_offset", type_=Integer, required=True)
    )


def _ordering(model: Model, entry: str | ColumnElement[Any]) -> ColumnElement[Any] | UnaryExpression[Any]:
    if not isinstance(entry, str):
        return entry
    name = entry.removeprefix("-")
    name = model.aliases.get(name, name)
    if name in model.passing:
        raise ValidationError(model.name, name, None, "order", "it has no column to sort by")
    if name not in model.fields and name not in IDENTITY:
        raise unknown(model, name, None)
    column = model.record.c[name]
    return column.desc() if entry.startswith("-") else column


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameworkError(f"retrieve: {name} is a whole number from 0, not {value!r}")
    return min(value, 2**63 - 1)
