"""What definitions may say and this version does not act on yet: warned of, never passed over in silence.

Each line goes when its part is built.
"""

from __future__ import annotations

from collections.abc import Iterator

from framework.definitions import AtomDefinition, Definitions, Location, Problem

CODE = "not-yet"
MEANING = "a part of a definition that this version reads, and does not act on yet"


def warnings(definitions: Definitions) -> tuple[Problem, ...]:
    """A warning for each part that nothing comes of."""
    found = [place for atom in definitions.atoms for place in _of_atom(atom)]
    hint = "the definition is valid; until then nothing comes of this part of it"
    problems = [Problem(place, "warning", CODE, f"{what} are not built yet", hint) for place, what in found]
    return tuple(problems)


def _of_atom(atom: AtomDefinition) -> Iterator[tuple[Location, str]]:
    passing_on = next((method for method in atom.instance_methods if method.propagation_mode), None)
    if passing_on:
        yield passing_on.location, "methods that go on to other instances (`propagation_mode`)"
