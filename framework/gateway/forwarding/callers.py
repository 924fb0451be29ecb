"""The caller, for targets: the headers ``X-Account`` and ``X-Roles``.

The one rule: **only the gateway or a script sets them, never a client.** Those of a client are removed before
anything else sees the request.
"""

from __future__ import annotations

import functools
from urllib.parse import quote

from framework.access.caller import OPEN, Caller

HEADERS = (b"x-account", b"x-roles")

_SAFE = "!#$&'*+.^_`|~-"  # the characters of an HTTP token (RFC 9110, 5.6.2), without the percent sign


@functools.lru_cache(maxsize=1024)
def told(caller: Caller) -> tuple[tuple[str, str], ...]:
    """The headers for a target. Roles are joined by commas. Characters outside of a token are percent-encoded as
    UTF-8."""
    if caller is OPEN:
        return ()
    roles = ", ".join(quote(role, safe=_SAFE) for role in caller.roles)
    account = ("x-account", caller.name)
    return (account, ("x-roles", roles)) if roles else (account,)
