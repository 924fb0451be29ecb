"""What scripts take from the environment: ``context.settings``.

Values are secrets until proven otherwise: they show as ``***`` wherever an object is printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from framework.definitions import nearest

_PREFIX = "FRAMEWORK_SETTING_"


class Settings:
    """``context.settings.NAME`` is the text of ``FRAMEWORK_SETTING_NAME``; a missing one raises."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._values = {
            name.removeprefix(_PREFIX): value for name, value in environ.items() if name.startswith(_PREFIX)
        }

    def __getattr__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            close = nearest(name, self._values)
            hint = f"; did you mean {close}?" if close else ""
            raise AttributeError(f"the environment has no {_PREFIX}{name}{hint}") from None

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value, or ``default`` where the environment has none."""
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __dir__(self) -> list[str]:
        return sorted(self._values)

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}=***" for name in sorted(self._values)) + ")"
