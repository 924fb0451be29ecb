"""The check of a folder: load, parse, compile, and apply all rules that a start applies before it runs anything.

The rule: a start uses exactly this check, so whatever passes it starts. One run reports every mistake.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .atom import parse_atom
from .definitions import Definitions
from .fifo import parse_fifo
from .inheritance import inherited
from .kinds import KINDS, Kind, kind_of
from .load import Loaded, load
from .location import Location
from .module import parse_module
from .othernames import check_other_names
from .problem import Problem, Report
from .reading import Reading
from .references import check_references
from .role import parse_role
from .routing import parse_route
from .rules import Rules
from .schema import validate
from .seen import is_foreseeable, uses
from .surroundings import check_surroundings
from .transition import check_transitions
from .usage import check_usage
from .worker import parse_worker

_PARSE: Mapping[Kind, Any] = {
    "atom": parse_atom,
    "routing": parse_route,
    "worker": parse_worker,
    "fifo": parse_fifo,
    "module": parse_module,
    "role": parse_role,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check; `sources` are the texts of the files by the path in the problems' locations."""

    folder: str
    definitions: Definitions
    problems: tuple[Problem, ...]
    files: int
    sources: Mapping[str, str] = field(repr=False)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The mistakes that stop a start."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def check(
    folder: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 9099,
) -> Checked:
    """Check a folder of definitions for a gateway at `host` and `port`.

    Raises `CannotRun` if there is no such folder. Every mistake inside it is a problem in the result.
    """
    report = Report()
    name = os.fspath(folder)
    reading = Reading(report, os.environ if environ is None else environ)
    loaded = load(name, report)
    try:
        definitions = _parse(loaded, reading)
    finally:
        reading.trials.close()
    if not loaded.entries and not report.problems():
        _report_empty(name, loaded, report)
    Rules(definitions, reading.compiled, loaded.broken, reading.doubtful, host, port, report).apply()
    definitions = replace(definitions, atoms=inherited(definitions.atoms, report))
    check_references(definitions.atoms, report)
    _check_scripts(definitions, reading, loaded.broken)
    check_other_names(definitions.atoms, report)
    told: set[Location] = set()
    for atom in sorted(definitions.atoms, key=lambda one: len(one.lineage)):  # a parent before its children
        if not atom.abstract:
            check_transitions(atom, report, told)
    return Checked(name, definitions, report.problems(), loaded.files, loaded.sources)


def _check_scripts(definitions: Definitions, reading: Reading, broken: Collection[str]) -> None:
    """Check how scripts use built-in objects and classes, now that these are complete, and what scripts need."""
    classes = {atom.name: atom for atom in definitions.atoms}
    doubtful = {name for name, atom in classes.items() if any(one not in classes for one in atom.extends)}
    sure = {name: atom for name, atom in classes.items() if name not in doubtful and name not in broken}
    for compiled in reading.compiled:
        if is_foreseeable(uses(compiled.script.code, compiled.script.owner), compiled.tree):
            routing = bool(compiled.script.parameters)
            check_usage(compiled, sure, reading.report, routing=routing)
        check_surroundings(compiled, reading.environ, reading.report)


def _report_empty(folder: str, loaded: Loaded, report: Report) -> None:
    what = (
        "the files hold no definition" if loaded.files else "there is no *.yaml or *.yml file in this folder"
    )
    report.warning(Location(folder, 1, 1), "empty-folder", what)


def _parse(loaded: Loaded, reading: Reading) -> Definitions:
    found: dict[Kind, list[Any]] = {kind: [] for kind in _PARSE}
    for entry in loaded.entries:
        kind = kind_of(entry, reading.report)
        if kind is None:
            loaded.broken.update(filter(None, (entry.text("name"),)))
            continue
        validate(kind, entry, reading.report)
        definition = _PARSE[kind](entry, reading)
        if definition is not None:
            found[kind].append(definition)
        else:
            loaded.broken.update(filter(None, (entry.text("name"),)))
    found["routing"] += [atom.api.route(atom.name) for atom in found["atom"] if atom.api is not None]
    return Definitions(**{KINDS[kind].field: tuple(those) for kind, those in found.items()})
