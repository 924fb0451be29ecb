"""Which names a script uses, and whether it can see them.

The rule: the compiler knows the scopes, so its code is examined, not the text. A name is visible if it is a builtin,
in scope for that kind of script, or bound at the top level or by `global` anywhere in the script. A script that can
bind names invisibly (`import *`, `exec`, `globals`) is not checked.
"""

from __future__ import annotations

import ast
import builtins
import dis
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from .trees import walk


def _codes(*names: str) -> frozenset[int]:
    return frozenset(dis.opmap[name] for name in names if name in dis.opmap)


_LOADS = _codes("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_ATTRIBUTES = _codes("LOAD_ATTR", "LOAD_METHOD")
_STORES = _codes("STORE_GLOBAL", "DELETE_GLOBAL")
_OWN_STORES = _codes("STORE_NAME", "DELETE_NAME")
_STORE_NAME = _codes("STORE_NAME")
_SKIPPED = _codes("CACHE", "EXTENDED_ARG")
# The lowest bit of their argument is a flag. The rest is the number of the name.
_FLAGGED = _codes("LOAD_GLOBAL", *(("LOAD_ATTR",) if sys.version_info >= (3, 12) else ()))

_Position = tuple[int | None, int | None, int | None, int | None]
_Instruction = tuple[int, int, _Position]
"""The code of an operation, its argument, and (line, end line, column, end column) in the source."""
_UNFORESEEABLE = frozenset(("exec", "globals", "vars", "locals"))
_ASKED = frozenset(("hasattr", "find_spec", "TYPE_CHECKING"))
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
    """A name that is looked up outside the functions, and the attribute that is read from it.

    Lines count from 1, offsets are UTF-8 bytes from 0, as in the code.
    """

    name: str
    line: int
    offset: int
    attribute: str | None = None
    attribute_line: int = 0
    attribute_offset: int = 0


def uses(code: CodeType, owner: str | None = None) -> list[Use]:
    """Every use of a name that the script does not bind itself, each location once.

    If the script is the body of the class `owner`, that name is not bound, because no method sees it.
    """
    scanned = _scan(code)
    bound = _bound(scanned) - {owner}
    return list(dict.fromkeys(use for part in scanned for use in _uses_of(*part, bound)))


def unseen(code: CodeType, names: frozenset[str]) -> list[Use]:
    """The uses of names that are not visible."""
    return [use for use in uses(code) if use.name not in names and use.name not in _ALWAYS]


def is_always_seen(name: str) -> bool:
    """Whether every script sees a name: a builtin, or a name that Python itself adds."""
    return name in _ALWAYS


def is_foreseeable(found: list[Use], tree: ast.AST) -> bool:
    """Whether the text shows everything that a script binds, given the names that it uses."""
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            return False
    return not any(use.name in _UNFORESEEABLE for use in found)


def variables_of(code: CodeType) -> set[str]:
    """The names that a script binds, in whatever scope."""
    return _bound(_scan(code)).union(*(part.co_varnames + part.co_cellvars for part in _parts(code)))


def guarded_lines(tree: ast.AST, *errors: str) -> set[int]:
    """The lines that expect one of these errors, in `try` or in `with suppress(...)`. A missing name is intended
    there.

    A bare `except` expects a `BaseException`.
    """
    expected, lines = set(errors), set[int]()
    for node in walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            types = [_names(one.type) if one.type is not None else {"BaseException"} for one in node.handlers]
        elif isinstance(node, ast.With):
            types = [_names(one.context_expr) for one in node.items if _is_suppressed(one.context_expr)]
        else:
            continue
        if any(expected & one for one in types):
            for statement in node.body:
                lines.update(_lines(statement))
    return lines


def asked_lines(tree: ast.AST) -> set[int]:
    """The lines of conditions that test what exists, by `hasattr`, `find_spec` or `TYPE_CHECKING`."""
    lines: set[int] = set()
    for node in walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.BoolOp):
            first = node.values[0] if isinstance(node, ast.BoolOp) else node.test
            if _names(first) & _ASKED:
                lines.update(_lines(node))
    return lines


def _lines(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _is_suppressed(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and "suppress" in _names(node.func)


def _names(tree: ast.AST) -> set[str]:
    found = {node.id for node in walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in walk(tree) if isinstance(node, ast.Attribute)}


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _scan(code: CodeType) -> list[tuple[CodeType, list[_Instruction]]]:
    """A script's code and that of all its functions and classes, with the instructions."""
    return [(part, list(instructions(part))) for part in _parts(code)]


def instructions(code: CodeType) -> Iterator[_Instruction]:
    """Like ``dis.get_instructions``, but in linear instead of quadratic time."""
    extended = 0
    for index, position in enumerate(code.co_positions()):
        operation, argument = code.co_code[2 * index], code.co_code[2 * index + 1] | extended
        extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation not in _SKIPPED:
            yield operation, argument, position


def _name(code: CodeType, instruction: _Instruction) -> str:
    """The name that an instruction loads or stores."""
    operation, argument, _ = instruction
    return code.co_names[argument >> 1 if operation in _FLAGGED else argument]


def _bound(scanned: list[tuple[CodeType, list[_Instruction]]]) -> set[str]:
    """The global names that a script binds."""
    code, top = scanned[0]
    found = {_name(code, one) for one in top if one[0] in _OWN_STORES}
    return found.union(_name(part, one) for part, those in scanned for one in those if one[0] in _STORES)


def _uses_of(code: CodeType, found: list[_Instruction], bound: set[str]) -> Iterator[Use]:
    own = {_name(code, one) for one in found if one[0] in _STORE_NAME}.union(code.co_varnames)
    for index, instruction in enumerate(found):
        if instruction[0] not in _LOADS:
            continue
        name, (line, _, column, _) = _name(code, instruction), instruction[2]
        if name in bound or name in own or line is None:
            continue
        use = Use(name, line, column or 0)
        following = found[index + 1] if index + 1 < len(found) else None
        if following is not None and following[0] in _ATTRIBUTES:
            attribute, (_, last, _, end) = _name(code, following), following[2]
            offset = max((end or 0) - len(attribute.encode()), 0)
            use = Use(name, line, column or 0, attribute, last or line, offset)
        yield use
