"""The caller of the gateway, as scripts, targets and the log see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` is an account's, or ``(operator)`` or ``(inside)``, which no account can have.

    ``roles`` are those of the account that the definitions have. An ``unrestricted`` caller has none and may
    call everything. It is an operator, or a script of this process through ``callout``.
    """

    name: str
    roles: tuple[str, ...] = ()
    unrestricted: bool = False


OPEN = Caller("")  # nobody knows: the route asks for no token
INSIDE = Caller("(inside)", unrestricted=True)
OPERATOR = Caller("(operator)", unrestricted=True)
