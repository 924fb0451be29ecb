"""A field's default: a value, or an expression that is evaluated for each new instance.

The rule for text: in a `string` field it stands for itself if it is a member of the enum, a bare word, no
Python expression, or uses a name that is not in scope. Any other text is an expression, and one without a
call is tried at check.
"""

from __future__ import annotations

import ast
import builtins
import copy
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from .names import COMMON_NAMES, METHODS, MODULES
from .seen import unseen

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Default:
    """What a new instance starts with: a constant `value`, or the `code` of an expression."""

    constant: bool
    value: object = None
    code: CodeType | None = field(default=None, repr=False)

    def make(self, scope: dict[str, Any]) -> object:
        """A fresh value for one instance; the expression's names are looked up in `scope`."""
        if self.code is not None:
            return eval(self.code, scope)  # noqa: S307 - definitions are trusted code
        return copy.deepcopy(self.value) if isinstance(self.value, dict | list) else self.value


def is_bare_word(text: str) -> bool:
    """Whether a text is one word, which stands for itself."""
    return text.isidentifier()


def unseen_names(code: CodeType) -> list[str]:
    """The names of an expression that are not in scope."""
    return [use.name for use in unseen(code, COMMON_NAMES)]


def can_be_tried(code: CodeType, tree: ast.Expression) -> bool:
    """Whether an expression may be evaluated at check: it calls nothing and needs nothing of the runtime."""
    if any(isinstance(node, ast.Call | ast.Await | ast.Yield) for node in ast.walk(tree)):
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return not (names & COMMON_NAMES) - set(MODULES) - set(METHODS)


def trial_scope(tree: ast.Expression) -> dict[str, Any]:
    """The names that an expression without runtime objects can use."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    scope: dict[str, Any] = {name: name for name in METHODS}
    scope.update((name, MODULES[name]) for name in names if name in MODULES)
    return scope
