"""A route: a path of the API, who may call it, the scripts that answer, and the target behind it.

The rule: the variables of a path are whole segments, `{name}`. So one of two templates is always the more specific
one.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import Literal
from urllib.parse import urlsplit

from . import believed
from .environment import expand
from .location import Location
from .names import COMMON_NAMES, RESPONSE_PARAMETERS, ROUTING_PARAMETERS
from .nodes import MapNode, ScalarNode
from .problem import Report, did_you_mean, nearest, quoted
from .reading import Reading
from .script import Script
from .validation import RequestSchemas, parse_validation

_ANSWERING = ("request_forbidden_process", "target", "authorities", "response_forbidden_process")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w-]+(\.[\w-]+)*\.?)(:[0-9]+)?")
"""A name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port."""
_FOREIGN = re.compile(
    r":([A-Za-z_]\w*)|<(?:\w+:)?([A-Za-z_]\w*)>|\{([A-Za-z_]\w*):[^{}]*\}|\*+([A-Za-z_]\w*)?|\{\*+([A-Za-z_]\w*)\}"
)
"""Variables as other frameworks write them: `:id`, `<int:id>`, `{id:int}`, `*`."""
_VARIABLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests are forwarded: the hosts, which take turns, and the path there (`None`: the same path)."""

    path: str | None
    scheme: str | None
    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteDefinition:
    """An entry of a routing; times in seconds."""

    domain: str | None
    location: Location
    path: str
    scheme: str | None
    auth_mode: Literal["axis", "none"]
    target: Target | None
    request_script: Script | None
    response_script: Script | None
    connect_timeout: float = 60.0
    request_timeout: float = 60.0
    stream_timeout: float = 3600.0
    max_body: int | None = None  # bytes; None: the server's limit
    max_in_flight: int | None = None  # requests at the same time
    transaction: bool = False
    idempotency: bool = False
    idempotency_headers: tuple[str, ...] = ()  # in lower case
    validation: RequestSchemas | None = None
    atom: str | None = None  # the class whose generated endpoints answer
    pass_headers: tuple[str, ...] = ()  # plain names of headers that pass although back ends trust them
    inside: bool = False  # only calls from inside the process find it

    @property
    def file(self) -> str:
        """Its file, by the path that tracebacks show."""
        script = self.request_script or self.response_script
        return self.location.path if script is None else script.code.co_filename


def variables(template: str) -> tuple[str, ...]:
    """The names of a template's variables, in their order."""
    return tuple(_VARIABLE.findall(template))


def shape(template: str) -> str:
    """A template without the names of its variables. Templates of the same shape match the same paths."""
    return _VARIABLE.sub("{}", template)


def parse_route(node: MapNode, reading: Reading) -> RouteDefinition | None:
    """The route that a mapping defines."""
    proxy, report = node.map("proxy"), reading.report
    request = _script(node, "request_forbidden_process", ROUTING_PARAMETERS, reading)
    response = _script(node, "response_forbidden_process", RESPONSE_PARAMETERS, reading)
    path = proxy.text("path") if proxy else None
    if proxy is not None:
        _check_path(proxy, report)
        _check_authorization(proxy, report)
    target = _target(node, variables(path or ""), reading)
    route = RouteDefinition(
        domain=node.text("domain"),
        location=proxy.value_location("path") if proxy else node.location,
        path=path or "",
        scheme=proxy.text("scheme") if proxy else None,
        auth_mode=_auth_mode(proxy),
        target=target,
        request_script=request,
        response_script=response,
        connect_timeout=_seconds(node, "connect_timeout", reading),
        request_timeout=_seconds(node, "request_timeout", reading),
        stream_timeout=_seconds(node, "stream_timeout", reading, default=3600.0),
        max_body=_count(node, "max_body"),
        max_in_flight=_count(node, "max_in_flight"),
        pass_headers=_pass_headers(node, report),
        transaction=node.flag("transaction", False) or node.flag("idempotency", False),
        idempotency=node.flag("idempotency", False),
        idempotency_headers=tuple(
            sorted({str(name.value).lower() for name in node.texts("idempotency_headers")})
        ),
        validation=parse_validation(node.map("validation"), variables(path or ""), report),
    )
    _check_idempotency(node, route, report)
    if _is_doubtful(node, route):
        reading.doubtful.add(route.location)
    return route if path is not None else None


