"""Which calls the roles of an account allow.

The rule: rights only add up. A call is allowed when one right of one role has its method and a regular
expression that matches the decoded path from its start (``re.match``); a role that the definitions do not
have gives no right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from framework.definitions import RoleDefinition

_MOST_KEPT = 1024  # combinations of roles


class Rights:
    """What some roles allow together."""

    __slots__ = ("_by_method",)

    def __init__(self, roles: Iterable[RoleDefinition]) -> None:
        by_method: dict[str, dict[re.Pattern[str], None]] = {}
        for role in roles:
            for right in role.authorities:
                for method in right.methods:
                    by_method.setdefault(method, {})[right.regex] = None
        self._by_method: Mapping[str, tuple[Callable[[str], Any], ...]] = {
            method: tuple(regex.match for regex in regexes) for method, regexes in by_method.items()
        }

    def allow(self, method: str, path: str) -> bool:
        """Whether this method may be called on this decoded path."""
        for match in self._by_method.get(method, ()):  # noqa: SIM110 - any() costs more than the matching
            if match(path):
                return True
        return False


NO_RIGHTS = Rights(())


class Roles:
    """The roles of the definitions, and the rights of each combination that accounts have, made once."""

    def __init__(self, definitions: Iterable[RoleDefinition] = ()) -> None:
        self._roles = {definition.name: definition for definition in definitions}
        self._rights: dict[tuple[str, ...], Rights] = {}

    def __iter__(self) -> Iterator[RoleDefinition]:
        return iter(self._roles.values())

    def there(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names that are roles of the definitions."""
        return tuple(name for name in names if name in self._roles)

    def rights(self, names: tuple[str, ...]) -> Rights:
        """The rights of all these roles together."""
        found = self._rights.get(names)
        if found is None:
            if len(self._rights) >= _MOST_KEPT:
                self._rights.clear()
            found = self._rights[names] = Rights(self._roles[name] for name in names if name in self._roles)
        return found


def recorded(role: RoleDefinition) -> list[dict[str, Any]]:
    """The rights of a role as they are recorded in the database."""
    return [{"regex": right.regex.pattern, "methods": list(right.methods)} for right in role.authorities]
