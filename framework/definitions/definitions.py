"""All definitions of a folder.

The rule: definitions are frozen and in the order of their files. All that remains of the YAML is where each thing
stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from .atom import AtomDefinition
from .fifo import FifoPolicy
from .module import ModuleDefinition
from .role import RoleDefinition
from .routing import RouteDefinition
from .worker import WorkerDefinition


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a folder defines, kind by kind."""

    atoms: tuple[AtomDefinition, ...] = ()
    routes: tuple[RouteDefinition, ...] = ()
    workers: tuple[WorkerDefinition, ...] = ()
    fifos: tuple[FifoPolicy, ...] = ()
    modules: tuple[ModuleDefinition, ...] = ()
    roles: tuple[RoleDefinition, ...] = ()
