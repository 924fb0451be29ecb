"""The values of an instance besides its fields, and the errors for what it does not accept."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

from framework.atom.model import Model
from framework.definitions import nearest
from framework.errors import FrameworkError, ValidationError
from framework.values.identity import new_instance

# What every instance has besides its fields: the platform's own identity, and the ids of other systems.
IDENTITY = ("instance", "xid", "xname")

_SURROGATE = re.compile("[\ud800-\udfff]")


def new_identity(class_name: str) -> str:
    """A fresh ``instance``: the class and a new id."""
    return base64.b64encode(new_instance(class_name).encode()).decode("ascii")


def text(model: Model, name: str, value: Any) -> str | None:
    """A value of ``instance``, ``xid`` or ``xname``. Raises ``ValidationError`` for anything but text."""
    if value is not None and not isinstance(value, str):
        raise ValidationError(model.name, name, value, "type", f"it takes text, not {type(value).__name__}")
    if value is not None and not value.isascii() and _SURROGATE.search(value):
        raise ValidationError(model.name, name, value, "text", "it does not take half of a surrogate pair")
    return value


def required(model: Model, name: str) -> ValidationError:
    """The error for a field that must be given at construction."""
    return ValidationError(
        model.name, name, None, "required", "a value is needed: it is not nullable and has no default"
    )


def abstract(model: Model) -> FrameworkError:
    """The error for a use of an abstract class."""
    return FrameworkError(
        f"{model.name} is abstract: it has no instances and no table; use a class that extends it"
    )


def unknown(model: Model, name: str, value: Any) -> ValidationError:
    """The error for a field that the class does not have."""
    return ValidationError(
        model.name, name, value, "unknown", f"no such field{did_you_mean(name, model.names)}"
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message that names the closest match, or an empty string."""
    close = nearest(name, names)
    return f"; did you mean {close!r}?" if close else ""
