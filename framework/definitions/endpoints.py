"""The endpoints that `api_generation` makes for a class. They are one route.

The rule: it is a route like any other. Its path must be unique. Authorization works as for a path that is written by
hand, with `axis` as the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from .location import Location
from .nodes import MapNode
from .problem import Report, listed, quoted
from .routing import RouteDefinition, template_mistake, variables

_SCOPES = ("external", "internal", "local", "public", "secure")
"""`local` is `internal` by the platform's word, `public` and `secure` are `external`."""

GENERATED_METHODS: tuple[str, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
"""How many instances a page of a list has, unless the request or the class says otherwise, and at most."""


@dataclass(frozen=True, slots=True)
class EndpointsDefinition:
    """What a class says about its generated endpoints.

    `path` is the path of the list. An instance is one segment below it. With `answers`, a write is answered with the
    instance. With `inside`, only calls from inside the process find the endpoints.
    """

    location: Location
    path: str
    auth_mode: Literal["axis", "none"] = "axis"
    methods: tuple[str, ...] = GENERATED_METHODS
    limit: int = DEFAULT_LIMIT
    max_limit: int = MAX_LIMIT
    answers: bool = True
    inside: bool = False

    @property
    def template(self) -> str:
        """The path of the list and of the instances. Its last variable may be empty."""
        return f"{self.path}/{{id}}"

    def route(self, atom: str) -> RouteDefinition:
        """The route of a class of this name. A request is stored completely or not at all."""
        return RouteDefinition(
            domain=None,
            location=self.location,
            path=self.template,
            scheme=None,
            auth_mode=self.auth_mode,
            target=None,
            request_script=None,
            response_script=None,
            transaction=True,
            idempotency=True,
            atom=atom,
            inside=self.inside,
        )


def parse_endpoints(node: MapNode, name: str, report: Report) -> EndpointsDefinition | None:
    """The endpoints of the class that a mapping defines, if it asks for any."""
    keys = node.map("api")
    if not node.flag("api_generation", False):
        if keys is not None:
            message = "`api` says how generated endpoints are, and the class has none"
            report.warning(node.key_location("api"), "api", message, hint="write `api_generation: true`")
        return None
    location = node.value_location("api_generation")
    if node.flag("abstract", False):
        message = f"{quoted(name)} is abstract: it has no instances, so it cannot have endpoints"
        report.warning(location, "api", message, hint="write it in the classes that extend this one")
        return None
    path = _path(keys, name, report) if keys is not None else f"/{name}"
    return EndpointsDefinition(
        location=location,
        path=path,
        auth_mode=cast("Literal['axis', 'none']", (keys and keys.text("auth_mode")) or "axis"),
        methods=_methods(keys),
        limit=_limit(keys, report),
        max_limit=(keys and keys.integer("max_limit")) or MAX_LIMIT,
        answers=node.flag("api_auto_response", True),
        inside=_inside(node, report),
    )


def _path(keys: MapNode, name: str, report: Report) -> str:
    text = keys.text("path")
    if text is None or not text.startswith("/"):
        return f"/{name}"  # the schema has said it
    mistake = template_mistake(text)
    if not mistake and variables(text):
        mistake = "has a variable: an instance's identifier is added to it"
    if not mistake and (text == "/" or text.endswith("/")):
        mistake = "ends with a slash"
    if not mistake and (text == "/-" or text.startswith("/-/")):
        mistake = "is reserved: paths under `/-/` are the framework's own"
    if mistake:
        report.error(keys.value_location("path"), "path", f"the path {quoted(text)} {mistake}")
        return f"/{name}"
    return text


def _methods(keys: MapNode | None) -> tuple[str, ...]:
    named = {str(scalar.value) for scalar in keys.texts("methods")} if keys is not None else set()
    return tuple(method for method in GENERATED_METHODS if method in named) or GENERATED_METHODS


def _limit(keys: MapNode | None, report: Report) -> int:
    limit = (keys and keys.integer("limit")) or DEFAULT_LIMIT
    most = (keys and keys.integer("max_limit")) or MAX_LIMIT
    if keys is not None and limit > most:
        if keys.get("limit") is None:
            return most
        message = f"a page has {limit} instances, and at most {most} are given"
        report.error(keys.value_location("limit"), "api", message, hint="raise `max_limit`, or lower `limit`")
    return limit


def _inside(node: MapNode, report: Report) -> bool:
    scope = node.text("scope")
    if scope is not None and scope not in _SCOPES:
        message = f"the scope of generated endpoints is {listed(_SCOPES)}, not {quoted(scope)}"
        hint = "`internal`: only scripts of this server call them; without `scope` it is `external`"
        report.error(node.value_location("scope"), "api", message, hint=hint)
    keys = node.map("api")
    if scope == "secure" and keys is not None and keys.text("auth_mode") == "none":
        message = "the scope `secure` asks every caller for a token, and `auth_mode: none` requires none"
        hint = "write `scope: public`, or `auth_mode: axis`"
        report.error(keys.value_location("auth_mode"), "api", message, hint=hint)
    return scope in ("internal", "local")
