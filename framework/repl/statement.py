"""Inputs as Python: whether an input is complete, and its statements, compiled one by one.

The one rule: **lines are taken as they were written.** Nothing is indented or corrected. An empty line ends a block,
and so does a line that begins at the margin.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_PART = 0x4000  # PyCF_ALLOW_INCOMPLETE_INPUT distinguishes the end of the input from a mistake, as in codeop

_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag

PREFIX = "<input "  # the name of an input in tracebacks, with its number
SCRIPT = "<stdin>"  # the same for a script from a pipe

# An input that is open in such a way that even an empty line belongs to it.
_OPEN = ("never closed", "unterminated triple-quoted", "unexpected EOF")

_COMPOUND = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)


def whole(text: str) -> bool:
    """Is this input ready to run? If not, another line belongs to it. A mistake is ready, too."""
    ended = text.rpartition("\n")[2] == "" and "\n" in text
    try:
        tree = _parse(text, "<input>", _PART)
    except SyntaxError as error:
        if "incomplete input" not in str(error):
            return True
        return ended and not _open(text)
    except (ValueError, OverflowError, MemoryError, RecursionError):
        return True
    return ended or not (tree.body and isinstance(tree.body[-1], _COMPOUND))


def _open(text: str) -> bool:
    """Does a bracket, a long string or a backslash need more lines, whatever they are?"""
    try:
        _parse(text, "<input>")
    except SyntaxError as error:
        return any(words in str(error) for words in _OPEN)
    return False


def _parse(text: str, name: str, flags: int = 0) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = compile(text, name, "exec", ast.PyCF_ONLY_AST | _AWAIT | flags, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, ready to run, and the line of the input at which it begins."""

    code: CodeType
    line: int


class Compiler:
    """Makes statements of inputs. Remembers the inputs for tracebacks, and ``from __future__`` imports."""

    def __init__(self) -> None:
        self._number = 0
        self._flags = _AWAIT

    def compile(self, text: str, name: str | None = None) -> Iterator[Statement]:
        """The statements of an input, each compiled in its turn. Raises ``SyntaxError`` before the first."""
        if name is None:
            self._number += 1
            name = f"{PREFIX}{self._number}>"
        # Without a modification time the cache keeps an entry: tracebacks show the source.
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        body = _parse(text, name, self._flags).body
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(ast.Module(body, []), name, "exec", self._flags, dont_inherit=True)
        return self._each(body, name)

    def _each(self, body: list[ast.stmt], name: str) -> Iterator[Statement]:
        for node in body:
            code = compile(ast.Interactive([node]), name, "single", self._flags, dont_inherit=True)
            self._flags |= code.co_flags & _FUTURES
            yield Statement(code, node.lineno)


def is_input(filename: str) -> bool:
    """Is this the name of an input?"""
    return filename.startswith(PREFIX) or filename == SCRIPT
