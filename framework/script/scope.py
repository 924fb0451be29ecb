"""What scripts see without importing it: the built-in objects, by name.

``framework.definitions.names`` has the names themselves, for the check. A test compares both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from framework import errors
from framework.atom import did_you_mean
from framework.definitions import ModuleDefinition
from framework.definitions.names import ERRORS, METHODS, MODULES, OF_SQLALCHEMY
from framework.queue.fifo import Fifos
from framework.script.cache import CacheStore
from framework.script.callout import Callout
from framework.script.debug import DebugChannel
from framework.script.settings import Options, Settings
from framework.transactions.context import entered
from framework.transactions.session import Session
from framework.values.mu import MU


class RuntimeView:
    """``Runtime`` of the scripts: whether to go on."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def running(self) -> bool:
        """False as soon as a stop has begun."""
        return self._session.running

    def __repr__(self) -> str:
        return "Runtime"


class Context:
    """``context`` of the scripts: ``context.settings``, and each module definition by its name.

    A module's top level runs once per process, at its first use or at the start.
    """

    def __init__(
        self, settings: Settings, modules: Iterable[ModuleDefinition], scope: dict[str, Any]
    ) -> None:
        self.settings = settings
        self._definitions = {module.name: module for module in modules}
        self._modules: dict[str, ModuleType] = {}
        self._scope = scope

    def __getattr__(self, name: str) -> ModuleType:
        if name in self._modules:
            return self._modules[name]
        definition = self._definitions.get(name)
        if definition is None:
            hint = did_you_mean(name, [*self._definitions, "settings"])
            raise AttributeError(f"context has no module {name!r}{hint}")
        module = ModuleType(name)
        module.__dict__.update(
            self._scope, __name__=name, logger=logging.getLogger(f"framework.script.{name}")
        )
        self._modules[name] = module  # before it runs: two modules may know each other
        try:
            with entered(script=name):
                definition.script.run(module.__dict__)
        except BaseException:
            del self._modules[name]
            raise
        return module

    def run_modules(self) -> None:
        """Run the top level of every module that has not run yet. Raises its error."""
        for name in self._definitions:
            getattr(self, name)

    def __dir__(self) -> list[str]:
        return sorted([*self._definitions, "settings"])

    def __repr__(self) -> str:
        return f"context({', '.join(dir(self))})"


def build(
    *,
    session: Session,
    fifos: Fifos,
    debug: DebugChannel,
    callout: Callout,
    settings: Settings,
    modules: Iterable[ModuleDefinition],
) -> dict[str, Any]:
    """The scope of all scripts, except ``atom`` and ``model``, which are bound to it afterwards."""
    import jsonschema
    import sqlalchemy

    scope: dict[str, Any] = {
        **MODULES,
        "sqlalchemy": sqlalchemy,
        "jsonschema": jsonschema,
        **{name: getattr(sqlalchemy, name) for name in OF_SQLALCHEMY},
        **{name: getattr(errors, name) for name in ERRORS},
        **{method: method for method in METHODS},
        "FIFO": fifos,
        "MU": MU,
        "Cache": CacheStore(),
        "Runtime": RuntimeView(session),
        "callout": callout,
        "logger": logging.getLogger("framework.script"),
        "qprint": debug.qprint,
    }
    scope["context"] = Context(settings, modules, scope)
    scope["options"] = Options(settings)
    return scope
