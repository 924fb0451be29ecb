"""The rules for fields that refer to other classes: the class exists, and is stored in the same place.

The rule: a reference is stored as the value of one field of the other class. So that field must identify an instance:
it is the identifier, `instance`, or a unique field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .atom import AtomDefinition, Reference
from .fields import Field
from .problem import Report, did_you_mean, quoted

_KEY_TYPES = ("string", "integer")


def check_references(atoms: Iterable[AtomDefinition], report: Report) -> None:
    """Report every reference that could not be stored. Missing classes are reported elsewhere."""
    classes = {atom.name: atom for atom in atoms}
    for atom in classes.values():
        for reference in atom.references:
            target = classes.get(reference.target)
            if reference.ref_class not in (None, reference.target):
                if reference.ref_class in classes:
                    _other_class(reference, report)
            elif target is not None:
                _target(atom, reference, target, report)


def _other_class(reference: Reference, report: Report) -> None:
    message = (
        f"{quoted(reference.name)} is of the class {quoted(reference.target)} by its type, "
        f"and of {quoted(reference.ref_class)} by `ref_class`"
    )
    hint = "one of them is wrong; `ref_class` may be left out"
    report.error(reference.ref_class_at or reference.location, "reference", message, hint=hint)


def _target(atom: AtomDefinition, reference: Reference, target: AtomDefinition, report: Report) -> None:
    stored = atom.persistent and not atom.abstract and reference.persistent
    if target.abstract and reference.persistent and not atom.abstract:
        message = f"{quoted(reference.name)} refers to the class {quoted(target.name)}, which is abstract"
        hint = "it has no instances: refer to one of the classes that extend it"
        report.error(reference.location, "reference", message, hint=hint)
    elif stored and not target.persistent:
        message = f"{quoted(reference.name)} is stored, and the class {quoted(target.name)} that it refers to is not"
        hint = "give the field `field_persistence: false`, or store the class"
        report.error(reference.location, "reference", message, hint=hint)
    if reference.ref_class_field is not None:
        _target_field(reference, reference.ref_class_field, target, report)


def _target_field(reference: Reference, name: str, target: AtomDefinition, report: Report) -> None:
    keys = {field.name for field in _keys(target)}
    if name in keys or name == "instance":
        return
    place = reference.ref_class_field_at or reference.location
    known = {field.name for field in (target.identifier, *target.fields) if field is not None}
    if name not in known:
        message = f"the class {quoted(target.name)} has no field {quoted(name)}"
        report.error(place, "reference", message, hint=did_you_mean(name, sorted(known | {"instance"})))
        return
    message = f"{quoted(name)} does not tell the instances of {quoted(target.name)} apart: "
    message += "it must be the identifier or a unique, stored field of text or whole numbers"
    fitting = ", ".join(quoted(key) for key in sorted(keys | {"instance"}))
    report.error(place, "reference", message, hint=f"fields that do: {fitting}")


def _keys(target: AtomDefinition) -> Iterator[Field]:
    """The fields by which a reference can identify an instance."""
    if target.identifier is not None:
        yield target.identifier
    for field in target.fields:
        if field.unique and field.persistent and field.type.base in _KEY_TYPES:
            yield field
