"""Matching of routes: the most specific template wins, whatever the order of the files.

A template consists of static segments and ``{name}`` variables. A variable matches one segment that is not empty.
Only the last one may be empty: ``/v1/orders`` and ``/v1/orders/`` match ``/v1/orders/{orderId}``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from framework.definitions import RouteDefinition
from framework.gateway.forwarding.target_paths import TargetPath
from framework.gateway.validation import Validation

Script = Callable[..., Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One routing entry, its scripts ready to be called."""

    definition: RouteDefinition
    variables: tuple[str, ...]
    request_script: Script | None
    response_script: Script | None
    target_path: TargetPath
    validation: Validation | None
    passed: frozenset[bytes]  # headers of the client that back ends trust, and that pass nevertheless

    @property
    def holds_body(self) -> bool:
        """Is the request's body read first, because a script or schema sees it? Otherwise it is streamed."""
        return self.request_script is not None or (self.validation is not None and self.validation.needs_body)

    @property
    def scripted(self) -> bool:
        """Does a script or a schema see the parameters?"""
        scripts = self.request_script is not None or self.response_script is not None
        return scripts or self.validation is not None

    @property
    def forwards(self) -> bool:
        """Is there a host to forward a request to?"""
        return self.definition.target is not None and bool(self.definition.target.authorities)

    @property
    def path(self) -> str:
        return self.definition.path


@dataclass(slots=True)
class _Node:
    static: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    route: Route | None = None


class Routes:
    """The routes of a snapshot, as a tree by segment. ``generated`` are the endpoints of classes, by name."""

    def __init__(
        self,
        definitions: Iterable[RouteDefinition],
        scope: Mapping[str, Any],
        generated: Mapping[str, Script] = MappingProxyType({}),
    ) -> None:
        self._generated = generated
        self._root = _Node()
        self._all: list[Route] = []
        for definition in definitions:
            self._add(definition, scope)

    def __iter__(self) -> Any:
        return iter(self._all)

    def _add(self, definition: RouteDefinition, scope: Mapping[str, Any]) -> None:
        node = self._root
        variables = []
        for segment in definition.path.strip("/").split("/"):
            if segment.startswith("{"):
                variables.append(segment[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            elif segment:
                node = node.static.setdefault(segment, _Node())
        request_script, response_script = (
            None if script is None else script.function(dict(scope))
            for script in (definition.request_script, definition.response_script)
        )
        if definition.atom is not None:
            request_script = self._generated[definition.atom]
        template = definition.target.path if definition.target is not None else None
        target_path = TargetPath(template, definition.path)
        validation = None if definition.validation is None else Validation(definition.validation)
        node.route = Route(
            definition,
            tuple(variables),
            request_script,
            response_script,
            target_path,
            validation,
            frozenset(name.encode("ascii") for name in definition.pass_headers),
        )
        self._all.append(node.route)

    def match(self, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        """The route of a path and its variables by name. An empty variable is absent."""
        found = _match(self._root, segments, 0, [])
        if found is None:
            return None
        route, values = found
        return route, dict(zip(route.variables, values, strict=False))


def _match(
    node: _Node, segments: list[str], position: int, values: list[str]
) -> tuple[Route, list[str]] | None:
    if position == len(segments):
        if node.route is not None:
            return node.route, values
        if node.variable is not None and node.variable.route is not None:
            return node.variable.route, values  # the last variable, empty
        return None
    segment = segments[position]
    static = node.static.get(segment)
    if static is not None:
        found = _match(static, segments, position + 1, values)
        if found is not None:
            return found
    if node.variable is not None and segment:
        return _match(node.variable, segments, position + 1, [*values, segment])
    return None
