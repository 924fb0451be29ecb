"""Instances: construction, fields as attributes, and their form as data.

The rule: an attribute always holds a value that its field accepts. A change inside a list or mapping is checked when
the instance is saved.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Self

from framework.atom import assignment, queries, references, saving
from framework.atom.state import State
from framework.atom.values import IDENTITY, abstract, new_identity, text, unknown
from framework.errors import ValidationError
from framework.transactions.transaction import Place
from framework.values import yamltext


class Atom(State):
    """Base of the generated classes. Fields are plain attributes. Assignment checks the value.

    An instance belongs to one task at a time. If two tasks save it at once, both win, field by field.
    """

    def __init__(
        self,
        /,  # a field may be called `self`
        *,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **fields: Any,
    ) -> None:
        model = self._model
        if not fields.keys() <= model.names:
            fields = model.named(fields)
        if not fields.keys() <= model.names:
            name = next(name for name in fields if name not in model.names)
            raise unknown(model, name, fields[name])
        if model.definition.abstract:
            raise abstract(model)
        values = self.__dict__
        values["_stored"] = None
        values["_destroyed"] = False
        values["instance"] = (
            new_identity(model.name) if instance is None else text(model, "instance", instance)
        )
        values["xid"] = None if xid is None else text(model, "xid", xid)
        values["xname"] = None if xname is None else text(model, "xname", xname)
        assignment.fill(self, fields)

    def __await__(self) -> Generator[None, None, Self]:
        """The instance itself: ``await atom.X(…)`` is the same as without ``await``."""
        return self
        yield

    # ---- values -----------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        model = self._model
        if name in model.names:
            self.__dict__[name] = assignment.accepted(self, name, value)
        elif name in model.aliases:
            setattr(self, model.aliases[name], value)
        elif name == "instance":
            raise ValidationError(model.name, name, value, "immutable", "it is made once and never changed")
        elif name in IDENTITY:
            self.__dict__[name] = text(model, name, value)
        elif name.startswith("_"):
            self.__dict__[name] = value
        else:
            raise unknown(model, name, value)

    def __delattr__(self, name: str) -> None:
        raise ValidationError(
            self._model.name, name, None, "unknown", "a field cannot be deleted; assign None"
        )

    def __iadd__(self, fields: Mapping[str, Any]) -> Self:
        """Assign several fields: all of them, or none if one is refused."""
        accepted = {
            name: assignment.accepted(self, name, value) for name, value in self._model.named(fields).items()
        }
        self.__dict__.update(accepted)
        return self

    @classmethod
    def fieldnames(cls) -> list[str]:
        """``instance``, ``xid`` and ``xname``, then the names of the fields.

        Inherited ones come first, then the identifier, the local fields and the references.
        """
        return [*IDENTITY, *cls._model.fieldnames]

    @classmethod
    def fieldmetadata(cls, name: str) -> dict[str, Any]:
        """A copy of what the definition says about a field under ``field_metadata``."""
        model = cls._model
        name = model.aliases.get(name, name)
        if name not in model.names:
            raise unknown(model, name, None)
        found = model.fields[name] if name in model.fields else model.relations[name].reference
        return copy.deepcopy(dict(found.metadata))

    def localfields(self) -> dict[str, Any]:
        """The identifier and the local fields. Nested values are the instance's own, not copies."""
        values = self.__dict__
        return {name: values[name] for name in self._model.local}

    @property
    def dictionary(self) -> dict[str, Any]:
        """Everything that is not None: identity, identifier and fields, and the same for all referred instances.

        An instance is expanded each time it occurs. Inside itself, its key takes its place, so that a cycle ends.
        """
        return references.expanded(self) if self._model.relations else self._own()

    @property
    def yaml_format(self) -> str:
        """YAML text: the class name on top, keys sorted, None dropped."""
        return yamltext.dump({self._model.name: self.dictionary})

    def __repr__(self) -> str:
        key = self._model.key_column
        return f"<{self._model.name} {key}={self.__dict__[key]!r}>"

    # ---- the database -----------------------------------------------------------------------

    async def save(
        self, /, conn: Place | None = None, tran: Any = None, propagation_mode: bool = True, **updates: Any
    ) -> Self:
        """Insert a new instance, or write the fields that differ from what was loaded.

        ``updates`` are assigned first; they stay only if the save succeeds. Durable when this returns.
        With ``propagation_mode``, all instances that it leads to are saved as well, in the same transaction. Without
        it, only its own fields are saved. Raises ``ValidationError``, ``Duplicate`` (an insert never overwrites),
        ``Gone``, and ``StillReferred`` when a value by which others refer to it would change.
        """
        await saving.save(self, updates, conn, propagate=propagation_mode)
        return self

    async def destroy(
        self,
        conn: Place | None = None,
        tran: Any = None,
        propagation_mode: bool = True,
        delay_seconds: float = 0,
    ) -> None:
        """Delete the row, ``delay_seconds`` from now (the call waits). Raises ``Gone`` if there is none.

        Referred instances stay, with or without ``propagation_mode``. If others refer to the instance, it is not
        destroyed: ``StillReferred``.
        """
        await saving.destroy(self, delay_seconds, conn)

    @classmethod
    async def load(
        cls, key: Any, conn: Place | None = None, shallow: bool = False, for_update: bool = False
    ) -> Self | None:
        """The instance with this identifier, or ``None``, also for a value that no identifier can have.

        It comes with all instances that it leads to. ``shallow`` leaves their keys instead. ``for_update`` keeps
        others from writing until the end of the transaction, ``conn`` or the script's own.
        """
        return await queries.load(cls, key, conn, shallow=shallow, for_update=for_update)

    @classmethod
    async def retrieve(
        cls,
        /,
        conn: Place | None = None,
        shallow: bool = False,
        order_by: queries.Order = (),
        offset: int = 0,
        limit: int | None = None,
        *,
        for_update: bool = False,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **field_equals: Any,
    ) -> list[Self]:
        """The instances whose fields equal the given values, in order of insertion or of ``order_by``.

        ``order_by`` takes field names, ``"-created"`` for descending, and columns of ``model.X``. A reference
        equals an instance or its key, an array one of its members. ``shallow`` and ``for_update`` as in ``load``.
        """
        given = {"instance": instance, "xid": xid, "xname": xname}
        equals = field_equals | {name: value for name, value in given.items() if value is not None}
        page = queries.Page(order_by, offset, limit)
        return await queries.retrieve(cls, equals, page, conn, shallow=shallow, for_update=for_update)

    @classmethod
    def iterate(
        cls,
        /,
        conn: Place | None = None,
        shallow: bool = False,
        *,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **field_equals: Any,
    ) -> AsyncIterator[Self]:
        """The instances that ``retrieve`` would return, one by one, in order of insertion. Use it for many rows.

        They are read page by page, so memory stays flat and no transaction is held in between.
        """
        given = {"instance": instance, "xid": xid, "xname": xname}
        equals = field_equals | {name: value for name, value in given.items() if value is not None}
        return queries.iterate(cls, equals, conn, shallow=shallow)

    @classmethod
    async def count(
        cls,
        /,
        conn: Place | None = None,
        *,
        instance: str | None = None,
        xid: str | None = None,
        xname: str | None = None,
        **field_equals: Any,
    ) -> int:
        """The number of instances that ``retrieve`` would return."""
        given = {"instance": instance, "xid": xid, "xname": xname}
        equals = field_equals | {name: value for name, value in given.items() if value is not None}
        return await queries.count(cls, equals, conn)
