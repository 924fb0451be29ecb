"""`${NAME}` and `${NAME:-default}` in the few keys that differ between test and production.

The rule: only authorities and time-outs are expanded, once, when the file is loaded. Anywhere else `${` is plain
text. A variable that is not set is an error with a location, never an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .nodes import ScalarNode
from .problem import Report, quoted

_VARIABLE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?(?P<rest>[^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(node: ScalarNode, text: str, environ: Mapping[str, str], report: Report) -> str | None:
    """The text with its variables replaced, or `None`, with an error in the report, if that is impossible."""
    parts: list[str] = []
    position = 0
    for found in _VARIABLE.finditer(text):
        name, default = found["name"], found["default"]
        if not _NAME.fullmatch(name) or found["rest"] or not found.group().endswith("}"):
            hint = "write `${NAME}` or `${NAME:-default}`"
            message = f"{quoted(found.group())} is not a reference to an environment variable"
            report.error(node.location, "environment", message, hint=hint)
            return None
        value = environ.get(name) or default if default is not None else environ.get(name)
        if value is None:
            hint = f"set {name}, or give it a default: `${{{name}:-value}}`"
            report.error(
                node.location, "environment", f"the environment variable {quoted(name)} is not set", hint=hint
            )
            return None
        parts += (text[position : found.start()], value)
        position = found.end()
    return "".join((*parts, text[position:]))
