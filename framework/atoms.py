"""The classes and tables of a folder by name: what scripts see as ``atom`` and ``model``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Table

from framework.atom import Atom, did_you_mean
from framework.definitions import AtomDefinition
from framework.model import Model
from framework.session import Session
from framework.transaction import Connection


class Atoms:
    """The generated classes by name: what scripts see as ``atom``."""

    def __init__(
        self, definitions: Iterable[AtomDefinition], session: Session, scope: dict[str, Any]
    ) -> None:
        self._classes: dict[str, type[Atom]] = {
            definition.name: _generate(Model(definition), session, scope) for definition in definitions
        }

    def __getattr__(self, name: str) -> type[Atom]:
        try:
            return self._classes[name]
        except KeyError:
            raise AttributeError(f"no ATOM class {name!r}{did_you_mean(name, self._classes)}") from None

    def __iter__(self) -> Iterator[type[Atom]]:
        return iter(self._classes.values())

    def __dir__(self) -> list[str]:
        return sorted(self._classes)

    @property
    def records(self) -> list[Table]:
        """The tables of all persisted classes, for the storage to make."""
        return [generated._model.record for generated in self if generated._model.definition.persistent]


class Models:
    """The tables of the classes by name: what scripts see as ``model``."""

    def __init__(self, atoms: Atoms, session: Session) -> None:
        self._session = session
        self._tables = {generated.__name__: generated._model.table for generated in atoms}

    @asynccontextmanager
    async def aiodb(self) -> AsyncIterator[Connection]:
        """A connection for explicit transactions: ``async with conn.begin() as tran``."""
        connection = self._session.connection()
        try:
            yield connection
        finally:
            connection.close()

    def __getattr__(self, name: str) -> Table:
        try:
            return self._tables[name]
        except KeyError:
            raise AttributeError(f"no table {name!r}{did_you_mean(name, self._tables)}") from None

    def __dir__(self) -> list[str]:
        return sorted([*self._tables, "aiodb"])


def _generate(model: Model, session: Session, scope: dict[str, Any]) -> type[Atom]:
    return type(
        model.name,
        (Atom,),
        {
            "__doc__": f"ATOM class, defined at {model.definition.location}.",
            "__module__": "atom",
            "key_field": model.key_field,
            "_model": model,
            "_session": session,
            "_scope": scope,
            "_selects": {},
        },
    )
