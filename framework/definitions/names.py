"""The names that the scripts of definitions see without an import.

The rule: this is the only list. The check refuses every other name, and the runtime binds exactly these.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType

METHODS: tuple[str, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
"""The HTTP methods; each name stands for its own text."""

ERRORS: tuple[str, ...] = (
    "HTTPError",
    "Error",
    "ValidationError",
    "TransitionError",
    "Duplicate",
    "Gone",
    "StillReferred",
    "Reject",
    "Retry",
)
"""Those of `framework.errors` that scripts raise and catch."""

BUILT_IN_OBJECTS: tuple[str, ...] = (
    "atom",
    "model",
    "FIFO",
    "MU",
    "callout",
    "qprint",
    "Runtime",
    "context",
    "options",
    "logger",
    "Cache",
    *ERRORS,
)
"""What the framework itself offers."""

OF_SQLALCHEMY: tuple[str, ...] = ("and_", "or_", "not_", "join", "select")

LATE_NAMES: tuple[str, ...] = ("sqlalchemy", "jsonschema", *OF_SQLALCHEMY)
"""Of libraries that are slow to import: known here by name only, bound by the runtime."""

ROUTING_PARAMETERS: tuple[str, ...] = ("request", "resources", "parameters", "route", "finish", "session")
RESPONSE_PARAMETERS: tuple[str, ...] = (*ROUTING_PARAMETERS, "response")


class _Modules(Mapping[str, ModuleType]):
    """Modules of the standard library. Each is imported on first use."""

    _names = (
        "io",
        "re",
        "time",
        "uuid",
        "json",
        "datetime",
        "copy",
        "base64",
        "ipaddress",
        "urllib",
        "asyncio",
    )

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        if name == "urllib":
            importlib.import_module("urllib.parse")
        return importlib.import_module(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


MODULES: Mapping[str, ModuleType] = _Modules()

COMMON_NAMES: frozenset[str] = frozenset((*BUILT_IN_OBJECTS, *METHODS, *MODULES, *LATE_NAMES))
