"""The rules between the definitions of a folder: unique names, unique paths, classes that exist.

The rule: a mistake is reported where it was made, together with the other location. Its consequences are not
reported: names that a broken file was going to define count as defined.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from .atom import AtomDefinition
from .circles import in_circles
from .definitions import Definitions
from .fields import FieldType
from .flow import open_end
from .location import Location
from .module import SETTINGS
from .problem import Report, quoted
from .queues import Queues, queues
from .rewriting import ROOT
from .routing import RouteDefinition, shape
from .script import Compiled, Script
from .seen import PLAIN_BUILTINS, Use, guarded_lines, is_always_seen, is_foreseeable, uses, variables_of

_OF_MODEL = frozenset(("aiodb",))


@dataclass(slots=True)
class Rules:
    """The rules over one folder. `broken` are the names that unreadable files define."""

    definitions: Definitions
    compiled: list[Compiled]
    broken: set[str]
    doubtful: set[Location]
    host: str
    port: int
    report: Report
    classes: set[str] = field(init=False)
    persistent: set[str] = field(init=False)
    modules: set[str] = field(init=False)

    def __post_init__(self) -> None:
        atoms = self.definitions.atoms
        self.classes = {atom.name for atom in atoms}
        self.persistent = {atom.name for atom in atoms if atom.persistent and not atom.abstract}
        self.modules = {module.name for module in self.definitions.modules} | {SETTINGS}

    def apply(self) -> None:
        """Report every violation."""
        self._once()
        self._paths()
        for atom in self.definitions.atoms:
            self._classes_of(atom)
        self._cycles()
        for compiled in self.compiled:
            self._names(compiled)
        for route in self.definitions.routes:
            if route.atom is None:
                self._answered(route)
        self._fifos()

    # unique names

    def _once(self) -> None:
        found = self.definitions
        classes = ((atom.name.lower(), atom.name, atom.location) for atom in found.atoms)
        self._twice("duplicate-class", "the class", classes)
        for code, what, those in (
            ("duplicate-worker", "the worker", found.workers),
            ("duplicate-fifo", "the policy of the FIFO", found.fifos),
            ("duplicate-module", "the module", found.modules),
            ("duplicate-role", "the role", found.roles),
        ):
            self._twice(code, what, ((one.name, one.name, one.location) for one in those))

    def _twice(self, code: str, what: str, named: Iterable[tuple[str, str, Location]]) -> None:
        seen: dict[str, tuple[str, Location]] = {}
        for key, name, location in named:
            first = seen.setdefault(key, (name, location))
            if first[1] is location:
                continue
            also = "" if first[0] == name else f", which a database does not tell from {quoted(first[0])}"
            message = f"{what} {quoted(name)} is defined twice{also}"
            self.report.error(location, code, message, related=(first[1],))

    def _paths(self) -> None:
        seen: dict[str, RouteDefinition] = {}
        for route in self.definitions.routes:
            first = seen.setdefault(shape(route.path).rstrip("/"), route)
            if first is not route:
                message = f"{quoted(route.path)} takes the same paths as {quoted(first.path)}"
                hint = "one entry serves every method of a path: dispatch on `request.method`"
                if route.atom is not None:
                    message = (
                        f"{quoted(route.path)}, made for {quoted(route.atom)}, "
                        f"takes the same paths as {quoted(first.path)}"
                    )
                    hint = "give one of them another path: `api.path` sets that of generated endpoints"
                related = (first.location,)
                self.report.error(route.location, "duplicate-path", message, hint=hint, related=related)

    # classes that exist

    def _is_class(self, name: str) -> bool:
        return name in self.broken or name in self.classes

    def _need_class(self, name: str, location: Location, where: str) -> None:
        if not self._is_class(name):
            message = f"there is no ATOM class {quoted(name)}, which {where}"
            hint = self.report.did_you_mean(name, self.classes)
            self.report.error(location, "no-such-class", message, hint=hint)

    def _classes_of(self, atom: AtomDefinition) -> None:
        for name, location in zip(atom.extends, atom.extends_at, strict=True):
            self._need_class(name, location, f"{quoted(atom.name)} extends")
        for reference in atom.references:
            self._type(reference.type, reference.location, reference.name)
            if reference.ref_class is not None and reference.ref_class != reference.type.reference:
                where = f"the field {quoted(reference.name)} refers to"
                self._need_class(reference.ref_class, reference.ref_class_at or reference.location, where)

    def _type(self, type_: FieldType, location: Location, name: str) -> None:
        if type_.reference is not None:
            self._need_class(
                type_.reference, type_.location or location, f"the field {quoted(name)} refers to"
            )

    def _cycles(self) -> None:
        parents = {atom.name: atom.extends for atom in self.definitions.atoms}
        around = in_circles(parents)
        for atom in self.definitions.atoms:
            if atom.name in around:
                message = f"the class {quoted(atom.name)} extends itself"
                self.report.error(atom.location, "extends-cycle", message)

    # names in scripts

    def _names(self, compiled: Compiled) -> None:
        found = uses(compiled.script.code, compiled.script.owner)
        if not is_foreseeable(found, compiled.tree):
            return
        guarded = guarded_lines(compiled.tree, "NameError") if "NameError" in compiled.script.text else ()
        bound: set[str] | None = None
        for use in found:
            if use.line in guarded:
                continue
            if use.name not in compiled.names:
                if not is_always_seen(use.name):
                    bound = variables_of(compiled.script.code) if bound is None else bound
                    self._unseen(compiled, use, bound)
            elif use.attribute is not None:
                self._attribute(compiled, use, use.attribute)

    def _unseen(self, compiled: Compiled, use: Use, bound: set[str]) -> None:
        location = compiled.source.byte_location(use.line, use.offset)
        known = {*compiled.names, *PLAIN_BUILTINS, *bound}
        hint = self.report.did_you_mean(use.name, known)
        if use.name in self.classes:
            hint = f"write `atom.{use.name}`"
        elif use.name == ROOT:
            hint = "only an `async def` under `instance_methods` sees it"
        self.report.error(
            location,
            "unseen-name",
            f"the script uses {quoted(use.name)}, a name that it cannot see",
            hint=hint,
        )

    def _attribute(self, compiled: Compiled, use: Use, attribute: str) -> None:
        if attribute.startswith("__"):
            return
        location = compiled.source.byte_location(use.attribute_line, use.attribute_offset)
        if use.name == "atom" and not self._is_class(attribute):
            hint = self.report.did_you_mean(attribute, self.classes)
            message = f"there is no ATOM class {quoted(attribute)}"
            self.report.error(location, "no-such-class", message, hint=hint)
        elif use.name == "model":
            self._model(location, attribute)
        elif use.name == "context":
            modules = self.modules
            if attribute not in modules and attribute not in self.broken:
                message = f"there is no module {quoted(attribute)}"
                hint = self.report.did_you_mean(attribute, modules)
                self.report.error(location, "no-such-module", message, hint=hint)

    def _model(self, location: Location, attribute: str) -> None:
        persistent = self.persistent
        if attribute in persistent or attribute in _OF_MODEL or attribute in self.broken:
            return
        if self._is_class(attribute):
            message, hint = f"the class {quoted(attribute)} is not stored and has no table", None
        else:
            message = f"there is no ATOM class {quoted(attribute)}"
            hint = self.report.did_you_mean(attribute, persistent | _OF_MODEL)
        self.report.error(location, "no-such-class", message, hint=hint)

    # answers to requests

    def _answered(self, route: RouteDefinition) -> None:
        has_target = route.target is not None and bool(route.target.authorities)
        end = self._open_end(route.request_script, route)
        if end is None:
            return
        if not has_target:
            lacks = "no target" if route.target is None else "a target without a host (`authorities`)"
            message = f"a request can end here without an answer, and the route has {lacks}"
            hint = "return an answer on every way through the script, or give the route a `target`"
            self.report.error(end, "no-target", message, hint=hint)
        elif self._loops(route):
            assert route.target is not None
            message = (
                "a request that is not answered here is forwarded to the gateway itself, on the same path"
            )
            hint = "return an answer on every way through the script, or change the target"
            self.report.error(end, "target-loop", message, hint=hint)
        elif route.idempotency:
            message = "a request that is not answered here is forwarded, and that cannot be stored with `idempotency`"
            hint = "return an answer on every way through the script, or take `idempotency` away"
            self.report.error(end, "idempotency-target", message, hint=hint)

    def _open_end(self, script: Script | None, route: RouteDefinition) -> Location | None:
        """Report where a request can end without an answer."""
        if route.location in self.doubtful:
            return None
        if script is None:
            return route.location
        compiled = next(found for found in self.compiled if found.script is script)
        end = open_end(compiled.body())
        return None if end is None else compiled.location(end)

    def _loops(self, route: RouteDefinition) -> bool:
        target = route.target
        if target is None or shape(target.path or route.path).rstrip("/") != shape(route.path).rstrip("/"):
            return False
        return any(_is_gateway(authority, self.host, self.port) for authority in target.authorities)

    # FIFOs that are filled but not read

    def _fifos(self) -> None:
        using = [compiled for compiled in self.compiled if "FIFO" in compiled.script.text]
        found = [(compiled, queues(compiled.tree)) for compiled in using]
        self._shared(found)
        if self.broken or not all(q.known for _, q in found):
            return
        read = {name for _, q in found for name in (*q.reads, *q.mentions)}
        warned: set[str] = set()
        for compiled, q in found:
            for name, node in q.puts.items():
                if name not in read and name not in warned:
                    warned.add(name)
                    message = f"the FIFO {quoted(name)} is filled here and never read in this folder"
                    hint = self.report.did_you_mean(name, read)
                    self.report.warning(compiled.location(node), "fifo-unread", message, hint=hint)

    def _shared(self, found: list[tuple[Compiled, Queues]]) -> None:
        first: dict[str, tuple[str, Location]] = {}
        owners = {id(worker.script): worker.name for worker in self.definitions.workers}
        for compiled, q in found:
            owner = owners.get(id(compiled.script))
            if owner is None:
                continue
            for name, node in q.reads.items():
                here = compiled.location(node)
                before = first.setdefault(name, (owner, here))
                if before[1] is not here:
                    both = f"{quoted(before[0])} and {quoted(owner)}"
                    message = f"the workers {both} both read the FIFO {quoted(name)}"
                    hint = "one item is in work at a time all the same; one worker is enough"
                    self.report.warning(here, "fifo-shared", message, hint=hint, related=(before[1],))


def _is_gateway(authority: str, host: str, port: int) -> bool:
    """Whether the host of a target is the gateway itself."""
    parts = urlsplit(authority)
    if (parts.port or (443 if parts.scheme == "https" else 80)) != port:
        return False
    name = parts.hostname or ""  # in lower case
    return name == host.lower() or (_is_local(name) and _is_local(host.lower()))


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
