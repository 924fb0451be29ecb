"""Authentication and authorization of a request: its token, account and roles.

The rule: **our credentials go no further than here.** Scripts, targets and the log see a request without its token. A
secret is removed in any spelling that a back end could read as one of these names, but accepted only in the right
one.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from framework.access.caller import INSIDE, OPEN, OPERATOR, Caller
from framework.access.tokens import Token, Tokens
from framework.definitions.believed import SEPARATORS
from framework.errors import StorageError
from framework.gateway.forwarding import callers
from framework.gateway.responses import Response, problem
from framework.gateway.routing import Route

Header = tuple[bytes, bytes]

KEY_HEADER = b"x-xaas-api-key"
_TOKEN_HEADER = b"x-auth-token"
_AUTHORIZATION = b"authorization"
_BEARER = b"bearer"
_SEPARATORS = [character.encode() for character in SEPARATORS]
_BLANK = b" \t"  # may stand around a value (RFC 9110, 5.5)


def _spellings(*names: bytes) -> frozenset[bytes]:
    """Each name with any separator at each position, because many back ends do not distinguish them."""
    parts = (name.split(b"-") for name in names)
    return frozenset(
        head + b"".join(joined)
        for head, *rest in parts
        for joined in product(*([separator + part for separator in _SEPARATORS] for part in rest))
    )


# Only the gateway says who calls. What a client says about it goes no further.
_IDENTITY = _spellings(*callers.HEADERS)
_KEYS = _spellings(KEY_HEADER)
_TOKENS = _spellings(_TOKEN_HEADER)
_NAMES = frozenset((_AUTHORIZATION,)) | _KEYS | _TOKENS | _IDENTITY

_MISSING = (
    "this call needs a token in the header X-Auth-Token: log on with POST /-/logon, "
    "or make one with `framework token`"
)
_INVALID = (
    "the token is not valid, or it has expired: log on again with POST /-/logon, "
    "or make a new one with `framework token`"
)
_TWO = "the request carries two different tokens; send one, in X-Auth-Token or as Authorization: Bearer"


class Authentication:
    """Admits calls, or refuses them with a reason. Holds nothing open."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def admit(self, scope: Any, route: Route, *, inside: bool) -> Caller | Response:
        """The caller, or the answer that refuses the call.

        Removes our credentials, and what a client says about its identity, from the headers. Raises ``StorageError``
        if the database cannot be read.
        """
        if inside:
            return INSIDE  # headers from a script belong to the script
        headers: list[Header] = scope["headers"]
        suspects = [pair for pair in headers if pair[0] in _NAMES]
        if route.definition.auth_mode == "none":
            if suspects:
                ours = [pair for pair in suspects if await self._is_ours(*pair)]
                scope["headers"] = [pair for pair in headers if pair not in ours]
            return OPEN
        if scope.get("control") is not None and not any(map(_is_credential, suspects)):
            scope["headers"] = [pair for pair in headers if pair[0] not in _IDENTITY]
            return OPERATOR  # only a process that can open the database can use its control socket
        token = None
        if len(suspects) == 1 and suspects[0][0] == _TOKEN_HEADER:  # the usual case, which takes no time
            scope["headers"] = headers.copy()
            scope["headers"].remove(suspects[0])
            token = self._tokens.known(suspects[0][1])
        if token is None:
            found = await self._find(scope, headers, suspects)
            if isinstance(found, Response):
                return found
            token = found
        if token.account is None or token.rights.allow(scope["method"], scope["path"]):
            return token.caller
        scope["account"] = token.account  # for the access log
        return _forbidden(scope["method"], route)

    async def _find(self, scope: Any, headers: list[Header], suspects: list[Header]) -> Token | Response:
        """The token of the request, which is removed from it, or the answer to a request without one."""
        ours = [pair for pair in suspects if _is_credential(pair) or pair[0] in _IDENTITY]
        scope["headers"] = [pair for pair in headers if pair not in ours]
        secrets = {secret for pair in ours if (secret := _token(*pair))}
        if len(secrets) > 1:
            return problem(400, _TWO)  # RFC 6750, 3.1: invalid_request
        if not secrets:
            return _unauthorised(given=False)
        token = await self._tokens.check(secrets.pop())
        return _unauthorised(given=True) if token is None else token

    async def _is_ours(self, name: bytes, value: bytes) -> bool:
        """On an open route, a header of such a name may be meant for the target, so only our own credentials are
        removed."""
        if name in _KEYS or name in _IDENTITY:
            return True
        if name in _TOKENS:
            secret = value.strip(_BLANK)
        elif _is_bearer(value):
            secret = _after_scheme(value)
        else:
            return False
        try:
            return await self._tokens.is_ours(secret)
        except StorageError:
            return True  # unknown, so it goes no further


def _is_credential(header: Header) -> bool:
    name, value = header
    return name not in _IDENTITY and (name != _AUTHORIZATION or _is_bearer(value))


def _token(name: bytes, value: bytes) -> bytes | None:
    """The token in a header, or None for a header without one or with another spelling."""
    if name == _TOKEN_HEADER:
        return value.strip(_BLANK)
    if name == _AUTHORIZATION:
        return _after_scheme(value)
    return None


def _is_bearer(value: bytes) -> bool:
    return [scheme.lower() for scheme in value.split(None, 1)[:1]] == [_BEARER]


def _after_scheme(value: bytes) -> bytes:
    return value.strip(_BLANK)[len(_BEARER) :].strip(_BLANK)


def _unauthorised(*, given: bool) -> Response:
    response = problem(401, _INVALID if given else _MISSING)
    error = ', error="invalid_token"' if given else ""  # RFC 6750, 3.1
    challenges = f'X-Auth-Token realm="framework", Bearer realm="framework"{error}'
    response.headers["www-authenticate"] = challenges
    return response


def _forbidden(method: str, route: Route) -> Response:
    message = f"no role of this account allows {method} on {route.path}"
    return problem(403, message, method=method, path=route.path)
