"""Loads and checks a folder of YAML definitions.

The rule: nothing in here knows of HTTP servers, SQL or asyncio. It turns files into frozen definitions and a list of
problems. The only code of the definitions that it runs are defaults that do not need the runtime.
"""

from __future__ import annotations

from .atom import AtomDefinition, Reference
from .check import Checked, check
from .default import Default
from .definitions import Definitions
from .endpoints import EndpointsDefinition
from .fields import Field, FieldType
from .fifo import Backoff, FifoPolicy
from .kinds import KINDS
from .location import Location
from .method import Method
from .module import ModuleDefinition
from .names import COMMON_NAMES, METHODS, MODULES, RESPONSE_PARAMETERS, ROUTING_PARAMETERS
from .problem import CODES, CannotRun, Problem, nearest
from .render import render, summary
from .role import Authority, RoleDefinition
from .routing import RouteDefinition, Target
from .schema import schema_of
from .script import Script
from .transition import Transition
from .validation import RequestSchemas
from .values import FieldError
from .worker import WorkerDefinition

__all__ = [
    "CODES",
    "COMMON_NAMES",
    "KINDS",
    "METHODS",
    "MODULES",
    "RESPONSE_PARAMETERS",
    "ROUTING_PARAMETERS",
    "AtomDefinition",
    "Authority",
    "Backoff",
    "CannotRun",
    "Checked",
    "Default",
    "Definitions",
    "EndpointsDefinition",
    "Field",
    "FieldError",
    "FieldType",
    "FifoPolicy",
    "Location",
    "Method",
    "ModuleDefinition",
    "Problem",
    "Reference",
    "RequestSchemas",
    "RoleDefinition",
    "RouteDefinition",
    "Script",
    "Target",
    "Transition",
    "WorkerDefinition",
    "check",
    "nearest",
    "render",
    "schema_of",
    "summary",
]
