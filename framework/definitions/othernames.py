"""The other names of classes and fields: the aliases that scripts use, and former names.

The rule: they are checked once a class has its inherited members, because they must differ from those names too.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .atom import RESERVED_FIELDS, AtomDefinition, Reference
from .fields import Field
from .location import Location
from .problem import Report, quoted


@dataclass(frozen=True, slots=True)
class OtherName:
    """A second name of a field or class: its alias, or its former name."""

    of: str
    name: str
    location: Location


def check_other_names(atoms: Iterable[AtomDefinition], report: Report) -> None:
    """Report each alias and each former name that something else has too. The classes are complete."""
    listed = tuple(atoms)
    former = [
        OtherName(atom.name, atom.renamed_from, atom.renamed_from_at or atom.location)
        for atom in listed
        if atom.renamed_from is not None
    ]
    _check_renamed(former, {atom.name: atom.location for atom in listed}, "class", report)
    for atom in listed:
        fields: list[Field] = [*filter(None, [atom.identifier]), *atom.fields]
        both: list[Field | Reference] = [*fields, *atom.references]
        members = {one.name: one.location for one in both}
        _check_aliases([*_aliases(fields)], members, report)
        renamed = [
            OtherName(one.name, one.renamed_from, one.renamed_from_at or one.location)
            for one in both
            if one.renamed_from is not None
        ]
        _check_renamed(renamed, members, "field", report)


def _aliases(fields: Iterable[Field]) -> Iterable[OtherName]:
    for field in fields:
        if field.alias is not None and field.alias != field.name:
            yield OtherName(field.name, field.alias, field.alias_at or field.location)


def _check_aliases(aliases: list[OtherName], members: Mapping[str, Location], report: Report) -> None:
    """An alias is a name like that of a field, and no other field has it. Methods check aliases themselves."""
    seen: dict[str, OtherName] = {}
    for alias in aliases:
        name = alias.name
        if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
            message = f"{quoted(name)} cannot be the alias of a field: it must be a Python name"
            report.error(alias.location, "field-alias", message, hint="use letters, digits and _")
        elif name in RESERVED_FIELDS or name.startswith("_"):
            message = f"{quoted(name)} cannot be the alias of a field: every class has something of that name"
            report.error(alias.location, "field-alias", message)
        elif name in members:
            message = f"the alias {quoted(name)} of {quoted(alias.of)} is the name of another field"
            report.error(alias.location, "field-alias", message, related=(members[name],))
        elif name in seen:
            message = f"the alias {quoted(name)} is that of {quoted(seen[name].of)} already"
            report.error(alias.location, "field-alias", message, related=(seen[name].location,))
        seen.setdefault(name, alias)


def _check_renamed(
    renamed: list[OtherName], names: Mapping[str, Location], what: str, report: Report
) -> None:
    """A former name of a field or class is not in use any more, and only one field or class has had it."""
    seen: dict[str, OtherName] = {}
    for former in renamed:
        if not (former.name.isascii() and former.name.isidentifier()):
            message = f"{quoted(former.name)} cannot have been the name of a {what}: it is not a Python name"
            report.error(former.location, "renamed-from", message)
        elif former.name in names:
            whose = (
                "its own name" if former.name == former.of else f"the name of a {what} that is still defined"
            )
            message = f"{quoted(former.of)} cannot be renamed from {quoted(former.name)}: that is {whose}"
            related = () if former.name == former.of else (names[former.name],)
            report.error(
                former.location, "renamed-from", message, hint="take `renamed_from` away", related=related
            )
        elif former.name.lower() in seen:
            first = seen[former.name.lower()]
            message = (
                f"{quoted(former.of)} and {quoted(first.of)} are both renamed from {quoted(former.name)}"
            )
            report.error(former.location, "renamed-from", message, related=(first.location,))
        seen.setdefault(former.name.lower(), former)
