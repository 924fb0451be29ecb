"""Who calls, for targets: the headers ``X-Account`` and ``X-Roles``.

The one rule: **they are the gateway's word, or a script's, and never a client's.** A client's own are taken out
before anybody sees the request.
"""

from __future__ import annotations

import functools
from urllib.parse import quote

from framework.access.caller import OPEN, Caller

HEADERS = (b"x-account", b"x-roles")

_SAFE = "!#$&'*+.^_`|~-"  # what a token of HTTP may have (RFC 9110, 5.6.2), but for the percent sign


@functools.lru_cache(maxsize=1024)
def told(caller: Caller) -> tuple[tuple[str, str], ...]:
    """The headers for a target. Roles are joined by commas, and what is no token is percent-encoded as UTF-8."""
    if caller is OPEN:
        return ()
    roles = ", ".join(quote(role, safe=_SAFE) for role in caller.roles)
    account = ("x-account", caller.name)
    return (account, ("x-roles", roles)) if roles else (account,)
