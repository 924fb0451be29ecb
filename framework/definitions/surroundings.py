"""What scripts need from the machine that they run on: modules to import, and environment variables.

The rule: each is a warning, because the check may run on another machine than the server. Nothing is imported.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping

from .problem import Report, quoted
from .script import Compiled
from .seen import asked_lines, guarded_lines
from .trees import walk

SETTING = "FRAMEWORK_SETTING_"
"""What the variable of a setting begins with."""


_GUARDS = ("ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException")


def check_surroundings(compiled: Compiled, environ: Mapping[str, str], report: Report) -> None:
    """Warn about modules that cannot be imported here, and about settings that are not set."""
    guarded = guarded_lines(compiled.tree, *_GUARDS) | asked_lines(compiled.tree)
    for node in walk(compiled.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node.lineno not in guarded:
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                if top and not _can_be_found(top):
                    message = f"there is no module {quoted(top)} to import in this Python"
                    hint = "install it for the Python that runs the server"
                    report.warning(compiled.location(node), "no-import", message, hint=hint)
        elif isinstance(node, ast.Attribute) and node.lineno not in guarded:
            setting = _setting(node)
            if setting is not None and f"{SETTING}{setting}" not in environ:
                message = f"the environment has no {SETTING}{setting}, which the script reads"
                hint = f"set it where the server runs, or read `context.settings.get({setting!r}, ...)`"
                report.warning(compiled.location(node), "no-setting", message, hint=hint)


def _setting(node: ast.AST) -> str | None:
    """NAME of `context.settings.NAME`."""
    if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr != "get"):
        return None
    owner = node.value
    if isinstance(owner, ast.Attribute) and owner.attr == "settings" and isinstance(owner.value, ast.Name):
        return node.attr if owner.value.id == "context" and not node.attr.startswith("_") else None
    return None


@functools.lru_cache(maxsize=1024)
def _can_be_found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
