"""The members and parameters of the scripts' built-in objects, read from the source of their classes.

The rule: this imports nothing. The classes need a database, HTTP and an event loop. Their source says everything, so
what is checked can never differ from what a script gets.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from .trees import walk

_ENDS_HEADER = re.compile(r"    (?:(?:async )?def .*|\).*):(?: \.\.\.)?$")
_SETS = re.compile(r"\s+self\.(\w+)(?:: [^=]+)? = ")


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function without the first one. `free`: it takes further names by `**`."""

    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    any_number: bool = False
    free: bool = False
    is_coroutine: bool = False
    is_generator: bool = False
    """Whether it gives what `async for` takes."""


@dataclass(frozen=True, slots=True)
class Interface:
    """The public members of a class: its methods with their signatures, and its attributes without."""

    members: Mapping[str, Signature | None] = field(default_factory=dict)
    asynchronous: bool = False
    """Whether it is entered by `async with` alone."""

    def method(self, name: str) -> Signature | None:
        return self.members.get(name)


PLACES: Mapping[str, tuple[str, str]] = {
    "FIFO": ("queue/fifo.py", "Fifo"),
    "Cache": ("script/cache.py", "Cache"),
    "Runtime": ("script/scope.py", "RuntimeView"),
    "atom": ("atom/instance.py", "Atom"),
    "request": ("gateway/requests.py", "Request"),
    "response": ("gateway/responses.py", "Response"),
}
CALLS: Mapping[str, tuple[str, str]] = {
    "FIFO": ("queue/fifo.py", "Fifos.__call__"),
    "Cache": ("script/cache.py", "CacheStore.__call__"),
    "callout": ("script/callout.py", "Callout.__call__"),
    "HTTPError": ("errors.py", "HTTPError.__init__"),
    "Error": ("errors.py", "Error.__init__"),
    "Retry": ("errors.py", "Retry.__init__"),
    "qprint": ("script/debug.py", "DebugChannel.qprint"),
    "finish": ("gateway/dispatch.py", "finish"),
}
"""What a script calls, and the function that it calls there."""


@functools.cache
def interface(name: str) -> Interface:
    """What an object of this name has: ``FIFO`` stands for ``FIFO("name")``, ``atom`` for every class."""
    path, owner = PLACES[name]
    return interface_of(headers(_text(path), owner), owner)


def interface_of(text: str, name: str) -> Interface:
    """The members of a class in a source text."""
    found = _class(text, name)
    members: dict[str, Signature | None] = {}
    for node in found.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any(
                isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list
            )
            members.setdefault(node.name, None if is_property else signature(node))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            members.setdefault(node.target.id, None)
        elif isinstance(node, ast.Assign):
            members.update((one, None) for one in _slots(node))
    for one in walk(found):
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and _is_self(one.value):
            members.setdefault(one.attr, None)
    public = {name: taken for name, taken in members.items() if not name.startswith("_")}
    return Interface(public, "__aenter__" in members and "__enter__" not in members)


@functools.cache
def call(name: str) -> Signature:
    """The parameters of a built-in function."""
    path, function = CALLS[name]
    owner, _, own = function.rpartition(".")
    text = _text(path)
    around = _class(headers(text, owner), owner) if owner else ast.parse(text)
    found = next(
        node
        for node in walk(around)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == own
    )
    return signature(found, is_method=bool(owner))


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool = True) -> Signature:
    """The signature of a function, or of a method without its first argument."""
    given = node.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)]
    required = set(names[: len(names) - len(given.defaults)])
    required |= {
        one.arg for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is None
    }
    first = 1 if is_method else 0
    return Signature(
        positional=tuple(names[first:]),
        keywords=tuple(one.arg for one in given.kwonlyargs),
        required=frozenset(required - set(names[:first])),
        any_number=given.vararg is not None,
        free=given.kwarg is not None,
        is_coroutine=isinstance(node, ast.AsyncFunctionDef),
        is_generator=node.returns is not None and ast.unparse(node.returns).startswith("AsyncIterator"),
    )


def _class(text: str, name: str) -> ast.ClassDef:
    return next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)


def headers(text: str, name: str) -> str:
    """A class of a module without the bodies of its methods, except for the attributes that they set.

    Parsing them all would take longer than the rest of a check. This relies on how the code is formatted.
    """
    start = re.search(rf"^class {name}\b", text, re.MULTILINE)
    first, *lines = text[start.start() if start else 0 :].split("\n")
    kept, is_body = [first], False
    for line in lines:
        if line and not line[0].isspace():
            break
        if line.startswith("    ") and not line[4:5].isspace():
            is_body = False
        if not is_body:
            kept.append(line)
            is_body = _ENDS_HEADER.match(line) is not None
            if is_body and not line.endswith(" ..."):
                kept.append("        pass")
        elif (attribute := _SETS.match(line)) is not None:
            kept.append(f"        self.{attribute[1]} = 0")
    return "\n".join([*kept, ""])


def _text(path: str) -> str:
    return resources.files("framework").joinpath(path).read_text(encoding="utf-8")


def _slots(node: ast.Assign) -> list[str]:
    if not any(isinstance(one, ast.Name) and one.id == "__slots__" for one in node.targets):
        return []
    value = ast.literal_eval(node.value)
    return [value] if isinstance(value, str) else list(value)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
