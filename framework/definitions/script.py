"""Compiles the Python of a definition so that all its positions are those of the YAML file.

The rule: the text is never changed. Its syntax tree is moved instead. So literals stay as they were written, while
syntax errors, tracebacks with carets, and debuggers show the lines and columns of the file.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, cast

from .location import Location
from .nodes import ScalarNode
from .problem import Report, quoted
from .rewriting import NAMESPACE, ROOT, ROOT_OF, asking_for_root, class_statement, returns_with_lines
from .scalarmap import ScalarMap
from .source import ByteColumns, Source
from .trees import walk

_NO_FILE = "<script>"
"""What the parser is given for a file: it would read its own error's line, and columns, from the YAML."""

_ABSURD = (ValueError, RecursionError, MemoryError, OverflowError)

_TOLD_LINE = re.compile(r"\b((?:on|at) line )(\d+)\b")


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script. With `parameters` the code defines one async function called `name`.

    That function gives the line of the `return` and what it returned, or None where it ended without one. With an
    `owner` it is the body of that class.
    """

    name: str
    location: Location
    text: str = field(repr=False)
    code: CodeType = field(repr=False)
    parameters: tuple[str, ...] = ()
    owner: str | None = None

    def function(self, globals: dict[str, Any]) -> Callable[..., Any]:
        """Run the code in `globals`, then remove and return the function that it defines."""
        exec(self.code, globals)  # noqa: S102 - definitions are trusted code
        return cast("Callable[..., Any]", globals.pop(self.name))

    def run(self, globals: dict[str, Any]) -> None:
        """Run the script's top level in `globals`."""
        exec(self.code, globals)  # noqa: S102 - definitions are trusted code

    def members(self, globals: dict[str, Any]) -> dict[str, Any]:
        """What the body of the `owner` binds. `super()` finds its class by `__classcell__`."""
        assert self.owner is not None
        bound: dict[str, Any] = {NAMESPACE: lambda name, bases, namespace: namespace}
        exec(self.code, globals, bound)  # noqa: S102 - definitions are trusted code
        return dict(bound[self.owner])


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A script with its moved syntax tree, for the rules that analyse it."""

    script: Script
    tree: ast.Module
    source: Source
    names: frozenset[str]

    def body(self) -> list[ast.stmt]:
        """The statements that the user wrote."""
        if not self.script.parameters and self.script.owner is None:
            return self.tree.body
        around = self.tree.body[0]
        assert isinstance(around, ast.AsyncFunctionDef | ast.ClassDef)
        return around.body

    def location(self, node: ast.stmt | ast.expr | ast.excepthandler) -> Location:
        """The location of a node of the tree."""
        return self.source.byte_location(node.lineno, node.col_offset)


def compile_script(
    scalar: ScalarNode,
    *,
    name: str,
    names: Iterable[str],
    report: Report,
    parameters: tuple[str, ...] = (),
    owner: str | None = None,
    rooted: bool = False,
) -> Compiled | None:
    """Compile a script, as the body of an async function if it has parameters, or of the class `owner`.

    An instance method is `rooted`: if it is a coroutine, it sees `__ROOT__`. Returns `None` if the script is invalid.
    """
    if scalar.style == ">":
        hint = "write `|` instead of `>`"
        message = "a script cannot be a folded block (`>`): its lines would be joined"
        report.error(scalar.location, "script-folded", message, hint=hint)
        return None
    return _Compiler(scalar, report, rooted=rooted).compile(name, frozenset(names), parameters, owner)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a text is not an expression, and where."""

    location: Location
    message: str


def compile_expression(scalar: ScalarNode) -> tuple[CodeType, ast.Expression] | Malformed:
    """Compile an expression with the positions of the file, or return what is wrong with it."""
    compiler = _Compiler(scalar, Report())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(scalar.text.strip(), _NO_FILE, "eval")
            if scalar.text[:1].isspace():
                return _at_start(scalar, tree)
            compiler.move(tree)
            return compile(tree, compiler.source.file, "eval", dont_inherit=True), tree
    except SyntaxError as error:
        return Malformed(scalar.location, error.msg)
    except _ABSURD as error:
        return Malformed(scalar.location, _absurd(error))


