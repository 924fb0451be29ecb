"""A field's default: a value, or an expression that is evaluated for each new instance.

The rule for text: in a `string` field it stands for itself if it is a member of the enum, a bare word, not a Python
expression, or uses a name that is not in scope. Any other text is an expression. The check tries it once if it does
not need the runtime (see `trial`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from .names import COMMON_NAMES, MODULES
from .seen import unseen


@dataclass(frozen=True, slots=True)
class Default:
    """What a new instance starts with: a constant `value`, or the `code` of an expression."""

    constant: bool
    value: object = None
    code: CodeType | None = field(default=None, repr=False)
    calls: bool = True
    """Whether it may differ from one instance to the next."""

    def make(self, scope: dict[str, Any]) -> object:
        """A fresh value for one instance. Names in the expression are looked up in `scope`."""
        if self.code is not None:
            return eval(self.code, scope)  # noqa: S307 - definitions are trusted code
        return copy.deepcopy(self.value) if isinstance(self.value, dict | list) else self.value


def is_bare_word(text: str) -> bool:
    """Whether a text is one word, which stands for itself."""
    return text.isidentifier()


def unseen_names(code: CodeType) -> list[str]:
    """The names of an expression that are not in scope."""
    return [use.name for use in unseen(code, COMMON_NAMES)]


def meant_names(names: Iterable[str]) -> dict[str, str]:
    """Names that are not in scope, each with its module: `uuid4` is `uuid.uuid4`."""
    found: dict[str, str] = {}
    for name in names:
        for module in ("uuid", "time", "json", "base64", "copy", "datetime"):
            if not name.startswith("_") and callable(getattr(MODULES[module], name, None)):
                found.setdefault(name, f"{module}.{name}")
    return found
