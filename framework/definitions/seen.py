"""Which names a script uses, and whether it can see them.

The rule: the compiler knows the scopes, so its code is asked, not the text. A name is seen if it is a
builtin, in scope for that kind of script, or bound at the top level or by `global` anywhere in the script.
A script that can bind names in ways that cannot be seen (`import *`, `exec`, `globals`) is left alone.
"""

from __future__ import annotations

import ast
import builtins
import dis
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_STORES = frozenset(("STORE_GLOBAL", "DELETE_GLOBAL"))
_UNFORESEEABLE = frozenset(("exec", "globals", "vars", "locals"))
_ALWAYS = frozenset(dir(builtins)) | {
    "__annotations__",
    "__builtins__",
    "__conditional_annotations__",
    "__file__",
    "__module__",
    "__qualname__",
}

PLAIN_BUILTINS = tuple(name for name in dir(builtins) if not name.startswith("_"))


@dataclass(frozen=True, slots=True)
class Use:
    """A name that is looked up outside the functions, and the attribute that is taken of it.

    Lines count from 1, offsets are UTF-8 bytes from 0, as in the code.
    """

    name: str
    line: int
    offset: int
    attribute: str | None = None
    attribute_line: int = 0
    attribute_offset: int = 0


def uses(code: CodeType, owner: str | None = None) -> list[Use]:
    """Every use of a name that the script does not bind itself, each place once.

    Where the script is the body of the class `owner`, that name is not bound: no method sees it.
    """
    scanned = _scan(code)
    bound = _bound(scanned) - {owner}
    return list(dict.fromkeys(use for part in scanned for use in _uses_of(*part, bound)))


def unseen(code: CodeType, names: frozenset[str]) -> list[Use]:
    """The uses of names that nobody can see."""
    return [use for use in uses(code) if use.name not in names and use.name not in _ALWAYS]


def is_always_seen(name: str) -> bool:
    """Whether every script sees a name: a builtin, or what Python itself puts beside them."""
    return name in _ALWAYS


def is_foreseeable(found: list[Use], tree: ast.AST) -> bool:
    """Whether everything that a script binds can be seen in its text, given the names that it uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            return False
    return not any(use.name in _UNFORESEEABLE for use in found)


def variables_of(code: CodeType) -> set[str]:
    """The names that a script binds, in whatever scope."""
    return _bound(_scan(code)).union(*(part.co_varnames + part.co_cellvars for part in _parts(code)))


def guarded_lines(tree: ast.AST) -> set[int]:
    """The lines of `try` blocks that expect a NameError: there an unknown name is meant."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(_expects_name_error(handler) for handler in node.handlers):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return lines


def _expects_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return False
    return any(isinstance(n, ast.Name) and n.id == "NameError" for n in ast.walk(handler.type))


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _scan(code: CodeType) -> list[tuple[CodeType, list[dis.Instruction]]]:
    """A script's code and that of all its functions and classes, with the instructions."""
    return [(part, list(dis.get_instructions(part))) for part in _parts(code)]


def _bound(scanned: list[tuple[CodeType, list[dis.Instruction]]]) -> set[str]:
    """The global names that a script binds."""
    top = {i.argval for i in scanned[0][1] if i.opname in ("STORE_NAME", "DELETE_NAME")}
    return top.union(i.argval for _, instructions in scanned for i in instructions if i.opname in _STORES)


def _uses_of(code: CodeType, instructions: list[dis.Instruction], bound: set[str]) -> Iterator[Use]:
    own = {i.argval for i in instructions if i.opname == "STORE_NAME"}.union(code.co_varnames)
    for index, instruction in enumerate(instructions):
        if instruction.opname not in _LOADS or instruction.argval in bound or instruction.argval in own:
            continue
        name, place = str(instruction.argval), instruction.positions
        if place is None or place.lineno is None:
            continue
        use = Use(name, place.lineno, place.col_offset or 0)
        following = instructions[index + 1] if index + 1 < len(instructions) else None
        if following is not None and following.opname in _ATTRIBUTES and following.positions is not None:
            attribute, after = str(following.argval), following.positions
            line = after.end_lineno or place.lineno
            offset = max((after.end_col_offset or 0) - len(attribute.encode()), 0)
            use = Use(name, place.lineno, place.col_offset or 0, attribute, line, offset)
        yield use
