"""A snapshot: definitions bound to classes, routes and a scope. It is immutable. A reload makes a new one.

Binding opens no database, listens nowhere and runs no code of the definitions. ``check`` goes this far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from framework.atom.classes import Atoms, Models
from framework.definitions import Definitions, WorkerDefinition
from framework.gateway.endpoints.handlers import Endpoints
from framework.gateway.routing import Routes
from framework.queue.fifo import Fifos
from framework.script import scope as builtin_scope
from framework.script.callout import Callout
from framework.script.debug import DebugChannel
from framework.script.settings import Settings
from framework.transactions.session import Session


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the definitions have become."""

    definitions: Definitions
    atoms: Atoms
    routes: Routes
    workers: tuple[WorkerDefinition, ...]
    scope: dict[str, Any]


def bind(
    definitions: Definitions,
    *,
    session: Session,
    fifos: Fifos,
    debug: DebugChannel,
    callout: Callout,
    settings: Settings,
) -> Snapshot:
    """Make classes, routes and the scope of scripts from checked definitions."""
    scope = builtin_scope.build(
        session=session,
        fifos=fifos,
        debug=debug,
        callout=callout,
        settings=settings,
        modules=definitions.modules,
    )
    atoms = Atoms(definitions.atoms, session, scope)
    scope["atom"] = atoms
    scope["model"] = Models(atoms, session)
    return Snapshot(
        definitions=definitions,
        atoms=atoms,
        routes=Routes(definitions.routes, scope, _endpoints(definitions, atoms)),
        workers=definitions.workers,
        scope=scope,
    )


def _endpoints(definitions: Definitions, atoms: Atoms) -> dict[str, Endpoints]:
    """The handlers of the routes that were made for classes."""
    return {of.name: Endpoints(getattr(atoms, of.name), of.api) for of in definitions.atoms if of.api}
