"""Stubs of the ATOM classes, `atom.pyi`, and of their tables, `model.pyi`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from framework.definitions import AtomDefinition, Field, Method, Reference
from framework.stubs.signatures import ANY, IMPORTS, Annotations, imported, signature

_PLAIN: Mapping[str, str] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
}
_INDENT = "    "
_COMPARABLE = ("string", "integer", "number", "boolean", "DateTime")


def atom_stub(atoms: Iterable[AtomDefinition]) -> str:
    """The classes, parents first."""
    listed = sorted(atoms, key=lambda one: len(one.lineage))
    names = [one.name for one in listed]
    known = {one.name: one for one in listed}
    modules: set[str] = set()
    written = []
    for one in listed:
        stub = _Class(one, known)
        written.append(stub.text())
        modules |= stub.annotations.modules
    head = f"{IMPORTS}import atom as _atom\n{imported(modules)}"
    return "\n\n".join([head, *written, f"__all__ = {names!r}"])


def model_stub(atoms: Iterable[AtomDefinition]) -> str:
    """The tables of the classes that are stored."""
    stored = [one.name for one in atoms if one.persistent and not one.abstract]
    tables = "".join(f"{name}: _Table\n" for name in stored)
    return (
        "from contextlib import AbstractAsyncContextManager as _AbstractAsyncContextManager\n\n"
        "from framework.transactions.connection import Connection as _Connection\n"
        "from sqlalchemy import Table as _Table\n\n"
        f"{tables}\ndef aiodb() -> _AbstractAsyncContextManager[_Connection]: ...\n"
    )


class _Class:
    """One class."""

    def __init__(self, definition: AtomDefinition, known: Mapping[str, AtomDefinition]) -> None:
        self._definition = definition
        self._known = known
        fields = (definition.identifier, *definition.fields)
        self._fields = [field for field in fields if field is not None]
        parents = [known[name] for name in definition.lineage if name in known]
        self._inherited = {id(member) for parent in parents for member in _members(parent)}
        aliases = (field.alias for field in self._fields if field.alias)
        methods = (*definition.class_methods, *definition.instance_methods)
        taken = (*(one.name for one in _members(definition)), *aliases, *(method.name for method in methods))
        self.annotations = Annotations(known, taken=taken)

    def text(self) -> str:
        lines = [f"class {self._definition.name}({', '.join(self._definition.extends) or '_Atom'}):"]
        lines += [_INDENT + line for line in self._body()]
        return "\n".join(lines)

    def _body(self) -> Iterator[str]:
        key = self._definition.identifier
        kind = self.annotations.builtin("str")
        yield f"key_field: _ClassVar[{kind if key else 'None'}]"
        yield from self._attributes()
        yield self._init()
        yield from self._storing()
        for method in (*self._definition.class_methods, *self._definition.instance_methods):
            if method.owner == self._definition.name:
                yield from self._method(method)

    def _attributes(self) -> Iterator[str]:
        for member in _members(self._definition):
            if id(member) in self._inherited:
                continue
            type_ = self._type(member)
            yield f"{member.name}: {type_}"
            if isinstance(member, Field) and member.alias and member.alias != member.name:
                yield f"{member.alias}: {type_}"

    # ---- methods of the framework -----------------------------------------------------------

    def _init(self) -> str:
        members, key = _members(self._definition), self._definition.identifier
        needed = [f"{one.name}: {self._given(one)}" for one in members if one is not key and _is_needed(one)]
        others = [
            f"{one.name}: {self._given(one)} = ..." for one in members if one is key or not _is_needed(one)
        ]
        text = self.annotations.builtin("str")
        identity = [f"instance: {text} = ...", f"xid: {text} | None = ...", f"xname: {text} | None = ..."]
        return (
            f"def __init__({self._first('self')}, *, {', '.join([*needed, *others, *identity])}) -> None: ..."
        )

    def _storing(self) -> Iterator[str]:
        own = {
            method.name for method in (*self._definition.class_methods, *self._definition.instance_methods)
        }
        builtin = self.annotations.builtin
        text, flag = builtin("str"), builtin("bool")
        conn = f"conn: {ANY} = ..."
        given = [f"{one.name}: {self._given(one)} = ..." for one in _members(self._definition)]
        if "save" not in own:
            star = ["*", *given] if given else []
            head = [self._first("self"), conn, f"tran: {ANY} = ...", f"propagation_mode: {flag} = ...", *star]
            yield f"async def save({', '.join(head)}) -> _Self: ..."
        if "load" not in own:
            key = self._key()
            head = ["cls", f"key: {key}", conn, f"shallow: {flag} = ...", f"for_update: {flag} = ..."]
            yield f"@{builtin('classmethod')}"
            yield f"async def load({', '.join(head)}) -> _Self | None: ..."
        equals = [*self._equals(), *(f"{name}: {text} | None = ..." for name in ("instance", "xid", "xname"))]
        page = [
            f"order_by: {ANY} = ...",
            f"offset: {builtin('int')} = ...",
            f"limit: {builtin('int')} | None = ...",
        ]
        shallow = f"shallow: {flag} = ..."
        many = f"{builtin('list')}[_Self]"
        for name, word, head, answer in (
            ("retrieve", "async def", [conn, shallow, *page, "*", f"for_update: {flag} = ..."], many),
            ("iterate", "def", [conn, shallow, "*"], "_AsyncIterator[_Self]"),
            ("count", "async def", [conn, "*"], builtin("int")),
        ):
            if name not in own:
                yield f"@{builtin('classmethod')}"
                yield f"{word} {name}({', '.join([self._first('cls'), *head, *equals])}) -> {answer}: ..."

    def _first(self, name: str) -> str:
        """The first parameter of a method. A field may have the same name."""
        return f"_{name}, /" if any(one.name == name for one in _members(self._definition)) else name

    def _equals(self) -> Iterator[str]:
        """The fields by whose values instances are found."""
        for member in _members(self._definition):
            if not member.persistent:
                continue
            if isinstance(member, Reference):
                target = f"{self.annotations.cls(member.target)} | {self._key_of(member)}"
                yield f"{member.name}: {target} | None = ..."
            elif member.type.base in _COMPARABLE:
                value = self._base(member).removesuffix(" | None")
                time = f" | {self.annotations.builtin('str')}" if member.type.base == "DateTime" else ""
                yield f"{member.name}: {value}{time} | None = ..."

    # ---- types ------------------------------------------------------------------------------

    def _type(self, member: Field | Reference) -> str:
        """The type of an attribute. A reference is assumed to be loaded."""
        if isinstance(member, Field):
            return self._base(member)
        target = self.annotations.cls(member.target)
        if member.many:
            return f"{self.annotations.builtin('list')}[{target}]"
        return f"{target} | None" if member.nullable else target

    def _given(self, member: Field | Reference) -> str:
        """The type that a field accepts at construction and in `save`."""
        if isinstance(member, Reference):
            one = f"{self.annotations.cls(member.target)} | {self._key_of(member)} | _Mapping[{self._text()}, {ANY}]"
            if member.many:
                return f"_Sequence[{one}]"
            return f"{one} | None" if member.nullable else one
        base = self._base(member)
        if member.type.base == "DateTime":
            return f"{base} | {self._text()}"
        if member.type.base in ("object", "MU"):
            return f"_Mapping[{self._text()}, {ANY}]" + (" | None" if member.nullable else "")
        if member.type.base in ("array", "array<MU>"):
            return f"_Sequence[{ANY}]" + (" | None" if member.nullable else "")
        return base

    def _text(self) -> str:
        return self.annotations.builtin("str")

    def _base(self, field: Field) -> str:
        """The type of a field's values as they are read."""
        builtin, base = self.annotations.builtin, field.type.base
        if (
            field.enum is not None
            and base in ("string", "integer")
            and all(type(m) in (str, int) for m in field.enum)
        ):
            type_ = f"_Literal[{', '.join(map(repr, field.enum))}]"
        elif base in _PLAIN:
            type_ = builtin(_PLAIN[base])
        elif base == "DateTime":
            type_ = "_datetime.datetime"
        elif base == "object":
            type_ = f"{builtin('dict')}[{builtin('str')}, {ANY}]"
        elif base == "array":
            type_ = f"{builtin('list')}[{ANY}]"
        else:
            type_ = "_MU" if base == "MU" else f"{builtin('list')}[_MU]"
        return f"{type_} | None" if field.nullable else type_

    def _key(self) -> str:
        identifier = self._definition.identifier
        whole = identifier is not None and identifier.type.base == "integer"
        return self.annotations.builtin("int" if whole else "str")

    def _key_of(self, reference: Reference) -> str:
        """The type of the key that may take the place of an instance."""
        target = self._known.get(reference.target)
        fields = (target.identifier, *target.fields) if target is not None else ()
        identifier = target.identifier if target is not None else None
        name = reference.ref_class_field or (identifier.name if identifier else None)
        field = next((one for one in fields if one is not None and one.name == name), None)
        return self.annotations.builtin(
            "int" if field is not None and field.type.base == "integer" else "str"
        )

    # ---- methods of the class ---------------------------------------------------------------

    def _method(self, method: Method) -> Iterator[str]:
        function = ast.parse(method.script.text).body[0]
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if method.kind == "class":
            yield f"@{self.annotations.builtin('classmethod')}"
        if function.decorator_list:
            word = "async def" if method.is_async else "def"
            anything = f"{_first(function)}, *args: {ANY}, **kwargs: {ANY}"
            yield f"{word} {method.name}({anything}) -> {ANY}: ..."
            return
        yield signature(function, self.annotations, own=True)


def _first(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return names[0] if names else "self"


def _members(definition: AtomDefinition) -> list[Field | Reference]:
    own: list[Field | Reference] = [] if definition.identifier is None else [definition.identifier]
    return [*own, *definition.fields, *definition.references]


def _is_needed(member: Field | Reference) -> bool:
    """Is it required at construction?"""
    if isinstance(member, Reference):
        return not member.nullable and not member.many
    return not member.nullable and member.default is None
