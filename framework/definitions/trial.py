"""Evaluates the expression of a default once, bounded in time and memory.

The rule: an expression is tried only if it calls nothing but Python's builtins and the modules in scope, and nothing
that reads, writes, waits or starts something. A plainly cheap one is evaluated here, any other in a separate process,
which the system ends when it uses too much.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import pickle
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from .names import COMMON_NAMES, METHODS, MODULES
from .trees import walk

SECONDS = 1.0
"""So much time of the processor one default may take: an instance is made on the event loop."""
MEGABYTES = 512
_TOO_MUCH = f"it takes more than {SECONDS:g} s or {MEGABYTES} MB"
_LONGEST_WAIT = 30.0
_MOST_SECONDS = 4.0
"""So long all defaults of a run may take; the rest is not tried."""

_BUILTINS = frozenset(
    (
        *(
            "abs",
            "all",
            "any",
            "ascii",
            "bin",
            "bool",
            "bytearray",
            "bytes",
            "chr",
            "complex",
            "dict",
            "divmod",
        ),
        *("enumerate", "filter", "float", "format", "frozenset", "hash", "hex", "int", "isinstance", "len"),
        *("list", "map", "max", "min", "oct", "ord", "pow", "range", "repr", "reversed", "round", "set"),
        *("slice", "sorted", "str", "sum", "tuple", "zip", "True", "False", "None"),
    )
)
_UNTRIED = frozenset(("io", "asyncio", "urllib"))
_UNTRIED_MEMBERS = frozenset(("sleep", "getnode"))

_PLAIN = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Attribute, ast.List, ast.Tuple, ast.Dict, ast.Set),
    *(ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript, ast.keyword, ast.expr_context),
    *(ast.unaryop, ast.boolop, ast.cmpop, ast.operator, ast.BinOp),
)
_CHEAP_CALLS = frozenset(
    (
        *("dict", "list", "tuple", "set", "str", "int", "float", "bool"),
        *("uuid.uuid1", "uuid.uuid4", "time.time", "time.time_ns"),
        *("datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone"),
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
    )
)
_CHEAP_METHODS = frozenset(("isoformat", "timestamp", "date", "upper", "lower", "strip"))
_MOST_NODES = 500
_SMALL = 10**9


class Failed(Exception):
    """Why an expression has no value. A message continues with it after the name of the default."""


def can_be_tried(tree: ast.Expression) -> bool:
    """Whether an expression does not need the runtime and has no side effects."""
    bound = {node.id for node in walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in walk(tree) if isinstance(node, ast.arg)}
    for node in walk(tree):
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(node, ast.Attribute) and (node.attr.startswith("_") or node.attr in _UNTRIED_MEMBERS):
            return False
        if isinstance(node, ast.Attribute) and isinstance(_module(node), ModuleType):
            return False  # the module of a module: `uuid.os`
        if isinstance(node, ast.Name) and node.id not in bound and not _is_harmless(node.id):
            return False
    return True


def _is_harmless(name: str) -> bool:
    if name in COMMON_NAMES:
        return name in METHODS or (name in MODULES and name not in _UNTRIED)
    return name in _BUILTINS


def _module(node: ast.expr) -> object:
    """The module that an expression stands for, or None."""
    if isinstance(node, ast.Name):
        return MODULES[node.id] if node.id in MODULES and node.id not in _UNTRIED else None
    if isinstance(node, ast.Attribute):
        owner = _module(node.value)
        found = getattr(owner, node.attr, None) if owner is not None else None
        return found if isinstance(found, ModuleType) else None
    return None


def _is_cheap(tree: ast.Expression) -> bool:
    """Whether an expression takes almost no time, whatever its values are."""
    for count, node in enumerate(walk(tree)):
        if count > _MOST_NODES:
            return False
        if isinstance(node, ast.Call):
            method = (
                isinstance(node.func, ast.Attribute) and node.func.attr in _CHEAP_METHODS and not node.args
            )
            if not method and ast.unparse(node.func) not in _CHEAP_CALLS:
                return False
        elif isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Sub):
            if not isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Mod) or not _is_small(node):
                return False
        elif not isinstance(node, _PLAIN):
            return False
    return True


def _is_small(node: ast.expr) -> bool:
    """Whether an expression is arithmetic of a few small numbers."""
    if isinstance(node, ast.BinOp):
        return _is_small(node.left) and _is_small(node.right)
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, int | float) and abs(value) < _SMALL


_CHILD = """
import base64, builtins, json, pickle, resource, signal, sys
def bound(what, most):
    try: resource.setrlimit(what, (most, most))
    except (ValueError, OSError): pass
