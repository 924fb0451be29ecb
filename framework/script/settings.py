"""The settings of scripts from the environment: ``context.settings``.

Any value may be a secret, so it appears as ``***`` when the object is printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from framework.definitions import nearest

_PREFIX = "FRAMEWORK_SETTING_"


class Settings:
    """``context.settings.NAME`` is the text of ``FRAMEWORK_SETTING_NAME``. A missing setting raises."""

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
        """The value, or ``default`` if the environment has none."""
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __dir__(self) -> list[str]:
        return sorted(self._values)

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}=***" for name in sorted(self._values)) + ")"


class Options:
    """``options.NAME``: the setting of that name, or the platform's default.

    A setting in place of a number must be a number.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, str | int | float] = {
            "default_apigw_host": "127.0.0.1",
            "default_apigw_port": 9099,
            "callout_connect_timeout": 60,
            "callout_request_timeout": 60,
        }

    def listening(self, host: str, port: int) -> None:
        """Note the address of the gateway, as callers on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where all addresses are heard
        self._known |= {"default_apigw_host": host, "default_apigw_port": port}

    def __getattr__(self, name: str) -> Any:
        known = self._known.get(name)
        given = self._settings.get(name)
        if given is None:
            if known is None:
                return getattr(self._settings, name)
            return known
        if isinstance(known, str) or known is None:
            return given
        try:
            return int(given) if given.isascii() and given.isdigit() else float(given)
        except ValueError:
            raise AttributeError(f"{_PREFIX}{name} must be a number, not {given!r}") from None

    def __dir__(self) -> list[str]:
        return sorted({*self._known, *dir(self._settings)})

    def __repr__(self) -> str:
        return "options"
