"""The state of each ATOM class and instance besides its fields.

The rule: the modules that load, save and connect instances use only this. ``framework.atom.instance`` adds what
scripts see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from sqlalchemy import Select

from framework.atom.memory import Memory
from framework.atom.model import SEQUENCE, Model
from framework.atom.values import IDENTITY
from framework.definitions import Transition
from framework.storage.gathering import Row
from framework.storage.operations import Referrer
from framework.transactions.session import Session


class State:
    """Base of ``Atom``: its model, its session, its relatives, and the row that was last loaded or saved."""

    key_field: ClassVar[str | None]
    _model: ClassVar[Model]
    _session: ClassVar[Session]
    _scope: ClassVar[dict[str, Any]]
    _selects: ClassVar[dict[Any, Select[Any]]]
    _states: ClassVar[Mapping[str, tuple[Transition, ...]]]
    _memory: ClassVar[Memory | None]  # the rows of a class without a table
    # Set when all classes of the folder are known; see `references.connect`.
    _classes: ClassVar[Mapping[str, type[State]]]
    _referrers: ClassVar[tuple[tuple[str, Referrer], ...]]  # what refers to it, and by which of its columns
    _referred: ClassVar[frozenset[str]]  # the columns that others refer to it by
    _linked: ClassVar[bool]  # does a save write more than one row of one table?

    # The stored form of the fields when last loaded or saved. None while there is no row.
    _stored: dict[str, Any] | None
    _destroyed: bool
    _sequence: int  # the number of its row, if it was loaded
    instance: str
    xid: str | None
    xname: str | None

    def _own(self) -> dict[str, Any]:
        """Everything that is not None of identity, identifier and fields, without references."""
        values = self.__dict__
        names = (*IDENTITY, *self._model.fields)
        return {name: values[name] for name in names if values[name] is not None}

    @classmethod
    def _from_row(cls, row: Row) -> Self:
        model = cls._model
        self = cls.__new__(cls)
        stored = dict(row)
        values = self.__dict__
        values["_sequence"] = stored.pop(SEQUENCE)
        values.update(stored)
        values["_stored"] = stored
        values["_destroyed"] = False
        model.decode(values)
        if model.passing:
            values.update(model.without_columns(cls._scope))
        return self