bound(resource.RLIMIT_AS, int(sys.argv[2]) << 20)
bound(resource.RLIMIT_FSIZE, 0)
bound(resource.RLIMIT_CORE, 0)
sys.setrecursionlimit(500)
for line in sys.stdin:
    asked = json.loads(line)
    scope = dict.fromkeys(asked["methods"])
    scope.update((name, name) for name in asked["methods"])
    scope.update((name, __import__(name)) for name in asked["modules"])
    signal.setitimer(signal.ITIMER_PROF, float(sys.argv[1]))
    try:
        value = eval(asked["text"].strip(), scope)
        try: found = pickle.dumps(value)
        except Exception: found = pickle.dumps(("opaque", type(value).__name__))
        else: found = pickle.dumps(("value", value))
        if len(found) > 4 << 20: found = pickle.dumps(("failed", "its value is too large"))
    except MemoryError:
        value = None
        found = pickle.dumps(("failed", sys.argv[3]))
    except BaseException as error:
        found = pickle.dumps(("failed", "%s: %s" % (type(error).__name__, str(error)[:500])))
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.write(base64.b64encode(found).decode() + "\\n")
    sys.stdout.flush()
"""


class _Values(pickle.Unpickler):
    """Unpickles only plain values and points in time from the other process."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("datetime", "uuid", "decimal", "ipaddress", "collections"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(name)


@dataclass(slots=True)
class Trials:
    """The trials of one run of the check. Close it at the end."""

    _child: subprocess.Popen[bytes] | None = None
    _took: float = field(default=0.0)

    def value(self, text: str, tree: ast.Expression, code: Any) -> object:
        """The value of an expression that can be tried. Raises `Failed`, or `TimeoutError` if no time is left."""
        names = {node.id for node in walk(tree) if isinstance(node, ast.Name)}
        if _is_cheap(tree):
            scope: dict[str, Any] = {name: name for name in METHODS}
            scope.update((name, MODULES[name]) for name in names if name in MODULES)
            try:
                return eval(code, scope)  # noqa: S307 - definitions are trusted code
            except Exception as error:
                raise Failed(f"{type(error).__name__}: {error}") from None
        if self._took > _MOST_SECONDS:
            raise TimeoutError
        started = time.monotonic()
        try:
            return self._outside(text, sorted(names & set(MODULES)))
        finally:
            # The limit is for a busy machine, on which it has to wait for the processor.
            self._took += min(time.monotonic() - started, SECONDS)

    def close(self) -> None:
        """End the other process."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _outside(self, text: str, modules: list[str]) -> object:
        if self._child is None:
            command = [sys.executable, "-I", "-S", "-c", _CHILD, str(SECONDS), str(MEGABYTES), _TOO_MUCH]
            self._child = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        asked = {"text": text, "modules": modules, "methods": list(METHODS)}
        answer = self._ask(self._child, json.dumps(asked).encode() + b"\n")
        if not answer.endswith(b"\n"):
            self.close()
            raise Failed(_TOO_MUCH)
        try:
            kind, found = _Values(io.BytesIO(base64.b64decode(answer))).load()
        except pickle.UnpicklingError as error:
            kind, found = "opaque", str(error)
        if kind == "failed":
            raise Failed(str(found))
        return type(str(found), (), {})() if kind == "opaque" else found

    def _ask(self, child: subprocess.Popen[bytes], line: bytes) -> bytes:
        """The answer of the other process. It lacks the line break if the process ended or took too long."""
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line)
            child.stdin.flush()
        except BrokenPipeError:
            return b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(_LONGEST_WAIT):
                return b""
        return child.stdout.readline()
