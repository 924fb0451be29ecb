"""The stub of the names that every script sees without an import, `framework_names.pyi`.

The rule: exactly the names of ``framework.definitions.names``; a test holds the two together.
"""

from __future__ import annotations

from framework.definitions.names import BUILT_IN_OBJECTS, ERRORS, LATE_NAMES, METHODS, MODULES, OF_SQLALCHEMY

BUILTINS_STUB = """\
# Pyright and Pylance take the names in this file as builtins: scripts need no import of them.
from framework_names import *
"""


def names_stub() -> str:
    """Each name with its type."""
    modules = [name for name in MODULES if name != "urllib"]
    lines = [f"import {name} as {name}" for name in modules]
    lines += [
        "import logging as _logging",
        "import urllib.parse",
        "from typing import Any as _Any, Literal as _Literal",
    ]
    lines += ["", "import sqlalchemy as sqlalchemy"]
    lines += [f"from sqlalchemy import {name} as {name}" for name in sorted(OF_SQLALCHEMY)]
    lines += ["from framework.script.cache import CacheStore as _CacheStore"]
    lines += ["from framework.script.callout import Callout as _Callout"]
    lines += [f"from framework.errors import {name} as {name}" for name in sorted(ERRORS)]
    lines += ["from framework.queue.fifo import Fifos as _Fifos", "from framework.values.mu import MU as MU"]
    lines += ["from framework.script.scope import RuntimeView as _RuntimeView"]
    lines += ["from framework.script.settings import Options as _Options", ""]
    lines += [f"import {name} as {name}" for name in ("atom", "context", "model")]
    lines += ["", "Cache: _CacheStore", "FIFO: _Fifos", "Runtime: _RuntimeView", "callout: _Callout"]
    lines += ["options: _Options"]
    lines += ["jsonschema: _Any", "logger: _logging.Logger", "", "def qprint(value: object) -> None: ...", ""]
    lines += [f'{name}: _Literal["{name}"]' for name in METHODS]
    lines += ["", f"__all__ = {sorted(names())!r}"]
    return "\n".join(lines)


def names() -> list[str]:
    """The names that the stub has."""
    return [*BUILT_IN_OBJECTS, *METHODS, *MODULES, *LATE_NAMES]
