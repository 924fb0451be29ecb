"""ATOM: persisted classes, generated from definitions.

    order = atom.OrderEntry(parameters={"name": "x"})
    await order.save()                              # inserts
    order = await atom.OrderEntry.load(order.orderId)
    await order.save(status="done")                 # writes the fields that differ from what was loaded

The one rule: **a value that a field does not accept is refused where it is given**, at construction, on
assignment and on ``save(**updates)``, with nothing half done.
"""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, Integer, Select, UnaryExpression, bindparam, select

from framework import yamltext
from framework.errors import FrameworkError, Gone, ValidationError
from framework.identity import new_instance
from framework.model import SEQUENCE, Model
from framework.session import Session
from framework.storage.contract import Row
from framework.storage.operations import Delete, Insert, Update
from framework.transaction import Place

# What every instance has besides its fields: the platform's own identity, and the ids of other systems.
_IDENTITY = ("instance", "xid", "xname")

_SURROGATE = re.compile("[\ud800-\udfff]")


class Atom:
    """Base of the generated classes. Fields are plain attributes; assigning checks the value.

    An instance belongs to one task at a time: two that save it at once both win, field by field.
    """

    key_field: ClassVar[str | None]
    _model: ClassVar[Model]
    _session: ClassVar[Session]
    _scope: ClassVar[dict[str, Any]]
    _selects: ClassVar[dict[Any, Select[Any]]]

    # The stored form of the fields when last loaded or saved; None while there is no row.
    _stored: dict[str, Any] | None
    _destroyed: bool
    instance: str
    xid: str | None
    xname: str | None

    def __init__(
        self,
        *,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **fields: Any,
    ) -> None:
        model = self._model
        if not fields.keys() <= model.fields.keys():
            name = next(name for name in fields if name not in model.fields)
            raise _unknown(model, name, fields[name])
        values = self.__dict__
        values["_stored"] = None
        values["_destroyed"] = False
        values["instance"] = (
            _new_instance(model.name) if instance is None else _text(model, "instance", instance)
        )
        values["xid"] = None if xid is None else _text(model, "xid", xid)
        values["xname"] = None if xname is None else _text(model, "xname", xname)
        for name, field in model.fields.items():
            if name in fields:
                values[name] = model.accept(name, fields[name])
            elif field.default is not None:
                values[name] = model.accept(name, field.default.make(self._scope))
            elif field.nullable:
                values[name] = None
            else:
                raise ValidationError(
                    model.name,
                    name,
                    None,
                    "required",
                    "a value is needed: it is not nullable and has no default",
                )

    # ---- values -----------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        model = self._model
        if name in model.fields:
            self.__dict__[name] = self._accept(name, value)
        elif name == "instance":
            raise ValidationError(model.name, name, value, "immutable", "it is made once and never changed")
        elif name in _IDENTITY:
            self.__dict__[name] = _text(model, name, value)
        elif name.startswith("_"):
            self.__dict__[name] = value
        else:
            raise _unknown(model, name, value)

    def __delattr__(self, name: str) -> None:
        raise ValidationError(
            self._model.name, name, None, "unknown", "a field cannot be deleted; assign None"
        )

    def __iadd__(self, fields: Mapping[str, Any]) -> Self:
        """Merge fields: all of them, or none if one is refused."""
        accepted = {name: self._accept(name, value) for name, value in dict(fields).items()}
        self.__dict__.update(accepted)
        return self

    def _accept(self, name: str, value: Any) -> Any:
        model = self._model
        if name not in model.fields:
            raise _unknown(model, name, value)
        accepted = model.accept(name, value)
        if model.fields[name].immutable and accepted != self.__dict__[name]:
            raise ValidationError(
                model.name, name, value, "immutable", "it is immutable: it is given once, at construction"
            )
        return accepted

    @classmethod
    def fieldnames(cls) -> list[str]:
        """The names of the identifier and the local fields, in the order of the definition."""
        return list(cls._model.fields)

    def localfields(self) -> dict[str, Any]:
        """The identifier and the local fields. Nested values are the instance's own, not copies."""
        values = self.__dict__
        return {name: values[name] for name in self._model.fields}

    @property
    def dictionary(self) -> dict[str, Any]:
        """Everything that is not None: identity, identifier and fields."""
        values = self.__dict__
        names = (*_IDENTITY, *self._model.fields)
        return {name: values[name] for name in names if values[name] is not None}

    @property
    def yaml_format(self) -> str:
        """YAML text: the class name on top, keys sorted, None dropped."""
        return yamltext.dump({self._model.name: self.dictionary})

    def __repr__(self) -> str:
        key = self._model.key_column
        return f"<{self._model.name} {key}={self.__dict__[key]!r}>"

    # ---- the database -----------------------------------------------------------------------

    async def save(
        self, conn: Place | None = None, tran: Any = None, propagation_mode: bool = True, **updates: Any
    ) -> Self:
        """Insert a new instance, or write the fields that differ from what was loaded.

        ``updates`` are assigned first; they stay only if the save succeeds. Durable when this returns.
        Raises ``ValidationError``, ``Duplicate`` (an insert never overwrites) and ``Gone``.
        """
        model = self._model
        values = self.__dict__
        if self._destroyed:
            raise Gone(model.name, values[model.key_column])
        accepted = {name: self._accept(name, value) for name, value in updates.items()}
        row = model.encode(values | accepted if accepted else values)
        row["xid"], row["xname"] = values["xid"], values["xname"]
        stored = self._stored
        before = {name: values[name] for name in accepted}
        if stored is None:
            row["instance"] = values["instance"]
            undo = partial(self._restore, None, {}, before)
            await self._session.write([Insert(model.record, row)], conn, undo)
            values["_stored"] = row
        else:
            changes = {name: value for name, value in row.items() if stored[name] != value}
            if changes:
                key = values[model.key_column]
                undo = partial(self._restore, stored, {name: stored[name] for name in changes}, before)
                await self._session.write([Update(model.record, model.key_column, key, changes)], conn, undo)
                stored.update(changes)
        values.update(accepted)
        return self

    def _restore(
        self, stored: dict[str, Any] | None, changed: dict[str, Any], before: dict[str, Any]
    ) -> None:
        """Back to before a save that was not stored after all, so that a second one writes it."""
        if stored is not None:
            stored.update(changed)
        self.__dict__.update(before, _stored=stored, _destroyed=False)

    async def destroy(
        self,
        conn: Place | None = None,
        tran: Any = None,
        propagation_mode: bool = True,
        delay_seconds: float = 0,
    ) -> None:
        """Delete the row, ``delay_seconds`` from now (the call waits for it). ``Gone`` when there is none."""
        model = self._model
        key = self.__dict__[model.key_column]
        if self._stored is None or self._destroyed:
            raise Gone(model.name, key)
        if delay_seconds > 0:
            await self._session.sleep(delay_seconds)
        undo = partial(self._restore, self._stored, {}, {})
        await self._session.write([Delete(model.record, model.key_column, key)], conn, undo)
        self.__dict__["_destroyed"] = True

    @classmethod
    async def load(
        cls, key: Any, conn: Place | None = None, shallow: bool = False, for_update: bool = False
    ) -> Self | None:
        """The instance with this identifier, or ``None``. A value that no identifier can have finds none."""
        model = cls._model
        try:
            key = model.accept(model.key_field, key) if model.key_field else _text(model, "instance", key)
        except ValidationError:
            return None
        row = await cls._session.load(model.record, model.key_column, key, conn, for_update=for_update)
        return None if row is None else cls._from_row(row)

    @classmethod
    async def retrieve(
        cls,
        conn: Place | None = None,
        shallow: bool = False,
        order_by: Sequence[str | ColumnElement[Any]] = (),
        offset: int = 0,
        limit: int | None = None,
        *,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **field_equals: Any,
    ) -> list[Self]:
        """The instances whose fields equal the given values, in order of insertion or of ``order_by``.

        ``order_by`` takes field names, ``"-created"`` for descending, and columns of ``model.X``.
        """
        model = cls._model
        wanted = {name: cls._comparable(name, value) for name, value in field_equals.items()}
        given = {"instance": instance, "xid": xid, "xname": xname}
        wanted |= {name: _text(model, name, value) for name, value in given.items() if value is not None}
        parameters = {name: value for name, value in wanted.items() if value is not None}
        parameters |= {
            "_offset": _count("offset", offset),
            "_limit": -1 if limit is None else _count("limit", limit),
        }
        order = (order_by,) if isinstance(order_by, str | ColumnElement) else tuple(order_by)
        key = (tuple((name, value is None) for name, value in sorted(wanted.items())), order)
        statement = cls._selects.get(key) if all(isinstance(column, str) for column in order) else None
        if statement is None:
            statement = _select(model, wanted, order)
            if all(isinstance(column, str) for column in order) and len(cls._selects) < 256:
                cls._selects[key] = statement
        rows = await cls._session.select(statement, parameters, conn)
        return [cls._from_row(row) for row in rows]

    @classmethod
    def _comparable(cls, name: str, value: Any) -> Any:
        model = cls._model
        if name not in model.fields:
            raise _unknown(model, name, value)
        if name in model.decoders:
            raise ValidationError(
                model.name,
                name,
                value,
                "filter",
                f"retrieve cannot compare a field of type {model.fields[name].type.text}",
            )
        return None if value is None else model.accept(name, value)

    @classmethod
    def _from_row(cls, row: Row) -> Self:
        model = cls._model
        self = cls.__new__(cls)
        stored = dict(row)
        del stored[SEQUENCE]
        values = self.__dict__
        values["_stored"] = stored
        values["_destroyed"] = False
        for name in _IDENTITY:
            values[name] = stored[name]
        values.update(model.decode(stored))
        return self


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
    if name not in model.fields and name not in _IDENTITY:
        raise _unknown(model, name, None)
    column = model.record.c[name]
    return column.desc() if entry.startswith("-") else column


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameworkError(f"retrieve: {name} is a whole number from 0, not {value!r}")
    return min(value, 2**63 - 1)


def _new_instance(class_name: str) -> str:
    return base64.b64encode(new_instance(class_name).encode()).decode("ascii")


def _text(model: Model, name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValidationError(model.name, name, value, "type", f"it takes text, not {type(value).__name__}")
    if value is not None and not value.isascii() and _SURROGATE.search(value):
        raise ValidationError(model.name, name, value, "text", "it takes no half of a surrogate pair")
    return value


def _unknown(model: Model, name: str, value: Any) -> ValidationError:
    return ValidationError(
        model.name, name, value, "unknown", f"no such field{did_you_mean(name, model.fields)}"
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
