"""Stubs (`.pyi`) of what scripts see, for editors and mypy: classes, tables, modules, and the built-in objects.

The rule: a stub promises only what is certain. If the definitions do not tell a type, it is `Any`.
"""

from __future__ import annotations

from framework.definitions import Definitions
from framework.stubs.classes import atom_stub, model_stub
from framework.stubs.modules import context_stub, module_stub
from framework.stubs.names import BUILTINS_STUB, names_stub

HEADER = """\
# Written by `framework stubs` from the definitions: run it again after a change.
# mypy: disable-error-code="override,type-arg,assignment,misc"
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
"""


def stubs(definitions: Definitions) -> dict[str, str]:
    """The text of each stub by its path below the folder of stubs, sorted by name."""
    found = {
        "__builtins__.pyi": BUILTINS_STUB,
        "atom.pyi": atom_stub(definitions.atoms),
        "context/__init__.pyi": context_stub(definitions.modules),
        "framework_names.pyi": names_stub(),
        "model.pyi": model_stub(definitions.atoms),
        **{f"context/{module.name}.pyi": module_stub(module) for module in definitions.modules},
    }
    return {path: f"{HEADER}\n{found[path].strip()}\n" for path in sorted(found)}


__all__ = ["HEADER", "stubs"]
