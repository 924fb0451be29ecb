"""The classes and tables of a folder by name: what scripts see as ``atom`` and ``model``.

The classes are real: a class that extends another one is its Python subclass. ``define_methods`` defines their
methods at the start and not earlier, because decorators and defaults run code of the definitions.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Table

from framework.atom import Atom, Memory, connect, did_you_mean, propagation, transitions
from framework.atom.model import Model
from framework.definitions import AtomDefinition, Location, Method
from framework.definitions.rewriting import ROOT_OF
from framework.transactions.connection import Connection
from framework.transactions.session import Session


class Atoms:
    """The generated classes by name: what scripts see as ``atom``."""

    def __init__(
        self, definitions: Iterable[AtomDefinition], session: Session, scope: dict[str, Any]
    ) -> None:
        listed = tuple(definitions)
        known = {definition.name: definition for definition in listed}
        made: dict[str, type[Atom]] = {}
        for definition in sorted(listed, key=lambda one: len(one.lineage)):  # parents first
            bases = tuple(made[name] for name in definition.extends) or (Atom,)
            made[definition.name] = _generate(Model(definition, known), bases, session, scope)
        self._classes = {definition.name: made[definition.name] for definition in listed}
        connect(self._classes)

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
        """The tables of all persisted classes, and of their references, for the storage to make."""
        models = [generated._model for generated in self if generated._model.stored]
        return [table for model in models for table in (model.record, *model.links())]

    def define_methods(self, scope: Mapping[str, Any]) -> None:
        """Give each class its own methods. They see the names of ``scope``.

        Raises whatever a decorator or the default of an argument raises.
        """
        functions: dict[Location, Any] = {}
        for generated in self:
            definition = generated._model.definition
            names = {
                **scope,
                "logger": logging.getLogger(f"framework.script.{definition.name}"),
                ROOT_OF: propagation.root_of,
            }
            for method in (*definition.class_methods, *definition.instance_methods):
                if method.owner == definition.name:
                    functions[method.location] = _define(generated, method, names)
        for generated in self:
            for method in generated._model.definition.instance_methods:
                function = functions[method.location]
                called = propagation.in_time(function, method)
                called = transitions.around(called, method.name, generated._states)
                called = propagation.around(called, method)
                if called is not function:
                    setattr(generated, _attribute(method), called)


class Models:
    """The tables of the classes by name: what scripts see as ``model``."""

    def __init__(self, atoms: Atoms, session: Session) -> None:
        self._session = session
        models = [generated._model for generated in atoms if generated._model.stored]
        self._tables = {model.name: model.table for model in models}
        self._links = {table.name: table for model in models for table in model.links()}

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

    def __getitem__(self, name: str) -> Table:
        """The table of a class, or of a reference that is an array: ``model["Team.members"]``."""
        found = self._links.get(name)
        return getattr(self, name) if found is None else found

    def __dir__(self) -> list[str]:
        return sorted([*self._tables, "aiodb"])


def _define(generated: type[Atom], method: Method, names: dict[str, Any]) -> Any:
    """Make the method an attribute of its class. From then on its ``super()`` knows the class."""
    members = method.script.members(names)
    if "__classcell__" in members:
        members["__classcell__"].cell_contents = generated
    function = members[_attribute(method)]
    setattr(generated, _attribute(method), classmethod(function) if method.kind == "class" else function)
    return function


def _attribute(method: Method) -> str:
    """The attribute name of a method. A private name is mangled, as in Python."""
    if method.name.startswith("__") and not method.name.endswith("__"):
        return f"_{method.owner.lstrip('_')}{method.name}"
    return method.name


def _generate(
    model: Model, bases: tuple[type[Atom], ...], session: Session, scope: dict[str, Any]
) -> type[Atom]:
    return type(
        model.name,
        bases,
        {
            "__doc__": f"ATOM class, defined at {model.definition.location}.",
            "__module__": "atom",
            "key_field": model.key_field,
            "_model": model,
            "_session": session,
            "_scope": scope,
            "_selects": {},
            "_memory": None if model.definition.persistent or model.definition.abstract else Memory(model),
            **{alias: _alias(name) for alias, name in model.aliases.items()},
            "_states": model.definition.states,
        },
    )


def _alias(name: str) -> property:
    return property(lambda atom: atom.__dict__[name], doc=f"Another name of {name}.")