def _count(node: MapNode, key: str) -> int | None:
    scalar = node.scalar(key)
    value = None if scalar is None else scalar.value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pass_headers(node: MapNode, report: Report) -> tuple[str, ...]:
    names = []
    for scalar in node.texts("pass_headers"):
        text = str(scalar.value)
        name = believed.plain(text)
        if name in believed.SAID_BY_THE_GATEWAY:
            message = f"`pass_headers` cannot have {quoted(text)}, since the gateway says this header itself"
            report.error(scalar.location, "wrong-value", message)
        elif not believed.is_believed(name):
            message = f"`pass_headers` has {quoted(text)}, which is not a header that is left out"
            hint = did_you_mean(name, believed.NAMES)
            hint = hint or "take it out: other headers of a client pass by themselves"
            report.error(scalar.location, "wrong-value", message, hint=hint)
        else:
            names.append(name)
    return tuple(names)


def _is_doubtful(node: MapNode, route: RouteDefinition) -> bool:
    """Whether there is a script or a target, or one that could not be read."""
    if node.get("request_forbidden_process") is not None and route.request_script is None:
        return True
    target = node.map("target")
    hosts = sum(len(of.items("authorities")) for of in (node, target) if of)
    if hosts and (route.target is None or len(route.target.authorities) < hosts):
        return True
    keys = [key for of in (node, target) if of for key in of.entries if key not in _ANSWERING]
    return any(nearest(key, _ANSWERING) for key in keys)


def _script(node: MapNode, key: str, parameters: tuple[str, ...], reading: Reading) -> Script | None:
    scalar = node.scalar(key)
    if scalar is None or not isinstance(scalar.value, str):
        return None
    return reading.script(scalar, name=key, names=COMMON_NAMES, parameters=parameters)


def _auth_mode(proxy: MapNode | None) -> Literal["axis", "none"]:
    authorization = proxy.map("authorization") if proxy else None
    return "none" if authorization is not None and authorization.text("auth_mode") == "none" else "axis"


def _check_authorization(proxy: MapNode, report: Report) -> None:
    misspelt = any(did_you_mean(key, ("authorization",)) for key in proxy.entries if key != "authorization")
    if proxy.get("authorization") is None and not misspelt:
        report.error(
            proxy.key_location("authorization"),
            "no-authorization",
            "the route does not say who may call it",
            hint="write `authorization: {auth_mode: axis}`; `auth_mode: none` must be written to be open",
        )


def _check_idempotency(node: MapNode, route: RouteDefinition, report: Report) -> None:
    told = node.get("idempotency_headers") is not None
    if told and not route.idempotency:
        message = "`idempotency_headers` has no effect without `idempotency: true`"
        report.warning(node.key_location("idempotency_headers"), "idempotency-headers", message)
    elif route.idempotency and route.auth_mode == "none" and not told:
        report.warning(
            node.key_location("idempotency"),
            "idempotency-open",
            "an open route knows its callers by their `Authorization` and `Cookie` only: of two without, one gets the "
            "answer that was made for the other, if key and body are the same",
            hint="name what else tells them apart in `idempotency_headers`, or write `[]` there if nothing does",
        )


def _check_path(proxy: MapNode, report: Report) -> None:
    text = proxy.text("path")
    if text is None or not text.startswith("/"):
        return  # the schema has said it
    location = proxy.value_location("path")
    if text == "/-" or text.startswith("/-/"):
        report.error(
            location, "path", f"{quoted(text)} is reserved: paths under `/-/` are the framework's own"
        )
    mistake = template_mistake(text)
    if mistake:
        report.error(location, "path", f"the path {quoted(text)} {mistake}")


