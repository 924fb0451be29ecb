"""The endpoints of a class with ``api_generation``: a built-in script behind an ordinary route.

    GET, POST                /NAME          a page of a list; a new instance
    GET, PUT, PATCH, DELETE  /NAME/{id}     one instance

The one rule: **a client changes only the state that it has seen.** An instance comes with an ``ETag``. A write with
``If-Match`` affects exactly that state or nothing, because the comparison and the write are one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

from framework.atom import Atom, assignment
from framework.atom.references import keys_of
from framework.atom.states import refuse_assignment
from framework.atom.values import required, unknown
from framework.definitions import EndpointsDefinition
from framework.errors import HTTPError, ValidationError
from framework.gateway.bodies import decoded
from framework.gateway.endpoints.conditions import Conditions, entity_tag
from framework.gateway.endpoints.listing import Listing, parse, read
from framework.gateway.paths import segments
from framework.gateway.responses import NOTHING, problem
from framework.gateway.wire import limits

Answer = tuple[Any, ...]

_JSON = ("application/json", "application/merge-patch+json")
_WRITTEN_ONE_WAY = ("integer", "number", "boolean")  # types whose values are single path segments
# The instance's names elsewhere, which are not fields and not arguments of `save`.
_FOREIGN_NAMES = {"xid", "xname"}


class Endpoints:
    """Answers requests for one class. Holds nothing open."""

    def __init__(self, generated: type[Atom], definition: EndpointsDefinition) -> None:
        self._class = generated
        self._definition = definition
        with_head = [*definition.methods, *(["HEAD"] if "GET" in definition.methods else [])]
        self._of_list = [method for method in with_head if method in ("GET", "HEAD", "POST")]
        self._of_instance = [method for method in with_head if method != "POST"]

    async def __call__(
        self, request: Any, resources: dict[str, str], parameters: dict[str, list[str]], *_: Any
    ) -> Answer:
        """What a script would return. Raises ``HTTPError``, and the errors of saving."""
        text = resources.get("id")
        allowed = self._of_list if text is None else self._of_instance
        allow = {"allow": ", ".join([*allowed, "OPTIONS"])}
        if request.method == "OPTIONS":
            return 204, None, allow | ({"accept-patch": ", ".join(_JSON)} if "PATCH" in allowed else {})
        if request.method not in allowed:
            return _problem(405, "this path does not take that method", allow)
        if text is None and request.method != "POST":
            return await self._list(request, parameters)
        if parameters:
            raise HTTPError(400, "only a list takes a query")
        return await (self._create(request) if text is None else self._one(request, text))

    # ---- lists ------------------------------------------------------------------------------

    async def _list(self, request: Any, parameters: dict[str, list[str]]) -> Answer:
        of = self._definition
        listing = parse(parameters, self._types(), limit=of.limit, max_limit=of.max_limit)
        found = await self._retrieve(listing)
        page, more = found[: listing.limit], len(found) > listing.limit
        link = listing.links(quote(of.path), parameters, more=more)
        return 200, [_shown(one) for one in page], {"link": link} if link else {}

    async def _retrieve(self, listing: Listing) -> list[Atom]:
        """One more than requested, to know whether there is a next page."""
        try:
            return await self._class.retrieve(
                shallow=True,
                order_by=listing.order_by,
                offset=listing.offset,
                limit=listing.limit + 1,
                **listing.equals,
            )
        except ValidationError as error:
            raise HTTPError(400, f"`{error.field}` in the query: {error.problem}") from None

    def _types(self) -> dict[str, str]:
        """The type by which each stored field is searched. For a reference it is the type of its key."""
        model = self._class._model
        types = {name: field.type.text for name, field in model.columns.items()}
        types |= {name: found.type.text for name, found in model.relations.items() if found.stored}
        types |= {alias: types[name] for alias, name in model.aliases.items() if name in types}
        return types | dict.fromkeys(("xid", "xname"), "string")

    # ---- one instance -----------------------------------------------------------------------

    async def _one(self, request: Any, text: str) -> Answer:
        conditions = Conditions(request.headers)
        writing = request.method not in ("GET", "HEAD")
        body = self._body(request) if request.method in ("PUT", "PATCH") else {}
        key = self._key(text)
        found = None if key is None else await self._load(key, hold=writing and conditions.of_writing)
        if found is None:
            raise HTTPError(404, f"there is no {self._class.__name__} with this identifier")
        tag = _tag(found)
        if not writing:
            return (304, None, {"etag": tag}) if conditions.seen(tag) else (200, _shown(found), {"etag": tag})
        if not conditions.hold(tag):
            return _problem(412, "the precondition of the request is not met", {"etag": tag})
        if request.method == "DELETE":
            await found.destroy()
            return 204, None
        self._refuse_another_identity(found, body)
        changes = self._merged(found, body) if request.method == "PATCH" else self._replaced(found, body)
        for name in _FOREIGN_NAMES & changes.keys():
            setattr(found, name, changes.pop(name))
        await found.save(**changes)
        return self._answer(200, found)

    async def _load(self, key: Any, *, hold: bool) -> Atom | None:
        """The instance. ``hold`` keeps others from writing until the request's transaction ends."""
        if hold:
            return await self._class.load(key, shallow=True, for_update=True)
        return await self._class.load(key, shallow=True)

    def _key(self, text: str) -> Any:
        """The identifier in a path segment, or None."""
        identifier = self._class._model.definition.identifier
        if identifier is None or identifier.type.base not in _WRITTEN_ONE_WAY:
            return text
        key = read(identifier.type.base, text)
        return key if key is not None and _segment(key) == text else None

    async def _create(self, request: Any) -> Answer:
        body = self._body(request)
        states = {name: body.pop(name) for name in [*body] if self._begins_by_itself(name)}
        made = self._class(**body)
        for name, value in states.items():
            if assignment.accepted(made, name, value) != made.__dict__[name]:
                raise refuse_assignment(made, name)
        location = self._location(made)
        await made.save()
        return self._answer(201, made, {"location": location})

    def _location(self, made: Atom) -> str:
        """The path of an instance. Raises ``ValidationError`` for an identifier that no request path can contain."""
        name = self._class._model.key_column
        key = made.__dict__[name]
        if key is None:
            raise required(self._class._model, name)
        segment = _segment(key)
        location = f"{quote(self._definition.path)}/{quote(segment, safe='')}"
        problem_ = None
        if len(location) > self._longest_path:
            problem_ = f"it is too long for a path, which has {self._longest_path} bytes at most"
        elif not _is_reached(location, segment):
            problem_ = (
                "no path can lead to it: it is empty, begins as a segment `.` or `..`, or has a slash, a "
                "backslash or a control character"
            )
        if problem_ is not None:
            raise ValidationError(self._class.__name__, name, key, "path", problem_)
        return location

    @cached_property
    def _longest_path(self) -> int:
        """The longest path that the server accepts."""
        return limits.from_environ().max_url

    def _begins_by_itself(self, name: str) -> bool:
        """Is it the default state of a new instance?"""
        field = self._class._model.fields.get(name)
        return (
            name in self._class._states
            and field is not None
            and (field.nullable or field.default is not None)
        )

    # ---- changes ----------------------------------------------------------------------------

    def _replaced(self, found: Atom, body: dict[str, Any]) -> dict[str, Any]:
        """The effect of a PUT on an instance: a missing field is as in a new one, unless it cannot change."""
        model = self._class._model
        immutable = {name for name, field in model.fields.items() if field.immutable}
        immutable |= {name for name, relation in model.relations.items() if relation.reference.immutable}
        kept = (
            {model.key_column} & model.fields.keys() | immutable | self._class._states.keys()
        ) - body.keys()
        made = self._class(**{name: found.__dict__[name] for name in kept}, **body)
        return {name: made.__dict__[name] for name in (*_stored_names(made), *_FOREIGN_NAMES)}

    def _merged(self, found: Atom, body: dict[str, Any]) -> dict[str, Any]:
        """The effect of a PATCH on an instance (RFC 7396): given fields change, and objects are merged into
        objects."""
        before, decoders = found.__dict__, self._class._model.decoders
        return {
            name: merge(before.get(name), value) if name in decoders else value
            for name, value in body.items()
        }

    def _body(self, request: Any) -> dict[str, Any]:
        """The fields in a request, by their own names.

        No field has the name of an argument of `save`, because a definition cannot use such a name.
        """
        model = self._class._model
        body = model.named(_object(request))
        if "instance" in body:
            raise ValidationError(model.name, "instance", None, "immutable", "it is made, never given")
        for name in sorted(body.keys() - model.names - _FOREIGN_NAMES):
            raise unknown(model, name, body[name])
        for name in model.relations.keys() & body.keys():
            many = body[name] if isinstance(body[name], list) else [body[name]]
            if any(isinstance(each, dict) for each in many):
                told = "give the key of the instance that it refers to, which has a path of its own"
                raise ValidationError(model.name, name, None, "type", told)
        return body

    def _refuse_another_identity(self, found: Atom, body: dict[str, Any]) -> None:
        """An instance keeps the identifier by which it was asked for."""
        name = self._class._model.key_column
        if name in body and assignment.accepted(found, name, body[name]) != found.__dict__[name]:
            problem_ = "it is not the identifier in the path"
            raise ValidationError(self._class.__name__, name, body[name], "immutable", problem_)

    # ---- answers ----------------------------------------------------------------------------

    def _answer(self, code: int, one: Atom, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a write: the instance, or with ``api_auto_response: false`` an empty body."""
        sent = {"etag": _tag(one), **(headers or {})}
        if self._definition.answers:
            return code, _shown(one), sent
        return (204, None, sent) if code == 200 else (code, NOTHING, sent)


def _segment(key: Any) -> str:
    """An identifier in its path form: as in JSON, but text without quotes."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _is_reached(location: str, key: str) -> bool:
    """Does the gateway find the identifier in the path that is made from it?"""
    try:
        return segments(location.encode("ascii"))[-1:] == [key]
    except HTTPError:
        return False


def merge(before: Any, patch: Any) -> Any:
    """A JSON merge patch: null removes a key, objects are merged, everything else is replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _stored_names(one: Atom) -> Iterator[str]:
    """The fields with a column, and the references that are stored."""
    yield from one._model.columns
    yield from (name for name, relation in one._model.relations.items() if relation.stored)


def _shown(one: Atom) -> dict[str, Any]:
    """An instance as a client sees it: its stored fields, and the keys of referred instances."""
    relations = one._model.relations
    return {
        name: keys_of(relations[name], one.__dict__[name]) if name in relations else one.__dict__[name]
        for name in _stored_names(one)
    }


def _tag(one: Atom) -> str:
    assert one._stored is not None
    return entity_tag(one._model.name, one._stored)


def _object(request: Any) -> dict[str, Any]:
    """The JSON object in a request. Raises ``HTTPError`` 415 for another content type and 400 for invalid content."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _JSON:
        raise HTTPError(415, "the body must be JSON: send the header `Content-Type: application/json`")
    body = decoded(request.body)
    if not isinstance(body, dict):
        raise HTTPError(400, "the request's body must be a JSON object: a field and its value each")
    return body


def _problem(code: int, detail: str, headers: Mapping[str, str]) -> Answer:
    answer = problem(code, detail)
    return code, answer.body, {**answer.headers, **headers}
