"""``help`` of the REPL: what is available, beginning with the user's own classes, FIFOs and routes."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from framework.atom import Atom
from framework.atom.values import IDENTITY
from framework.definitions import RouteDefinition
from framework.serving.snapshot import Snapshot

_OBJECTS = (
    ("atom.NAME", "your classes: atom.NAME(field=…), await x.save(), await atom.NAME.load(key), .retrieve()"),
    ("model.NAME", "their tables, for SQLAlchemy; async with model.aiodb() as conn: conn.execute(…)"),
    ('FIFO("NAME")', "a queue: await .put(item), .length(), .peek(n); async with FIFO(…) as item:"),
    ("MU", "a mapping whose keys are attributes too"),
    ("callout", 'a request to the server: await callout(path="/…", method=POST, body={…})'),
    ("context", "context.settings.NAME, and your modules by their names"),
    ("qprint(x)", "print to everyone in debug mode"),
    ("debug()", "show here what scripts qprint, in any process; debug(False) ends it"),
    ("traceon()", "show each statement that goes to the database from here; traceoff() ends it"),
    ("profon()", "profile what runs; profoff() shows where the time went"),
    ("help(x)", "what x is; help(atom.NAME) its fields"),
    ("exit", "leave; so does Ctrl-D"),
)


class Help:
    """Typed alone, it shows what is available. Called, it explains an object."""

    def __init__(
        self,
        snapshot: Snapshot,
        fifos: Callable[[], list[str]],
        write: Callable[[str], None],
        namespace: Mapping[str, Any],
    ) -> None:
        self._snapshot = snapshot
        self._namespace = namespace
        self._fifos = fifos
        self._write = write

    def __repr__(self) -> str:
        return self._overview()

    def __call__(self, thing: Any = None) -> None:
        """Show what is available, or explain ``thing``."""
        if thing is None:
            self._write(self._overview())
        elif isinstance(thing, type) and issubclass(thing, Atom) and thing is not Atom:
            self._write("\n".join(_class(thing)))
        elif isinstance(thing, Atom):
            self._write("\n".join(_class(type(thing))))
        elif callable(thing) and _is_ours(type(thing)):
            name = next((name for name, value in self._namespace.items() if value is thing), "it")
            self._write("\n".join(_called(name, thing)))
        else:
            try:
                self._write(pydoc.plain(pydoc.render_doc(thing, "%s")).rstrip())
            except ImportError as error:  # the text does not name anything
                self._write(str(error).partition("\n")[0])

    def _overview(self) -> str:
        lines = [
            "Python, with the names that scripts see. `await` works everywhere, and an empty line ends a block.",
            "",
        ]
        lines += [f"  {name:<14} {what}" for name, what in _OBJECTS]
        for title, names in (
            ("Your classes", [_head(found) for found in self._snapshot.atoms]),
            ("Your FIFOs", self._fifos()),
            ("Your routes", [_route(route) for route in self._snapshot.definitions.routes]),
            ("Your modules", [f"context.{found.name}" for found in self._snapshot.definitions.modules]),
        ):
            if names:
                lines += ["", f"{title}:", *(f"  {name}" for name in names)]
        return "\n".join(lines)


def _head(found: type[Atom]) -> str:
    return f"atom.{found.__name__}({', '.join(name for name in found.fieldnames() if name not in IDENTITY)})"


def _route(route: RouteDefinition) -> str:
    path = route.path if not route.path.endswith("}") else route.path.rpartition("{")[0]
    return f'await callout(path="{path}")   # {route.path}'


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("framework.")


def _called(name: str, thing: Callable[..., Any]) -> Iterator[str]:
    """The signature of a built-in object, and what it returns."""
    call = type(thing).__call__
    yield f"{_await(call)}{name}{_arguments(thing)}"
    yield from _indented(call.__doc__)
    given = call.__globals__.get(str(call.__annotations__.get("return")))
    if not inspect.isclass(given) or not _is_ours(given):
        return
    yield ""
    yield f"It gives a {given.__name__}:"
    yield from _indented(given.__doc__)
    for method, function in vars(given).items():
        if inspect.isfunction(function) and not method.startswith("_"):
            yield f"  {_await(function)}.{method}{_arguments(function)}"
            yield from _indented(function.__doc__, "      ")


def _await(function: Callable[..., Any]) -> str:
    return "await " if inspect.iscoroutinefunction(function) else ""


def _arguments(function: Callable[..., Any]) -> str:
    """The signature without types, which most users do not write either."""
    signature = inspect.signature(function)
    shown = [
        argument.replace(annotation=inspect.Parameter.empty)
        for argument in signature.parameters.values()
        if argument.name != "self"
    ]
    return str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))


def _indented(text: str | None, by: str = "  ") -> list[str]:
    return [f"{by}{line}".rstrip() for line in inspect.cleandoc(text or "").splitlines()]


def _class(found: type[Atom]) -> Iterator[str]:
    model = found._model
    yield f"{_head(found)}, defined at {model.definition.location}"
    for name, field in model.fields.items():
        notes = ["identifier"] if name == model.key_field else []
        notes += [] if field.nullable else ["not null"]
        notes += ["immutable"] if field.immutable else []
        notes += [f"one of {', '.join(map(str, field.enum))}"] if field.enum else []
        yield f"  {name:<16} {field.type.text:<10} {', '.join(notes)}".rstrip()