def _at_start(scalar: ScalarNode, tree: ast.Expression) -> tuple[CodeType, ast.Expression]:
    line, column = scalar.source.place(scalar.start)
    offset = scalar.source.byte_column(line, column)
    for node in walk(tree):
        if isinstance(node, ast.expr):
            node.lineno, node.col_offset, node.end_lineno, node.end_col_offset = line, offset, line, offset
    return compile(tree, scalar.source.file, "eval", dont_inherit=True), tree


def _absurd(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "the code is nested too deeply"
    return str(error) or type(error).__name__


class _Compiler:
    """Compiles one scalar."""

    def __init__(self, scalar: ScalarNode, report: Report, *, rooted: bool = False) -> None:
        self.scalar = scalar
        self.rooted = rooted and ROOT in scalar.text
        self.source = scalar.source
        self.report = report
        self.map = ScalarMap(scalar)
        self._lines = re.split(r"\r\n|\r|\n", scalar.text)
        self._columns: dict[int, ByteColumns] = {}

    def compile(
        self, name: str, names: frozenset[str], parameters: tuple[str, ...], owner: str | None
    ) -> Compiled | None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tree = self._parse()
            moved = len(caught)
            done = self._finish(tree, name, parameters, owner) if tree else None
        for index, warning in enumerate(caught):
            self._warn(warning, moved=index >= moved)
        if done is None or tree is None:
            return None
        code, whole = done
        script = Script(name, self._location(), self.scalar.text, code, parameters, owner)
        own = {NAMESPACE, ROOT_OF} if owner is not None else set(parameters)
        return Compiled(script, whole, self.source, names | own)

    def _location(self) -> Location:
        return self.source.location(self.scalar.start)

    def _parse(self) -> ast.Module | None:
        nul = self.scalar.text.find("\0")
        if nul >= 0:
            before = re.split(r"\r\n|\r|\n", self.scalar.text[:nul])
            line, column = self.map.begin(len(before), len(before[-1]))
            self._refuse(Location(self.source.path, line, column + 1), "it has a NUL character")
            return None
        try:
            tree = ast.parse(self.scalar.text, _NO_FILE)
        except SyntaxError as error:
            self._refuse(self._told_location(error), self._told_message(error.msg))
            return None
        except _ABSURD as error:
            self._refuse(self._location(), _absurd(error))
            return None
        self.move(tree)
        return tree

    def _finish(
        self, tree: ast.Module, name: str, parameters: tuple[str, ...], owner: str | None
    ) -> tuple[CodeType, ast.Module] | None:
        if owner is not None:
            tree = self._wrapped(tree, class_statement(owner))
        elif parameters:
            if "yield" in self.scalar.text and not self._has_no_yield(tree):
                return None
            tree = self._wrapped(tree, ast.parse(f"async def {name}({', '.join(parameters)}): pass"))
        try:
            with (
                returns_with_lines(tree if parameters else None),
                asking_for_root(tree if self.rooted else None),
            ):
                return compile(tree, self.source.file, "exec", dont_inherit=True), tree
        except SyntaxError as error:
            line, offset = error.lineno or 0, (error.offset or 1) - 1
            here = self.source.byte_location(line, max(offset, 0)) if line else self._location()
            self._refuse(here, error.msg)
        except _ABSURD as error:
            self._refuse(self._location(), _absurd(error))
        return None

    def _refuse(self, location: Location, message: str) -> None:
        self.report.error(location, "script-syntax", f"the script is not valid Python: {message}")

    def _told_location(self, error: SyntaxError) -> Location:
        told, column = error.lineno or 1, max((error.offset or 1) - 1, 0)
        if isinstance(error, IndentationError) and told <= len(self._lines):
            column = len(self._lines[told - 1]) - len(self._lines[told - 1].lstrip())
        if error.msg.startswith("f-string") and sys.version_info < (3, 12):
            told, column = self._in_f_string(error, told)
        if not any(line.strip() for line in self._lines[told - 1 :]):  # beyond the end of the script
            told, column = self._last_line()
        line, column = self.map.begin(told, column)
        return Location(self.source.path, line, column + 1)

    def _last_line(self) -> tuple[int, int]:
        """The start of the last line that has text."""
        number = max((n for n, line in enumerate(self._lines, 1) if line.strip()), default=1)
        text = self._lines[number - 1]
        return number, len(text) - len(text.lstrip())

    def _told_message(self, said: str) -> str:
        """Python's message, with the lines of the file instead of those of the script."""
        return _TOLD_LINE.sub(lambda found: f"{found[1]}{self.map.begin(int(found[2]), 0)[0]}", said)

    def _in_f_string(self, error: SyntaxError, line: int) -> tuple[int, int]:
        """Up to Python 3.11, the expression of an f-string is parsed separately: find it in the script."""
        part = (error.text or "").strip().removeprefix("(").removesuffix(")")
        index = self.scalar.text.find(part) if part else -1
        if index < 0:
            return line, 0
        before = re.split(r"\r\n|\r|\n", self.scalar.text[:index])
        return len(before), len(before[-1])

    def move(self, tree: ast.AST) -> None:
        """Give every node the file's positions, in UTF-8 bytes as syntax trees count."""
        for node in walk(tree):
            line = getattr(node, "lineno", None)
            if line is None:
                continue
            place = cast("ast.expr", node)
            start = self.map.begin(line, self._characters(line, place.col_offset))
            place.lineno, place.col_offset = start[0], self.source.byte_column(*start)
            if place.end_lineno is not None and place.end_col_offset is not None:
                last = self._characters(place.end_lineno, place.end_col_offset)
                end = max(self.map.end(place.end_lineno, last), start)
                place.end_lineno, place.end_col_offset = end[0], self.source.byte_column(*end)

    def _characters(self, line: int, offset: int) -> int:
        """The column in characters of a byte offset in a line of the script's own text."""
        found = self._columns.get(line)
        if found is None:
            text = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
            found = self._columns[line] = ByteColumns(text)
        return found.of_byte(offset)

    def _has_no_yield(self, tree: ast.Module) -> bool:
        waiting: list[ast.AST] = list(tree.body)
        found: list[ast.expr] = []
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Yield | ast.YieldFrom):
                found.append(node)
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
                waiting.extend(ast.iter_child_nodes(node))
        for node in found:
            self.report.error(
                self.source.byte_location(node.lineno, node.col_offset),
                "script-yield",
                "a routing script cannot use `yield`: it answers once",
                hint="return the answer",
            )
        return not found

    def _wrapped(self, tree: ast.Module, whole: ast.Module) -> ast.Module:
        """The script as the body of the only statement of `whole`."""
        line, column = self.map.begin(1, 0)
        offset = self.source.byte_column(line, column)
        for node in walk(whole):
            if isinstance(node, ast.stmt | ast.expr | ast.arg | ast.keyword):
                node.lineno, node.col_offset, node.end_lineno, node.end_col_offset = (
                    line,
                    offset,
                    line,
                    offset,
                )
        around = whole.body[0]
        assert isinstance(around, ast.AsyncFunctionDef | ast.ClassDef)
        if tree.body:
            around.body = tree.body
            around.end_lineno, around.end_col_offset = (
                tree.body[-1].end_lineno,
                tree.body[-1].end_col_offset,
            )
        return whole

    def _warn(self, warning: warnings.WarningMessage, *, moved: bool) -> None:
        if not issubclass(warning.category, SyntaxWarning | DeprecationWarning):
            return
        said, hint = str(warning.message).rstrip("."), None
        escape = re.search(r"""["'](\\.)["']""", said)
        if moved:
            line, text = warning.lineno, self.source.line(warning.lineno)
            column = len(text) - len(text.lstrip())
        else:
            text = self._lines[warning.lineno - 1] if 0 < warning.lineno <= len(self._lines) else ""
            found = text.find(escape.group(1)) if escape else -1
            column = found if found >= 0 else len(text) - len(text.lstrip())
            line, column = self.map.begin(warning.lineno, column)
        if escape and "escape sequence" in said:
            said = f"{quoted(escape.group(1))} is not an escape sequence"
            hint = f"write `\\{escape.group(1)}`, or a raw text: r'...'"
        elif said.startswith(('"is" with', '"is not" with')):
            said, hint = (
                "`is` does not compare values, and here it is used with a literal",
                "write `==` or `!=`",
            )
        location = Location(self.source.path, line, column + 1)
        self.report.warning(location, "script-warning", f"Python warns: {said}", hint=hint)
