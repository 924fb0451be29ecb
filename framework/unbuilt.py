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
    found += [(role.location, "accounts and roles") for role in definitions.roles]
    found += [
        (route.response_script.location, "scripts on the way back")
        for route in definitions.routes
        if route.response_script is not None
    ]
    hint = "the definition is valid; until then nothing comes of this part of it"
    return tuple(Problem(place, "warning", CODE, f"{what} are not built yet", hint) for place, what in found)


def _of_atom(atom: AtomDefinition) -> Iterator[tuple[Location, str]]:
    if atom.extends:
        yield atom.location, "inherited fields and methods (`extends`)"
    if atom.references:
        yield atom.references[0].location, "references to other classes"
    methods = (*atom.class_methods, *atom.instance_methods)
    if methods:
        yield methods[0].location, "methods of a class"
    transitions = next((field for field in atom.fields if field.fsm), None)
    if transitions:
        yield transitions.location, "the transitions of `field_fsm`"
    passing = next((field for field in atom.fields if not field.persistent), None)
    if passing:
        yield passing.location, "fields without a column (`field_persistence: false`)"
    if atom.api_generation:
        yield atom.location, "the endpoints of `api_generation`"
    if not atom.persistent or atom.abstract:
        yield atom.location, "classes without a table (`persistence: false`, `abstract: true`)"
