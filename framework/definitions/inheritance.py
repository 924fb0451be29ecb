"""What a class inherits from those that it extends: the identifier, fields, references and methods.

The rule is Python's own: a member is looked up in the class itself, then in its parents, in their order, each of them
before what it extends (the method resolution order). A member that both define must be compatible, since an instance
of the child is an instance of the parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .atom import AtomDefinition, Reference
from .fields import Field
from .location import Location
from .method import Method
from .problem import Report, quoted

Member = Field | Reference

_NARROWER = frozenset((("object", "MU"), ("array", "array<MU>"), ("number", "integer")))
"""What a child may make of its parent's type: each of its values is one of the parent's as well."""

_MOST = 200
"""From how many classes one may come."""


def inherited(atoms: Iterable[AtomDefinition], report: Report) -> tuple[AtomDefinition, ...]:
    """The classes with their inherited members. Reports what is incompatible.

    A class in a cycle, or with parents that do not exist, inherits as far as possible. Other rules report the
    mistake.
    """
    listed = tuple(atoms)
    known: dict[str, AtomDefinition] = {}
    for atom in listed:
        known.setdefault(atom.name, atom)
    family = _Family(known, report)
    return tuple(family.whole(atom) if atom is known[atom.name] else atom for atom in listed)


@dataclass(slots=True)
class _Family:
    """The classes of a folder, and which class extends which."""

    known: Mapping[str, AtomDefinition]
    report: Report
    _types: dict[str, type | None] = field(default_factory=dict)

    def whole(self, atom: AtomDefinition) -> AtomDefinition:
        """A class with everything that it inherits."""
        self._no_parent_twice(atom)
        lineage = self.lineage(atom.name)
        line = (atom, *(self.known[name] for name in lineage))
        methods = self._methods(atom, line)
        if not lineage:
            return atom
        self._one_identifier(atom, line)
        members = self._members(atom, line)
        identifier = next((one.identifier for one in line if one.identifier is not None), None)
        return replace(
            atom,
            lineage=lineage,
            identifier=identifier,
            fields=tuple(one for one in members if isinstance(one, Field) and one is not identifier),
            references=tuple(one for one in members if isinstance(one, Reference)),
            class_methods=tuple(method for method in methods if method.kind == "class"),
            instance_methods=tuple(method for method in methods if method.kind == "instance"),
        )

    # which class extends which

    def lineage(self, name: str) -> tuple[str, ...]:
        """The ancestors of a class, in the order of lookup, as Python itself determines it."""
        made = self._type(name, ())
        return () if made is None else tuple(one.__name__ for one in made.__mro__[1:-1])

    def _type(self, name: str, below: tuple[str, ...]) -> type | None:
        """An empty class with the same parents, or None for a class in a cycle or without a consistent order of
        parents."""
        if name in self._types:
            return self._types[name]
        if name in below:
            return None
        atom = self.known[name]
        if len(below) > _MOST:
            return None  # only the first of these that has too many ancestors is reported
        if len(atom.extends) > _MOST:
            self._too_many(atom)
            return None
        parents = [
            self._type(one, (*below, name)) for one in dict.fromkeys(atom.extends) if one in self.known
        ]
        try:
            made = None if None in parents else type(name, tuple(parents), {})  # type: ignore[arg-type]
        except TypeError:
            made = None
            names = ", ".join(map(quoted, atom.extends))
            message = (
                f"{quoted(name)} extends {names}: in no order does each of them come before its own parents"
            )
            hint = "name the child before the class that it extends, or leave the latter out"
            self.report.error(atom.extends_at[0], "extends", message, hint=hint)
        except ValueError:
            made = None  # the schema has reported that this is not a name
        if made is not None and len(made.__mro__) > _MOST + 2:
            made = None
            self._too_many(atom)
        self._types[name] = made
        return made

    def _too_many(self, atom: AtomDefinition) -> None:
        message = f"{quoted(atom.name)} comes from more than {_MOST} classes"
        self.report.error(atom.location, "extends", message)

    def _no_parent_twice(self, atom: AtomDefinition) -> None:
        first: dict[str, Location] = {}
        for name, location in zip(atom.extends, atom.extends_at, strict=True):
            before = first.setdefault(name, location)
            if before is not location:
                message = f"{quoted(atom.name)} extends {quoted(name)} twice"
                self.report.error(location, "extends", message, related=(before,))

    # compatibility

    def _one_identifier(self, atom: AtomDefinition, line: tuple[AtomDefinition, ...]) -> None:
        having = [one for one in line if one.identifier is not None]
        for other in having[1:]:
            first, second = having[0].identifier, other.identifier
            assert first is not None
            assert second is not None
            if first.name == second.name and first.type.base == second.type.base:
                continue
            message = (
                f"the identifier {quoted(first.name)} ({first.type.text}) of {quoted(having[0].name)} is not "
                f"that of {quoted(other.name)}, {quoted(second.name)} ({second.type.text})"
            )
            hint = "a class has one identifier, and shares it with every class that it extends"
            self._tell(atom, (having[0], first), (other, second), message, hint=hint)

    def _members(self, atom: AtomDefinition, line: tuple[AtomDefinition, ...]) -> list[Member]:
        """Every field once, inherited ones first."""
        found: dict[str, tuple[AtomDefinition, Member]] = {}
        for owner in line:
            for member in _own(owner):
                first = found.setdefault(member.name.lower(), (owner, member))
                if first[0] is not owner:
                    self._go_together(atom, first, (owner, member))
        order = dict.fromkeys(
            member.name.lower() for owner in self._eldest(atom, set()) for member in _own(owner)
        )
        identifiers = {one.identifier.name.lower() for one in line if one.identifier is not None}
        return [found[key][1] for key in order if key not in identifiers]

    def _eldest(self, atom: AtomDefinition, seen: set[str]) -> Iterator[AtomDefinition]:
        """The class after its parents, and these after theirs. Each appears once."""
        for name in atom.extends:
            if name in self.known and name not in seen:
                seen.add(name)
                yield from self._eldest(self.known[name], seen)
        yield atom

    def _go_together(
        self,
        atom: AtomDefinition,
        first: tuple[AtomDefinition, Member],
        second: tuple[AtomDefinition, Member],
    ) -> None:
        (owner, member), (other, before) = first, second
        named, whose = f"the field {quoted(member.name)}", f"in {quoted(other.name)}"
        hint = "give one of them another name"
        if before is other.identifier:
            if member is owner.identifier:
                return  # reported separately
            message = f"{named} of {quoted(owner.name)} is the identifier {whose}"
        elif member.name != before.name:
            same = f"for a database the same as {quoted(before.name)}"
            message = f"{named} of {quoted(owner.name)} is {same} {whose}"
        elif self._fits(member, before):
            return
        else:
            types = f"{quoted(member.type.text)} in {quoted(owner.name)} and {quoted(before.type.text)}"
            message = f"{named} is {types} {whose}"
            hint = "give both the same type"
        if owner is not atom:
            message += f", and {quoted(atom.name)} extends both"
        self._tell(atom, first, second, message, hint=hint)

    def _fits(self, member: Member, before: Member) -> bool:
        """Whether every value of a field is valid for the field that it replaces."""
        if isinstance(member, Reference) != isinstance(before, Reference):
            return False
        mine, theirs = member.type, before.type
        if mine.reference is None or theirs.reference is None:
            return mine.base == theirs.base or (theirs.base, mine.base) in _NARROWER
        if mine.base != theirs.base:
            return False
        known = mine.reference in self.known
        return mine.reference == theirs.reference or (
            known and theirs.reference in self.lineage(mine.reference)
        )

    def _methods(self, atom: AtomDefinition, line: tuple[AtomDefinition, ...]) -> list[Method]:
        found: dict[str, tuple[AtomDefinition, Method]] = {}
        for owner in line:
            for method in (*owner.class_methods, *owner.instance_methods):
                first = found.setdefault(method.name, (owner, method))
                if first[1].kind != method.kind:
                    message = (
                        f"{quoted(method.name)} is a method of the {first[1].kind} in {quoted(first[0].name)}, "
                        f"and of the {method.kind} in {quoted(owner.name)}"
                    )
                    self._tell(atom, first, (owner, method), message)
        self._no_field_is_a_method(atom, line, found)
        return [method for _, method in found.values()]

    def _no_field_is_a_method(
        self,
        atom: AtomDefinition,
        line: tuple[AtomDefinition, ...],
        methods: Mapping[str, tuple[AtomDefinition, Method]],
    ) -> None:
        for holder in line:
            for name, member in _names(holder):
                if name not in methods:
                    continue
                owner, method = methods[name]
                field_ = f"a field of {quoted(holder.name)}"
                message = f"{quoted(name)} is a method of {quoted(owner.name)} and {field_}"
                one: tuple[AtomDefinition, Member | Method] = (owner, method)
                two: tuple[AtomDefinition, Member | Method] = (holder, member)
                if line.index(holder) < line.index(owner):
                    one, two = two, one
                hint = "choose another name for one of them"
                self._tell(atom, one, two, message, code="method-name", hint=hint)

    def _tell(
        self,
        atom: AtomDefinition,
        first: tuple[AtomDefinition, Member | Method],
        second: tuple[AtomDefinition, Member | Method],
        message: str,
        *,
        hint: str | None = None,
        code: str = "extends",
    ) -> None:
        """Report it once, where the two meet: at the class's own member, or at the parent that brings the second
        one."""
        (owner, member), (other, before) = first, second
        if owner is atom:
            self.report.error(member.location, code, message, hint=hint, related=(before.location,))
            return
        parents = [one for one in dict.fromkeys(atom.extends) if one in self.known]
        lines = {one: {one, *self.lineage(one)} for one in parents}
        if any({owner.name, other.name} <= line for line in lines.values()):
            return  # a parent has both, and it was reported there
        bringing = next(one for one in reversed(parents) if other.name in lines[one])
        location = atom.extends_at[atom.extends.index(bringing)]
        self.report.error(location, code, message, hint=hint, related=(member.location, before.location))


def _names(atom: AtomDefinition) -> Iterator[tuple[str, Member]]:
    """The names of a class's own fields, including aliases."""
    for member in _own(atom):
        yield member.name, member
        if isinstance(member, Field) and member.alias and member.alias != member.name:
            yield member.alias, member


def _own(atom: AtomDefinition) -> Iterator[Member]:
    if atom.identifier is not None:
        yield atom.identifier
    yield from atom.fields
    yield from atom.references