def template_mistake(text: str) -> str | None:
    """What is wrong with a path template, or None."""
    segments = text.split("/")[1:]
    for segment in segments:
        found = _VARIABLE.fullmatch(segment)
        foreign = _FOREIGN.fullmatch(segment)
        if foreign is not None:
            name = next(filter(None, foreign.groups()), "name")
            return (
                f"has the segment {quoted(segment)}: a variable is written `{{{name}}}`, and is one segment"
            )
        if found is None:
            if "{" in segment or "}" in segment:
                return f"has the segment {quoted(segment)}: a variable must be a whole segment, `{{name}}`"
            if segment.partition(";")[0] in (".", ".."):
                return f"has the segment {quoted(segment)}, which no request can reach"
        elif not found[1].isidentifier() or keyword.iskeyword(found[1]):
            return f"has the variable {quoted(found[1])}, which is not a name"
    if "" in segments[:-1]:
        return "has an empty segment"
    odd = re.search(r"[?#%\\\s\x00-\x1f\x7f]", text)
    if odd:
        return f"has the character {quoted(odd.group())}, which a path template cannot have"
    names = variables(text)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    return f"has the variable {quoted(twice)} twice" if twice is not None else None


def _target(node: MapNode, known: tuple[str, ...], reading: Reading) -> Target | None:
    target = node.map("target")
    scalars = [*(target.texts("authorities") if target else ()), *node.texts("authorities")]
    if target is None and not scalars:
        return None
    scheme = target.text("scheme") if target else None
    authorities = [_authority(scalar, scheme, reading) for scalar in scalars]
    path = target.text("path") if target else None
    if target is not None and path is not None and path.startswith("/"):
        location = target.value_location("path")
        mistake = template_mistake(path)
        if mistake:
            reading.report.error(location, "path", f"the target's path {quoted(path)} {mistake}")
        for name in variables(path) if not mistake else ():
            if name not in known:
                message = (
                    f"the target's path uses {quoted(name)}, which is not a variable of the route's path"
                )
                reading.report.error(location, "path", message, hint=did_you_mean(name, known))
    return Target(path, scheme, tuple(filter(None, authorities)))


def _authority(scalar: ScalarNode, scheme: str | None, reading: Reading) -> str | None:
    """The URL of a host, with the scheme of the target if it has none."""
    text = expand(scalar, str(scalar.value), reading.environ, reading.report)
    if text is None:
        return None
    url = text if "://" in text else f"{(scheme or 'http:').rstrip(':')}://{text}"
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        fine = fine and parts.path in ("", "/") and not parts.query and not parts.fragment
        if fine and parts.username is not None:
            message = "an authority must not hold a user name or password"
            hint = 'set the header in the script: `request.headers["Authorization"] = context.settings.NAME`'
            reading.report.error(scalar.location, "authority", message, hint=hint)
            return None
    except ValueError:
        fine = False
    if not fine or re.search(r"[\s\\]", url) or not _HOST.fullmatch(urlsplit(url).netloc):
        message = f"{quoted(text)} is not the URL of a host"
        hint = "write scheme://host:port, as in `http://localhost:8080`; the path belongs in `target.path`"
        variable = re.search(r"\$([A-Za-z_][A-Za-z0-9_]*)", text)
        if variable is not None:
            hint = f"write `${{{variable[1]}}}` for the variable of the environment"
        reading.report.error(scalar.location, "authority", message, hint=hint)
        return None
    return url.rstrip("/")


def _seconds(node: MapNode, key: str, reading: Reading, *, default: float = 60.0) -> float:
    scalar = node.scalar(key)
    if scalar is None or isinstance(scalar.value, bool):
        return default
    value = scalar.value
    if isinstance(value, str):
        if "${" not in value:
            return default  # the schema has said it
        text = expand(scalar, value, reading.environ, reading.report)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = text
    if not isinstance(value, int | float) or not isfinite(value):
        message = f"`{key}` must be a number of seconds, not {quoted(value)}"
        reading.report.error(scalar.location, "wrong-value", message)
        return default
    if value <= 0 and isinstance(scalar.value, str):
        reading.report.error(
            scalar.location, "wrong-value", f"`{key}` must be more than 0, not {quoted(value)}"
        )
    return float(value)
