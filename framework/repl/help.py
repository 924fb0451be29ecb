"""``help`` of the REPL: what there is here, the user's own classes, FIFOs and routes first."""

from __future__ import annotations

import pydoc
from collections.abc import Callable, Iterator
from typing import Any

from framework.atom import Atom
from framework.definitions import RouteDefinition
from framework.snapshot import Snapshot

_OBJECTS = (
    ("atom.NAME", "your classes: atom.NAME(field=…), await x.save(), await atom.NAME.load(key), .retrieve()"),
    ("model.NAME", "their tables, for SQLAlchemy; async with model.aiodb() as conn: conn.execute(…)"),
    ('FIFO("NAME")', "a queue: await .put(item), .length(), .peek(n); async with FIFO(…) as item:"),
    ("MU", "a mapping whose keys are attributes too"),
    ("callout", 'a request to the server: await callout(path="/…", method=POST, body={…})'),
    ("context", "context.settings.NAME, and your modules by their names"),
    ("qprint(x)", "print to everybody who is in debug mode"),
    ("debug()", "show here what scripts qprint, in any process; debug(False) ends it"),
    ("traceon()", "show each statement that goes to the database from here; traceoff() ends it"),
    ("profon()", "profile what runs; profoff() shows where the time went"),
    ("help(x)", "what x is; help(atom.NAME) its fields"),
    ("exit", "leave; so does Ctrl-D"),
)


class Help:
    """Typed alone it says what there is; called, what something is."""

    def __init__(
        self, snapshot: Snapshot, fifos: Callable[[], list[str]], write: Callable[[str], None]
    ) -> None:
        self._snapshot = snapshot
        self._fifos = fifos
        self._write = write

    def __repr__(self) -> str:
        return self._overview()

    def __call__(self, thing: Any = None) -> None:
        """Show what there is, or what ``thing`` is."""
        if thing is None:
            self._write(self._overview())
        elif isinstance(thing, type) and issubclass(thing, Atom) and thing is not Atom:
            self._write("\n".join(_class(thing)))
        elif isinstance(thing, Atom):
            self._write("\n".join(_class(type(thing))))
        else:
            self._write(pydoc.plain(pydoc.render_doc(thing, "%s")).rstrip())

    def _overview(self) -> str:
        lines = ["Python, with what scripts see. `await` may stand anywhere; an empty line ends a block.", ""]
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
    return f"atom.{found.__name__}({', '.join(found.fieldnames())})"


def _route(route: RouteDefinition) -> str:
    path = route.path if not route.path.endswith("}") else route.path.rpartition("{")[0]
    return f'await callout(path="{path}")   # {route.path}'


def _class(found: type[Atom]) -> Iterator[str]:
    model = found._model
    yield f"{_head(found)}, defined at {model.definition.location}"
    for name, field in model.fields.items():
        notes = ["identifier"] if name == model.key_field else []
        notes += [] if field.nullable else ["not null"]
        notes += ["immutable"] if field.immutable else []
        notes += [f"one of {', '.join(map(str, field.enum))}"] if field.enum else []
        yield f"  {name:<16} {field.type.text:<10} {', '.join(notes)}".rstrip()
